//! How much code a component consists of: what its executable really has, not what its sources could become.
//!
//! [`linked`] reads which source lines have instructions in an executable, [`origin`] says which crate a
//! source file is of, [`component`] puts both beside the system calls that the product's filters leave to it,
//! and [`stock`] has what distributions ship, counted in the same way.
#![forbid(unsafe_code)]

pub mod component;
pub mod linked;
pub mod origin;
mod path;
pub mod stock;
