//! Functions in Python, and three ways of calling one: in a chain, behind a server that speaks HTTPS, and in
//! a new process for each call.
//!
//! ```text
//! function     what is called: a module of `functions/`, and the input that it gets
//! sources      those modules, written where a service and an interpreter find them
//! venv         the virtual environment with what they import
//! call         one call: how long it took, and how long the handler in it
//! way          calls in one way       in_chain, over_https, once
//! ```
//!
//! Handlers are timed by one wrapper, `functions/measured.py`, whichever way they are called, so what is left
//! of a call is what the way costs.

pub mod call;
pub mod function;
pub mod in_chain;
pub mod once;
pub mod over_https;
pub mod sources;
pub mod venv;
pub mod way;
