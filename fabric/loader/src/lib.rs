//! From a chain file on disk to what the monitor is asked for. Commands that say what would be served
//! (`check`, `explain`, `measure`, `doctor`) go the same way as the loader, the process that has it served.
//!
//! ```text
//! named             which files are meant
//! file              one of them, checked, with what it names opened
//! secret            secrets of functions, from files
//! tree              files and folders that functions are given; given, how much that is
//! beneath           folders that bound where these lie
//! executable        what runs a function
//! guest             programs that know nothing of chains, behind the adaptor
//! python            what a function in Python is made of besides
//! linked            the libraries of an executable, as its dynamic loader finds them (elf, folders)
//! magic             what a file is instead that is no executable
//! tls_source        the files of TLS; own_gateway, who listens where
//! together          what chains of one service must not have in common, and need together
//! routes            where they stand, and which take the same paths
//! need              of this machine's limits; machine_memory, gateway_memory and share, of memory
//! placement         which core each instance runs on
//! protection        which edges are mapped
//! progress          what takes long, and what does not answer
//! define            the calls that define a chain; definer, who takes them
//! ```
#![forbid(unsafe_code)]

pub mod beneath;
pub mod define;
pub mod definer;
mod elf;
mod executable;
pub mod file;
mod folders;
pub mod gateway_memory;
mod given;
mod guest;
pub mod linked;
pub mod machine_memory;
mod magic;
pub mod named;
pub mod need;
pub mod own_gateway;
pub mod placement;
mod program_libraries;
pub mod progress;
pub mod protection;
mod python;
pub mod routes;
pub mod secret;
pub mod share;
pub mod tls_source;
pub mod together;
pub mod tree;
