//! What more than one of the processes that speak HTTP has to know in the same way.
//!
//! ```text
//! access          what a line of the access log says: a gateway writes it, the daemon checks it
//! admin_address   where operators are answered: the loader listens there, the daemon and commands name it
//! own_paths       which paths are the gateway's, and no route's
//! percent         percent-encoding, which gateway, daemon and commands read and write
//! ```
#![forbid(unsafe_code)]

pub mod access;
pub mod admin_address;
pub mod own_paths;
pub mod percent;
