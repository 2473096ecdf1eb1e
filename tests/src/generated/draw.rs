//! Draws chains at random, from a number that says all about them.

use super::{Block, GeneratedChain, GeneratedFunction};
use crate::modelled::{Modelled, Style};
use fastrand::Rng;

/// Fan-outs and choices stand in each other at most this deep, so that a chain stays drawable.
const DEPTH_MAX: u32 = 3;
/// Series of a fan-out, and ports of a choice.
const WIDTH_MAX: usize = 3;
const PORTS: [&str; WIDTH_MAX] = ["left", "middle", "right"];

/// Draws chain `name` with about `size` functions.
#[must_use]
pub fn draw(name: &str, seed: u64, size: usize, troubled_permille: u64) -> GeneratedChain {
    let mut random = Rng::with_seed(seed);
    let mut draw = Draw {
        functions: Vec::new(),
        left: size.max(1),
        seed: random.u64(..),
        troubled_permille,
        random,
    };
    let mut series = draw.series(0, true);
    if draw.left > 2 && draw.random.u8(..4) == 0 {
        let branches = (0..2).map(|_| vec![draw.plain()]).collect();
        series.push(Block::Race(branches));
        if draw.random.bool() {
            series.push(draw.plain());
        }
    }
    GeneratedChain {
        name: name.to_owned(),
        series,
        placement: draw.random.choice(["packed", "spread", "auto"]).unwrap_or("auto"),
        is_mapped: draw.random.u8(..3) == 0,
        edge_seed: draw.random.u64(..),
        functions: draw.functions,
    }
}

struct Draw {
    random: Rng,
    functions: Vec<GeneratedFunction>,
    /// Functions that are still to be drawn; a fan-out that has begun is finished all the same.
    left: usize,
    seed: u64,
    troubled_permille: u64,
}

impl Draw {
    fn function(&mut self, ports: &[&str]) -> usize {
        let random = &mut self.random;
        let index = self.functions.len();
        self.left = self.left.saturating_sub(1);
        self.functions.push(GeneratedFunction {
            modelled: Modelled {
                name: format!("f{index}"),
                seed: self.seed,
                troubled_permille: self.troubled_permille,
                ports: ports.iter().map(|port| (*port).to_owned()).collect(),
                style: random.choice(Style::ALL).unwrap_or(Style::Whole),
            },
            attempts: random.u32(1..=4),
            instances: random.choice([1, 1, 1, 2, 3]).unwrap_or(1),
            outbox_mib: random.choice([8, 16, 64]).unwrap_or(64),
        });
        index
    }

    fn plain(&mut self) -> Block {
        Block::Plain(self.function(&[]))
    }

    /// A series of at least one block. What leaves one at the top goes on to egress, what leaves another to a
    /// join: one record from one port.
    fn series(&mut self, depth: u32, is_top: bool) -> Vec<Block> {
        let mut series = Vec::new();
        let mut after_join = depth > 0;
        let wanted = if is_top {
            self.left
        } else {
            self.random.usize(1..=2)
        };
        for _ in 0..wanted {
            if self.left == 0 && !series.is_empty() {
                break;
            }
            let block = self.block(depth, after_join);
            after_join = matches!(block, Block::Parallel(_));
            series.push(block);
        }
        let ends_plainly = matches!(series.last(), Some(Block::Plain(_)));
        if after_join || !(is_top || ends_plainly) {
            series.push(self.plain());
        }
        series
    }

    fn block(&mut self, depth: u32, after_join: bool) -> Block {
        let nests = depth < DEPTH_MAX && self.left > 2;
        match self.random.u8(..8) {
            0 | 1 if nests => {
                let width = self.random.usize(2..=WIDTH_MAX);
                Block::Parallel((0..width).map(|_| self.series(depth + 1, false)).collect())
            }
            2 if nests => {
                let width = self.random.usize(2..=WIDTH_MAX);
                let chooser = self.function(PORTS.get(..width).unwrap_or(&PORTS));
                let branches = (0..width).map(|_| match self.random.u8(..3) {
                    0 => Vec::new(),
                    _ => self.series(depth + 1, false),
                });
                Block::Choice {
                    chooser,
                    branches: branches.collect(),
                }
            }
            // A join has no single record that its failure could hand on.
            3 | 4 if !after_join => Block::Guarded {
                function: self.function(&[]),
                handler: (self.left > 0 && self.random.bool()).then(|| self.function(&[])),
            },
            _ => self.plain(),
        }
    }
}
