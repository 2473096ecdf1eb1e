//! Gateways: one that is shared by all chains without one of their own, and one for each chain that has its
//! own. A gateway is a process with its own definition, listening socket and TLS files; tenants with a
//! gateway each share no process that sees plaintext.

use super::limits;
use super::program::Program;
use super::refusal::{Refusal, refuse};
use crate::calls::{GatewayDefinition, ResultCode, tls};
use crate::platform::Platform;
use alloc::string::String;
use alloc::vec::Vec;
use hacher_evidence::KEY_BYTES;

/// One gateway: what was asked for, and its process over its lives.
pub(crate) struct Gateway<P: Platform> {
    pub(crate) definition: GatewayDefinition,
    pub(crate) program: Program<P>,
    pub(crate) listener: Option<Listener<P>>,
    /// By the numbers of [`crate::calls::tls_file`], as far as they were set.
    pub(crate) tls_files: Vec<TlsFile<P>>,
    /// New contents of these files, which the process has been sent and has not answered.
    pub(crate) offered: Option<Vec<P::File>>,
    /// SHA-256 of the public key of the certificate that it presents, as its process said last.
    pub(crate) tls_key: Option<[u8; KEY_BYTES]>,
    pub(crate) epoch: u32,
    pub(crate) deaths: u32,
    pub(crate) log: Option<P::Log>,
}

/// Where clients connect to.
pub(crate) struct Listener<P: Platform> {
    pub(crate) address: String,
    pub(crate) socket: P::File,
    /// Whether a service manager holds it too, and keeps it for the successor of this service.
    pub(crate) outlives: bool,
}

/// A file that TLS needs: what it holds, and where a replacement is looked for.
pub(crate) struct TlsFile<P: Platform> {
    pub(crate) path: String,
    pub(crate) content: P::File,
}

impl<P: Platform> Gateway<P> {
    /// Whether it serves one chain alone.
    pub(crate) const fn is_own(&self) -> bool {
        self.definition.own == 1
    }

    /// How many files its TLS needs.
    pub(super) const fn tls_file_count(&self) -> usize {
        match self.definition.tls {
            tls::NONE => 0,
            tls::SERVER => 2,
            _ => 3,
        }
    }
}

/// Refuses a gateway with values out of their range.
pub(crate) fn check_gateway(definition: &GatewayDefinition) -> Result<(), Refusal> {
    let in_range = (limits::MEMORY_MIN_BYTES..=limits::MEMORY_MAX_BYTES).contains(&definition.memory_bytes)
        && definition.scratch_bytes <= limits::SCRATCH_MAX_BYTES
        && (1..=limits::THREADS_MAX).contains(&definition.threads)
        && definition.logs <= 1
        && definition.own <= 1
        && definition.tls <= tls::MUTUAL;
    if in_range {
        Ok(())
    } else {
        refuse(
            ResultCode::InvalidParameter,
            "a value of the gateway is out of its range",
        )
    }
}

pub(crate) fn no_such_gateway<T>() -> Result<T, Refusal> {
    refuse(ResultCode::InvalidParameter, "there is no such gateway")
}
