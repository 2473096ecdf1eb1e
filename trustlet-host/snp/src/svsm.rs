//! How the operating system calls the monitor: the calling convention of AMD's *Secure VM Service Module for
//! SEV-SNP Guests* (58019, revision 1.00), as Linux and coconut-svsm have it, and its core protocol.
//!
//! A call is a protocol and a number in RAX and arguments in RCX, RDX and R8; its answer is a result code in
//! RAX and perhaps a value in RCX. The registers come from the caller's saved state, which it cannot change
//! while the monitor looks ([`virtual_processors`]); longer operands lie in its memory, which it can. So
//! those are copied once, and only the copy is looked at.
//!
//! The [`dispatcher`] begins when a processor comes to the monitor's level. Protocol 0 ([`core_protocol`]) is
//! AMD's; [`chain_protocol`] is this project's, and carries monitor calls.

pub mod area;
pub mod call;
pub mod chain_protocol;
pub mod code;
pub mod core_protocol;
pub mod dispatcher;
pub mod operand;
pub mod virtual_processors;

pub use call::{Call, Registers};
pub use code::Code;
pub use dispatcher::Dispatcher;
