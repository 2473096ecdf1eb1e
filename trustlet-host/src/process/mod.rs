//! The process platform's isolation: how a trustlet and the daemon become Linux processes that can do little.
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
//! What may wait for a file system has a thread while it waits, and no process is started meanwhile
//! (`unhurried`).

pub mod control_group;
pub mod copy;
pub mod doctor;
pub mod file_content;
pub mod files;
pub mod headroom;
pub mod image;
pub mod jail;
pub mod layers;
pub mod library;
pub mod loaded;
pub mod measured_files;
pub mod memory;
pub mod patience;
pub mod region;
pub mod scheduling;
pub mod seccomp;
pub mod shelf;

mod binding;
mod capabilities;
mod child;
mod descriptors;
mod file_identity;
pub(crate) mod fork;
mod identity;
mod landlock;
pub(crate) mod limits;
mod mounts;
mod permission;
mod probe;
mod provisions;
mod root;
mod seals;
mod step;
pub(crate) mod unhurried;
