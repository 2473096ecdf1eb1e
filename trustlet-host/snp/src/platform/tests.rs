//! The monitor's core on the simulated machine: a chain of three functions, whose records are sealed and
//! opened by the data path itself, in memory that the trustlets' page tables lead to.

mod life;
pub(crate) mod machine;
mod trustlet;
mod wild;
