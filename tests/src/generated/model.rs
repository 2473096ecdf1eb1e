//! What a generated chain may answer. Without a race that is one body; of functions that fail side by side,
//! whichever is heard of first is named.

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
        self.answers_of(body, false)
    }

    /// All that may be answered while somebody kills functions: each attempt may come to nothing. That a
    /// record meets more kills than it has attempts to spare is left out, so such a chain has a few.
    #[must_use]
    pub fn answers_among_kills(&self, body: &[u8]) -> BTreeSet<Answer> {
        self.answers_of(body, true)
    }

    fn answers_of(&self, body: &[u8], among_kills: bool) -> BTreeSet<Answer> {
        let model = Model {
            chain: self,
            among_kills,
        };
        let outcomes = model.series(&self.series, vec![body.to_vec()]);
        outcomes
            .into_iter()
            .map(|outcome| match outcome {
                Ok(mut bodies) => Answer::Body(bodies.pop().unwrap_or_default()),
                Err(fault) => Answer::Fault(fault),
            })
            .collect()
    }
}

struct Model<'a> {
    chain: &'a GeneratedChain,
    among_kills: bool,
}

impl Model<'_> {
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
            Block::Plain(function) => self.run(*function, bodies).into_iter().map(single).collect(),
            Block::Guarded { function, handler } => {
                let outputs = self.run(*function, bodies).into_iter();
                let handled = outputs.flat_map(|output| match (output, handler) {
                    (Ok(body), _) => vec![Ok(body)],
                    (Err(_), Some(handler)) => self.run(*handler, bodies),
                    (Err(_), None) => vec![Ok(bodies.first().cloned().unwrap_or_default())],
                });
                handled.map(single).collect()
            }
            Block::Choice { chooser, branches } => {
                let branch = branches.get(self.port(*chooser, bodies));
                let branch = branch.map_or(&[][..], Vec::as_slice);
                let outputs = self.run(*chooser, bodies).into_iter();
                let chosen = outputs.flat_map(|output| match output {
                    Ok(body) => self.series(branch, vec![body]),
                    Err(fault) => vec![Err(fault)],
                });
                chosen.collect()
            }
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

    /// What all attempts of a function at one input may come to.
    fn run(&self, function: usize, bodies: &[Vec<u8>]) -> Vec<Result<Vec<u8>, Fault>> {
        let Some(function) = self.chain.functions.get(function) else {
            return Vec::new();
        };
        let bodies: Vec<&[u8]> = bodies.iter().map(Vec::as_slice).collect();
        let modelled = &function.modelled;
        let fault = |attempts, end| {
            Err(Fault {
                function: modelled.name.clone(),
                attempts,
                end,
            })
        };
        let mut results = Vec::new();
        let mut last = End::Failed;
        for attempt in 1..=function.attempts {
            last = match modelled.verdict(&bodies, attempt) {
                // Among kills too: a later attempt would end in the same way.
                Verdict::Succeeds => {
                    results.push(Ok(modelled.output(&bodies)));
                    return results;
                }
                Verdict::Rejects => {
                    results.push(fault(attempt, End::Failed));
                    if !self.among_kills {
                        return results;
                    }
                    End::Failed
                }
                Verdict::Fails => End::Failed,
                Verdict::Panics => End::Panicked,
                Verdict::Aborts | Verdict::Exits => End::Died,
            };
        }
        results.push(fault(function.attempts, last));
        if self.among_kills {
            results.push(fault(function.attempts, End::Died));
        }
        results
    }

    /// Which branch a choice takes.
    fn port(&self, chooser: usize, bodies: &[Vec<u8>]) -> usize {
        let Some(function) = self.chain.functions.get(chooser) else {
            return 0;
        };
        let bodies: Vec<&[u8]> = bodies.iter().map(Vec::as_slice).collect();
        let chosen = function.modelled.port(&bodies);
        let place = function.modelled.ports.iter().position(|port| port == chosen);
        place.unwrap_or(0)
    }
}

fn single(output: Result<Vec<u8>, Fault>) -> Outcome {
    output.map(|body| vec![body])
}

/// What a fan-out gives: the fault of any branch, or a record of each.
fn joined(branches: &[Vec<Outcome>]) -> Vec<Outcome> {
    let mut together = vec![Vec::new()];
    for branch in branches {
        let bodies: Vec<&Vec<Vec<u8>>> = branch
            .iter()
            .filter_map(|outcome| outcome.as_ref().ok())
            .collect();
        let longer = together.iter().flat_map(|before: &Vec<Vec<u8>>| {
            bodies.iter().map(|body| {
                let mut longer = before.clone();
                longer.extend(body.iter().cloned());
                longer
            })
        });
        together = longer.collect();
    }
    let faults = branches
        .iter()
        .flatten()
        .filter_map(|outcome| outcome.clone().err());
    faults.map(Err).chain(together.into_iter().map(Ok)).collect()
}
