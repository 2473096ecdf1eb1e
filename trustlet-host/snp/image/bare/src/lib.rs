//! What programs without a standard library need in its place: the monitor's image, and its trustlets.

#![no_std]

pub mod attack;
pub mod heap;
mod memory;
