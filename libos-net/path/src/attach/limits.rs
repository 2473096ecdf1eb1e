//! What limits one function: the same structure from the call that defines it to the process that it binds.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// What each instance of a function may use, and how it is run. A chain's ends have such limits too, as
/// their chain gives them.
///
/// The monitor takes it as it is into its tables, the chain digest and the attachment. Who takes it apart
/// names every field, so that a new one is missed nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FunctionLimits {
    /// Memory of its own that an instance may use.
    pub memory_bytes: u64,
    /// Room in an instance's scratch folder.
    pub scratch_bytes: u64,
    /// Room for records in an instance's outbox.
    pub outbox_bytes: u64,
    /// How long one run of the handler may take.
    pub timeout_ns: u64,
    /// Wait before the first retry.
    pub retry_backoff_ns: u64,
    /// Longest wait before a retry.
    pub retry_max_ns: u64,
    /// Each wait is this many thousandths of the one before.
    pub retry_factor_milli: u64,
    /// Most runs on one record, the first included.
    pub retry_attempts: u32,
    /// 1: each wait is chosen at random between half of it and all of it.
    pub retry_jitter: u32,
    /// Instances, 1 to 64.
    pub instances: u32,
    /// Threads that an instance may have.
    pub threads: u32,
    /// 1: standard output and error are forwarded.
    pub logs: u32,
    /// Bits of [`super::message::outbox_flag`].
    pub outbox_flags: u32,
}

impl FunctionLimits {
    /// What whoever never runs a handler is limited to: nothing that says how often, and one process.
    pub const NONE: Self = Self {
        memory_bytes: 0,
        scratch_bytes: 0,
        outbox_bytes: 0,
        timeout_ns: 0,
        retry_backoff_ns: 0,
        retry_max_ns: 0,
        retry_factor_milli: 1000,
        retry_attempts: 1,
        retry_jitter: 0,
        instances: 1,
        threads: 0,
        logs: 0,
        outbox_flags: 0,
    };
}
