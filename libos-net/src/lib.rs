//! What runs inside a trustlet: the sealed data path of one buffer, and the SDK that function authors use.
#![cfg_attr(test, allow(clippy::expect_used, reason = "test code"))]

pub mod aead;
pub mod attach;
pub mod clock;
pub mod descriptor;
pub mod invocation;
pub mod keys;
pub mod layout;
pub mod memory;
pub mod name;
pub mod park;
pub mod ring;
pub mod sdk;
pub mod sync;

pub use sdk::failure::Failure;
pub use sdk::harness;
pub use sdk::input::{Input, Part, Reader};
pub use sdk::output::{Output, PortWriter};
