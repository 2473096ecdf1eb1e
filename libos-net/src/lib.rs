//! What runs inside a trustlet: the sealed data path of one buffer, and the SDK that function authors use.
#![cfg_attr(test, allow(clippy::expect_used, reason = "test code"))]

pub mod clock;
pub mod descriptor;
pub mod invocation;
pub mod name;
pub mod sdk;

pub use sdk::failure::Failure;
pub use sdk::harness;
pub use sdk::input::{Input, Part, Reader};
pub use sdk::output::{Output, PortWriter};
