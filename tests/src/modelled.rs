//! A function whose every run can be predicted: what it makes of an input, and which attempts at it fail and
//! how, follow from its settings and the input alone. The trustlet (`test-function`) and the model of a chain
//! ([`crate::generated`]) call the same code, so what a fabric delivers can be compared byte by byte.

use hacher_libos_net::{Failure, Input, Output, Part};
use std::collections::BTreeMap;
use std::env;
use std::io::{Read, Write};

/// How a function takes its input and writes its output; all give the same bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// The whole input at once, the whole output at once.
    Whole,
    /// Segment by segment in, and out before the run has ended.
    Streamed,
    /// The input where its producer wrote it, if it is there, and the output where its consumer will read it.
    Placed,
}

impl Style {
    /// All styles.
    pub const ALL: [Self; 3] = [Self::Whole, Self::Streamed, Self::Placed];

    const fn word(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Streamed => "streamed",
            Self::Placed => "placed",
        }
    }
}

/// What one attempt comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It gives an output.
    Succeeds,
    /// It returns a failure that another attempt may mend.
    Fails,
    /// It returns a failure that no attempt mends.
    Rejects,
    /// It panics.
    Panics,
    /// Its process aborts.
    Aborts,
    /// Its process exits.
    Exits,
}

/// A function's settings, which travel to it in its environment.
#[derive(Debug, Clone)]
pub struct Modelled {
    /// Its name, which its output depends on.
    pub name: String,
    /// What its decisions depend on besides the input.
    pub seed: u64,
    /// Of 1,000 inputs, how many have attempts that fail.
    pub troubled_permille: u64,
    /// The ports that it chooses among.
    pub ports: Vec<String>,
    /// How it reads and writes.
    pub style: Style,
}

/// Bytes that each function puts before what it makes of its input.
const MARK_BYTES: usize = 8;
/// Inputs in trouble that no number of attempts gets through, of 16.
const HOPELESS_OF_16: u64 = 2;

impl Modelled {
    /// From this process's environment.
    #[must_use]
    pub fn from_environment() -> Self {
        let number = |name: &str| env::var(name).ok().and_then(|text| text.parse().ok());
        let word = env::var("STYLE").unwrap_or_default();
        let ports = env::var("PORTS").unwrap_or_default();
        Self {
            name: env::var("NAME").unwrap_or_default(),
            seed: number("SEED").unwrap_or(0),
            troubled_permille: number("TROUBLED").unwrap_or(0),
            ports: ports.split_whitespace().map(str::to_owned).collect(),
            style: Style::ALL
                .into_iter()
                .find(|style| style.word() == word)
                .unwrap_or(Style::Whole),
        }
    }

    /// The environment that [`Self::from_environment`] reads.
    #[must_use]
    pub fn environment(&self) -> BTreeMap<&'static str, String> {
        BTreeMap::from([
            ("FUNCTION", "modelled".to_owned()),
            ("NAME", self.name.clone()),
            ("SEED", self.seed.to_string()),
            ("TROUBLED", self.troubled_permille.to_string()),
            ("PORTS", self.ports.join(" ")),
            ("STYLE", self.style.word().to_owned()),
        ])
    }

    /// What it makes of the bodies of its input: one, or of a join several.
    #[must_use]
    pub fn output(&self, bodies: &[&[u8]]) -> Vec<u8> {
        let shift = self.shift();
        let mut output = self.digest(bodies).to_le_bytes().to_vec();
        let first = bodies.first().copied().unwrap_or(&[]);
        output.extend(first.iter().map(|byte| byte.wrapping_add(shift)));
        output
    }

    /// The port that it writes its output to.
    #[must_use]
    pub fn port(&self, bodies: &[&[u8]]) -> &str {
        let count = u64::try_from(self.ports.len()).unwrap_or(0).max(1);
        let choice = usize::try_from(mix(self.digest(bodies), 1) % count).unwrap_or(0);
        self.ports.get(choice).map_or("out", String::as_str)
    }

    /// What attempt `attempt`, from 1, at an input comes to.
    #[must_use]
    pub fn verdict(&self, bodies: &[&[u8]], attempt: u32) -> Verdict {
        let digest = self.digest(bodies);
        if mix(digest, 2) % 1000 >= self.troubled_permille {
            return Verdict::Succeeds;
        }
        let fate = mix(digest, 3) % 16;
        let failing = match fate {
            0..HOPELESS_OF_16 => u32::MAX,
            HOPELESS_OF_16..6 => 2,
            _ => 1,
        };
        if attempt > failing {
            return Verdict::Succeeds;
        }
        match mix(digest, 4 + u64::from(attempt)) % 16 {
            0..7 => Verdict::Fails,
            7..12 => Verdict::Panics,
            12 => Verdict::Rejects,
            13 | 14 => Verdict::Aborts,
            _ => Verdict::Exits,
        }
    }

    /// The handler.
    ///
    /// # Errors
    /// As [`Self::verdict`] says, and when an input does not arrive.
    pub fn run(&self, mut input: Input<'_>, output: &mut Output<'_>) -> Result<(), Failure> {
        let body = match self.style {
            Style::Streamed if input.parts().len() == 1 => {
                let mut body = Vec::new();
                input.reader().read_to_end(&mut body)?;
                body
            }
            Style::Placed if input.parts().len() == 1 => match input.view()? {
                Some(view) => view.fold(Vec::new(), |mut body, piece| {
                    body.extend_from_slice(piece);
                    body
                }),
                None => input.bytes()?.to_vec(),
            },
            _ if input.is_join() => Vec::new(),
            _ => input.bytes()?.to_vec(),
        };
        let mut bodies: Vec<&[u8]> = input.parts().iter().map(Part::bytes).collect();
        if let [only] = bodies.as_mut_slice() {
            *only = &body;
        }
        let verdict = self.verdict(&bodies, input.attempt());
        let made = self.output(&bodies);
        let mut port = output.port(self.port(&bodies))?;
        match self.style {
            Style::Streamed => {
                // What fails has sent its beginning, which its consumer must forget again.
                let (beginning, end) = made.split_at(made.len() / 2);
                port.stream().write_all(beginning)?;
                self.act(verdict)?;
                port.write_all(end)?;
            }
            Style::Placed => {
                let mut place = port.place(made.len())?;
                let (beginning, end) = made.split_at(made.len() / 2);
                place.write_at(beginning.len(), end)?;
                self.act(verdict)?;
                place.write_at(0, beginning)?;
            }
            Style::Whole => {
                self.act(verdict)?;
                port.write_all(&made)?;
            }
        }
        Ok(())
    }

    #[expect(clippy::panic, reason = "a handler that panics is what is tested")]
    fn act(&self, verdict: Verdict) -> Result<(), Failure> {
        match verdict {
            Verdict::Succeeds => Ok(()),
            Verdict::Fails => Err(Failure::retry("this attempt fails")),
            Verdict::Rejects => Err(Failure::permanent("this input is not accepted")),
            Verdict::Panics => panic!("{} panics, as its input says", self.name),
            Verdict::Aborts => std::process::abort(),
            Verdict::Exits => std::process::exit(3),
        }
    }

    fn shift(&self) -> u8 {
        digest(0, self.name.as_bytes()).to_le_bytes()[0] | 1
    }

    fn digest(&self, bodies: &[&[u8]]) -> u64 {
        let start = digest(self.seed, self.name.as_bytes());
        bodies.iter().fold(start, |state, body| digest(state, body))
    }
}

/// How long the output of a run of functions is, one after another, for an input of `len_bytes`.
#[must_use]
pub fn output_bytes(len_bytes: usize, functions: usize) -> usize {
    len_bytes + functions * MARK_BYTES
}

/// A number that follows from `state` and all of `bytes`; quick, and no cryptography.
#[must_use]
pub fn digest(state: u64, bytes: &[u8]) -> u64 {
    let mut state = mix(state, bytes.len() as u64);
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        word.iter_mut().zip(chunk).for_each(|(to, from)| *to = *from);
        state = mix(state, u64::from_le_bytes(word));
    }
    state
}

/// Two numbers to one (the finaliser of SplitMix64 over their sum).
fn mix(state: u64, word: u64) -> u64 {
    let mut mixed = state
        .rotate_left(23)
        .wrapping_add(word)
        .wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_function_makes_depends_on_every_byte_the_name_and_the_order() {
        let function = |name: &str| Modelled {
            name: name.to_owned(),
            seed: 1,
            troubled_permille: 0,
            ports: vec![],
            style: Style::Whole,
        };
        let a = function("a");
        let one = a.output(&[b"one", b"two"]);
        assert_eq!(one.len(), output_bytes(3, 1));
        assert_ne!(one, a.output(&[b"one", b"tw0"]));
        assert_ne!(one, a.output(&[b"two", b"one"]));
        assert_ne!(one, function("b").output(&[b"one", b"two"]));
    }
}
