//! A secret that a key broker is being asked for.

use super::release_key::ReleaseSecret;
use crate::ids::{ChainId, FunctionIndex};
use alloc::string::String;
use alloc::vec::Vec;

/// Which secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) chain: ChainId,
    pub(super) function: FunctionIndex,
    pub(super) secret: u32,
}

/// A question to a broker.
pub(super) struct Release {
    pub(super) place: Place,
    pub(super) broker_nonce: String,
    pub(super) key: ReleaseSecret,
    /// The public key and the evidence; nothing while the platform makes its report.
    pub(super) shown: Option<Vec<u8>>,
}
