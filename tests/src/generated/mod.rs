//! Chains made at random, each with a pure model of what it answers.
//!
//! A chain is a series of blocks: functions, fan-outs that are joined again, choices between ports, error
//! routes, and at its end perhaps a race between two ways to egress. [`draw`] draws one from a number,
//! [`text`] writes it as a chain file, [`model`] says what the chain may answer to a request.

pub mod draw;
pub mod model;
pub mod text;

use crate::modelled::Modelled;

/// A chain.
#[derive(Debug, Clone)]
pub struct GeneratedChain {
    /// Its name.
    pub name: String,
    /// Its functions; blocks name them by their place here.
    pub functions: Vec<GeneratedFunction>,
    /// From ingress to egress.
    pub series: Vec<Block>,
    /// The word for `placement`.
    pub placement: &'static str,
    /// Whether edges between functions are mapped unless their table says otherwise.
    pub is_mapped: bool,
    /// Decides which edges have tables of their own.
    pub edge_seed: u64,
}

/// A function of a chain.
#[derive(Debug, Clone)]
pub struct GeneratedFunction {
    /// What it does.
    pub modelled: Modelled,
    /// How often a record is tried.
    pub attempts: u32,
    /// How many instances run.
    pub instances: u32,
    /// The size of its outbox, in MiB.
    pub outbox_mib: u32,
}

/// A piece of a chain that takes what the piece before it gives.
#[derive(Debug, Clone)]
pub enum Block {
    /// A function.
    Plain(usize),
    /// A function whose failed records go on to a handler, or to the next block where there is none.
    Guarded {
        /// The function.
        function: usize,
        /// What its failures are handed to.
        handler: Option<usize>,
    },
    /// Series that all get the same records; the next block waits for all of them.
    Parallel(Vec<Vec<Block>>),
    /// A function that hands its output to one of several series, by the port that it chooses; one may be
    /// empty.
    Choice {
        /// The function.
        chooser: usize,
        /// As many as the function has ports.
        branches: Vec<Vec<Block>>,
    },
    /// Series that all get the same record; the next block takes what each of them gives, and whichever
    /// answer comes first is the answer.
    Race(Vec<Vec<Block>>),
}
