//! What a generated chain may answer. Without a race that is one body; of functions that fail side by side, whichever
//! is heard of first is named.

use super::{Block, GeneratedChain};
use crate::modelled::Verdict;
use std::collections::BTreeSet;

/// What a client may get.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Answer {
    /// A body.
    Body(Vec<u8>),
    /// A function gave up.
    Fault(Fault),
}

/// A function that gave up.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// Its name.
    pub function: String,
    /// How often it tried.
    pub attempts: u32,
    /// How the last attempt ended.
    pub end: End,
}

/// How an attempt ended that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// The handler said so.
    Failed,
    /// The handler panicked.
    Panicked,
    /// Its process ended.
    Died,
}

/// What comes out of a block: the records that the next one gets together, or a fault.
type Outcome = Result<Vec<Vec<u8>>, Fault>;

impl GeneratedChain {
    /// All that may be answered to `body`.
    #[must_use]
    pub fn answers(&self, body: &[u8]) -> BTreeSet<Answer> {
        let outcomes = self.series(&self.series, vec![body.to_vec()]);
        outcomes
            .into_iter()
            .map(|outcome| match outcome {
                Ok(mut bodies) => Answer::Body(bodies.pop().unwrap_or_default()),
                Err(fault) => Answer::Fault(fault),
            })
            .collect()
    }

    fn series(&self, blocks: &[Block], bodies: Vec<Vec<u8>>) -> Vec<Outcome> {
        let mut outcomes = vec![Ok(bodies)];
        for block in blocks {
            outcomes = outcomes
                .into_iter()
                .flat_map(|outcome| match outcome {
                    Ok(bodies) => self.block(block, &bodies),
                    Err(fault) => vec![Err(fault)],
                })
                .collect();
        }
        outcomes
    }

    fn block(&self, block: &Block, bodies: &[Vec<u8>]) -> Vec<Outcome> {
        match block {
            Block::Plain(function) => vec![self.run(*function, bodies).map(one)],
            Block::Guarded { function, handler } => {
                let output = self.run(*function, bodies).or_else(|_| match handler {
                    Some(handler) => self.run(*handler, bodies),
                    None => Ok(bodies.first().cloned().unwrap_or_default()),
                });
                vec![output.map(one)]
            }
            Block::Choice { chooser, branches } => match self.run(*chooser, bodies) {
                Err(fault) => vec![Err(fault)],
                Ok(output) => {
                    let branch = branches.get(self.port(*chooser, bodies));
                    self.series(branch.map_or(&[], Vec::as_slice), one(output))
                }
            },
            Block::Race(branches) => branches
                .iter()
                .flat_map(|branch| self.series(branch, bodies.to_vec()))
                .collect(),
            Block::Parallel(branches) => {
                let branches: Vec<_> = branches
                    .iter()
                    .map(|branch| self.series(branch, bodies.to_vec()))
                    .collect();
                joined(&branches)
            }
        }
    }

    /// All attempts of a function at one input.
    fn run(&self, function: usize, bodies: &[Vec<u8>]) -> Result<Vec<u8>, Fault> {
        let Some(function) = self.functions.get(function) else {
            return Ok(Vec::new());
        };
        let bodies: Vec<&[u8]> = bodies.iter().map(Vec::as_slice).collect();
        let modelled = &function.modelled;
        let fault = |attempts, end| Fault {
            function: modelled.name.clone(),
            attempts,
            end,
        };
        let mut last = End::Failed;
        for attempt in 1..=function.attempts {
            last = match modelled.verdict(&bodies, attempt) {
                Verdict::Succeeds => return Ok(modelled.output(&bodies)),
                Verdict::Rejects => return Err(fault(attempt, End::Failed)),
                Verdict::Fails => End::Failed,
                Verdict::Panics => End::Panicked,
                Verdict::Aborts | Verdict::Exits => End::Died,
            };
        }
        Err(fault(function.attempts, last))
    }

    /// Which branch a choice takes.
    fn port(&self, chooser: usize, bodies: &[Vec<u8>]) -> usize {
        let Some(function) = self.functions.get(chooser) else {
            return 0;
        };
        let bodies: Vec<&[u8]> = bodies.iter().map(Vec::as_slice).collect();
        let chosen = function.modelled.port(&bodies);
        let place = function.modelled.ports.iter().position(|port| port == chosen);
        place.unwrap_or(0)
    }
}

fn one(body: Vec<u8>) -> Vec<Vec<u8>> {
    vec![body]
}

/// What a fan-out gives: the fault of any branch, or a record of each.
fn joined(branches: &[Vec<Outcome>]) -> Vec<Outcome> {
    let faults = branches
        .iter()
        .flatten()
        .filter_map(|outcome| outcome.clone().err());
    let mut outcomes: Vec<Outcome> = faults.map(Err).collect();
    // A branch has one body at most: races stand at the end of a chain alone.
    let bodies: Option<Vec<Vec<u8>>> = branches
        .iter()
        .map(|branch| branch.iter().find_map(|outcome| outcome.as_ref().ok()))
        .map(|bodies| bodies.and_then(|bodies| bodies.first().cloned()))
        .collect();
    outcomes.extend(bodies.map(Ok));
    outcomes
}
