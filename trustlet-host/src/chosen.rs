//! The platform of this build. Whoever serves, measures or reports has it from here: another platform is a
//! folder beside [`crate::process`], and these lines.

pub use crate::process::platform::{BACKEND, ProcessPlatform as Chosen};
pub use crate::process::{copy, doctor, files, headroom, jail, layers, seccomp};
