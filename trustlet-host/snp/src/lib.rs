//! What a monitor at VMPL0 of SEV-SNP needs of the machine: pages and who may reach them, page tables of
//! trustlets, and calls of the guest's operating system.
//!
//! Three levels are used. The monitor runs at VMPL0 (CPL0), trustlets at VMPL1 (CPL3), the operating system
//! at VMPL2. The reverse map (RMP) keeps the operating system from pages of the monitor and of trustlets;
//! page tables, which the monitor alone writes, keep trustlets apart from each other.
//!
//! To follow a page, begin with [`ledger`]: how it comes from the operating system, is emptied, granted,
//! taken back and returned. [`space`] puts it in the page tables of trustlets, [`rmp`] says what the
//! processor is told of it, [`instructions`] tells it. [`platform`] is all this as the monitor's core wants
//! it, with a [`program`] in each trustlet, which calls as [`abi`] says. [`svsm`] is how the operating system
//! calls, from processors whose [`state`] the monitor keeps.
//!
//! Nothing here was run on hardware. Tests run it on `simulated`, which follows AMD's *Architecture
//! Programmer's Manual* (APM), volume 2, section 15.36; of the instructions they compare the bytes with
//! volume 3, and answer them in the place of the processor.

#![cfg_attr(not(test), no_std)]

extern crate alloc;

pub mod abi;
pub mod frame;
pub mod hardware;
#[cfg(target_arch = "x86_64")]
pub mod instructions;
pub mod ledger;
pub mod platform;
pub mod program;
pub mod rmp;
#[cfg(any(test, feature = "simulated"))]
pub mod simulated;
pub mod space;
pub mod state;
pub mod svsm;
