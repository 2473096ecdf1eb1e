//! What is called, and with what: the functions in Python of SeBS, the serverless benchmark suite of ETH
//! Zurich, as its documentation describes them, by code of our own; and one that does nothing.
//!
//! Inputs are the same in every run: reports of two versions compare.

use crate::subject::payload;
use fastrand::Rng;
use std::fmt::Write as _;

/// What the random parts of inputs are drawn with.
const SEED: u64 = 20_261_127;

/// A function.
#[derive(Debug, Clone, Copy)]
pub struct Function {
    /// Its name in reports.
    pub name: &'static str,
    /// Its module in `functions/`.
    pub module: &'static str,
    /// The packages that it imports, by the names that pip knows.
    pub packages: &'static [&'static str],
    input: Input,
}

/// What a function gets.
#[derive(Debug, Clone, Copy)]
enum Input {
    /// Bytes that mean nothing.
    Bytes(usize),
    /// A few words of JSON that say what is to be made.
    Words(&'static str),
    /// The photograph of `examples/thumbnails`.
    Photograph,
    /// So many bytes of text.
    Text(usize),
    /// FASTA with so many bases.
    Bases(usize),
}

/// All of them, the one that returns its body first.
pub const ALL: &[Function] = &[
    Function {
        name: "noop",
        module: "noop",
        packages: &[],
        input: Input::Bytes(16 << 10),
    },
    Function {
        name: "dynamic-html",
        module: "dynamic_html",
        packages: &["jinja2"],
        input: Input::Words(r#"{"name": "Ada", "count": 1000, "seed": 1}"#),
    },
    Function {
        name: "thumbnailer",
        module: "thumbnailer",
        packages: &["pillow"],
        input: Input::Photograph,
    },
    Function {
        name: "compression",
        module: "compression",
        packages: &[],
        input: Input::Text(256 << 10),
    },
    Function {
        name: "graph-bfs",
        module: "graph_bfs",
        packages: &["igraph"],
        input: Input::Words(r#"{"vertices": 2000, "seed": 1}"#),
    },
    Function {
        name: "graph-mst",
        module: "graph_mst",
        packages: &["igraph"],
        input: Input::Words(r#"{"vertices": 2000, "seed": 2}"#),
    },
    Function {
        name: "graph-pagerank",
        module: "graph_pagerank",
        packages: &["igraph"],
        input: Input::Words(r#"{"vertices": 2000, "seed": 3}"#),
    },
    Function {
        name: "dna-visualisation",
        module: "dna_visualisation",
        packages: &["squiggle"],
        input: Input::Bases(10_000),
    },
];

impl Function {
    /// Whether it returns its body, so that what is measured of it is what calls cost.
    #[must_use]
    pub const fn does_nothing(&self) -> bool {
        matches!(self.input, Input::Bytes(_))
    }

    /// The body that it is called with, the same each time.
    #[must_use]
    pub fn input(&self) -> Vec<u8> {
        match self.input {
            Input::Bytes(len_bytes) => payload(len_bytes),
            Input::Words(words) => words.into(),
            Input::Photograph => include_bytes!("../../../examples/thumbnails/retina.jpg").to_vec(),
            Input::Text(len_bytes) => text(len_bytes).into_bytes(),
            Input::Bases(bases) => fasta(bases).into_bytes(),
        }
    }
}

/// Lines of numbers and words, which can be compressed as much as the logs of a service.
fn text(len_bytes: usize) -> String {
    const WORDS: [&str; 8] = [
        "accepted", "record", "sealed", "opened", "retry", "released", "timeout", "egress",
    ];
    let mut random = Rng::with_seed(SEED);
    let mut text = String::with_capacity(len_bytes + 80);
    while text.len() < len_bytes {
        let _ = write!(text, "{:08x}", random.u32(..));
        for _ in 0..6 {
            text.push(' ');
            text.push_str(random.choice(WORDS).unwrap_or_default());
        }
        text.push('\n');
    }
    text.truncate(len_bytes);
    text
}

/// A sequence in FASTA, 60 bases to the line.
fn fasta(bases: usize) -> String {
    const LINE: usize = 60;
    let mut random = Rng::with_seed(SEED);
    let mut text = String::from(">made up");
    for at in 0..bases {
        if at % LINE == 0 {
            text.push('\n');
        }
        text.push(random.choice(['A', 'C', 'G', 'T']).unwrap_or('A'));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_are_small_and_the_same_each_time() {
        for function in ALL {
            let input = function.input();
            assert!((1..1 << 20).contains(&input.len()), "{}", function.name);
            assert_eq!(input, function.input(), "{}", function.name);
        }
        assert_eq!(ALL[0].input().len(), 16 << 10);
    }

    #[test]
    fn a_sequence_has_its_bases_in_lines() {
        let fasta = fasta(130);
        let lines: Vec<&str> = fasta.lines().collect();
        assert_eq!(lines[0], ">made up");
        assert_eq!(
            lines[1..].iter().map(|line| line.len()).collect::<Vec<_>>(),
            [60, 60, 10]
        );
        assert_eq!(text(100).len(), 100);
    }
}
