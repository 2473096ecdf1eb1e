//! The chains of a run, and what each may answer.

use crate::generated::draw::draw;
use crate::generated::model::Answer;
use crate::generated::{Block, GeneratedChain, GeneratedFunction};
use crate::modelled::{Modelled, Style};
use crate::service::{executable, function};
use std::collections::BTreeSet;

/// More than the kills that one record can meet.
const ATTEMPTS: u32 = 6;

/// A chain under test.
pub(super) enum Subject {
    /// One with a model.
    Modelled(GeneratedChain),
    /// One that answers with what it was sent.
    Echo {
        name: &'static str,
        text: String,
        /// The largest body that it is sent.
        largest: usize,
    },
}

/// The chain that poison is sent to.
pub(super) const POISONABLE: &str = "poisonable";
/// The chain that clients of every bad habit use.
pub(super) const ECHO: &str = "echo";

/// The chains of the service without TLS.
pub(super) fn all() -> Vec<Subject> {
    let parallel = Block::Parallel((1..4).map(|at| vec![Block::Plain(at)]).collect());
    let guarded = Block::Guarded {
        function: 0,
        handler: Some(1),
    };
    let mut route = chain("route", 3, vec![guarded, Block::Plain(2)]);
    if let Some(function) = route.functions.first_mut() {
        function.modelled.troubled_permille = 60;
    }
    let mut many = chain("many", 3, (0..3).map(Block::Plain).collect());
    many.is_mapped = true;
    for function in &mut many.functions {
        function.instances = 2;
    }
    let mut subjects = vec![
        echo(ECHO, "echo", ATTEMPTS, "", 4 << 20),
        Subject::Modelled(chain("fan", 5, vec![Block::Plain(0), parallel, Block::Plain(4)])),
        Subject::Modelled(route),
        Subject::Modelled(many),
        // One that hangs holds the instance for all of its attempts.
        echo(POISONABLE, "poisonable", 3, "timeout = \"1s\"", 1 << 16),
        echo("chatty", "chatty", ATTEMPTS, "logs = \"forward\"", 100_000),
    ];
    for (name, seed) in [("drawn-a", 3), ("drawn-b", 8)] {
        let mut drawn = draw(name, seed, 8, 0);
        for function in &mut drawn.functions {
            function.attempts = ATTEMPTS;
        }
        subjects.push(Subject::Modelled(drawn));
    }
    subjects
}

/// The chains of the service with TLS.
pub(super) fn few() -> Vec<Subject> {
    vec![
        echo(ECHO, "echo", ATTEMPTS, "", 4 << 20),
        Subject::Modelled(chain("line", 2, (0..2).map(Block::Plain).collect())),
    ]
}

fn chain(name: &str, functions: usize, series: Vec<Block>) -> GeneratedChain {
    let styles = Style::ALL.into_iter().cycle();
    let functions = (0..functions).zip(styles).map(|(at, style)| GeneratedFunction {
        modelled: Modelled {
            name: format!("f{at}"),
            seed: 1,
            troubled_permille: 0,
            ports: Vec::new(),
            style,
        },
        attempts: ATTEMPTS,
        instances: 1,
        outbox_mib: 64,
    });
    GeneratedChain {
        name: name.to_owned(),
        functions: functions.collect(),
        series,
        placement: "auto",
        is_mapped: false,
        edge_seed: 1,
    }
}

fn echo(name: &'static str, what: &str, attempts: u32, more: &str, largest: usize) -> Subject {
    let retry = format!("retry = {{ attempts = {attempts}, backoff = \"1ms\", max = \"50ms\" }}");
    let text = format!(
        "chain = \"{name}\"\nversion = \"1\"\nflow = [\"ingress -> f0 -> egress\"]\n[ingress]\ndeadline = \"60s\"\n\
         [defaults]\ntimeout = \"30s\"\n{}",
        function("f0", what, &format!("{more}\n{retry}"))
    );
    Subject::Echo { name, text, largest }
}

impl Subject {
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Modelled(chain) => &chain.name,
            Self::Echo { name, .. } => name,
        }
    }

    pub(super) fn text(&self) -> String {
        match self {
            Self::Modelled(chain) => chain.text(&executable("test-function")),
            Self::Echo { text, .. } => text.clone(),
        }
    }

    /// The largest body that it is sent.
    pub(super) fn largest(&self) -> usize {
        match self {
            Self::Modelled(_) => 1 << 20,
            Self::Echo { largest, .. } => *largest,
        }
    }

    /// What may be answered to `body` while functions are being killed.
    pub(super) fn answers(&self, body: &[u8]) -> BTreeSet<Answer> {
        match self {
            Self::Modelled(chain) => chain.answers_among_kills(body),
            Self::Echo { .. } => BTreeSet::from([Answer::Body(body.to_vec())]),
        }
    }
}
