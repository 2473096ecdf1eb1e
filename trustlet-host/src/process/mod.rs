//! The process platform: trustlets are Linux processes that can do little. What the core and the event loop
//! need of it stands in [`platform`], [`machine`] and [`shares`]; the rest is how a trustlet, and likewise
//! the daemon, is isolated.
//!
//! What runs is a sealed copy in memory ([`image`]) with the shared objects that it links ([`library`]);
//! where it runs is a jail ([`jail`]) of namespaces, Landlock, seccomp and limits ([`layers`]); what it
//! shares is anonymous memory whose descriptor says who may write (I1, [`region`]); what it gets of the
//! processors, a control group ([`control_group`]) or a scheduling class says ([`scheduling`]). [`doctor`]
//! tells what a machine can enforce.
//!
//! The adversary here is the program in the jail: it is taken to run code of an attacker's choice. The jail
//! protects the guest OS, the monitor and other trustlets from it. It does **not** protect a trustlet from
//! the guest OS.
//!
//! Everything here is called by the monitor, which has one thread: between `clone` and `execveat` the child
//! is a copy of the monitor and allocates memory, which would not be sound advice in a process with several.
//! What may wait for a file system or a device has a thread while it waits; `linux/unhurried.rs` says what
//! that means for processes that are started meanwhile.

pub mod control_group;
pub mod controllers;
pub mod copy;
pub mod doctor;
pub mod files;
pub mod headroom;
pub mod image;
pub mod jail;
pub mod layers;
pub mod library;
pub mod machine;
pub mod measured_files;
pub mod memory;
pub mod platform;
pub mod region;
pub mod scales;
pub mod scheduling;
pub mod seccomp;
pub mod shares;
pub mod shelf;
pub mod trustlet;

mod backlog;
mod binding;
mod capabilities;
mod child;
mod descriptors;
mod failure;
mod file_identity;
mod fork;
mod identity;
mod instance_group;
mod landlock;
mod limits;
mod members;
mod mounts;
mod network;
mod permission;
mod probe;
mod provisions;
mod root;
mod step;
