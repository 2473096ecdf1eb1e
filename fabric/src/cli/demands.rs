//! What is demanded of evidence: by `verify`, and by `call` before it sends anything.

use super::hex_bytes::hex_bytes;
use clap::{ArgAction, Args};
use hacher_verifier::Digest;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct DemandsArgs {
    /// What is demanded (TOML); `measure --policy` writes one. Without it, the strictest that fits every
    /// honest platform, and no chain in particular
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// The digest that every chain in the evidence has to have, as `measure` prints it: 96 hex digits. May
    /// be given several times
    #[arg(long, value_name = "HEX", value_parser = digest)]
    pub expect_digest: Vec<Digest>,
    /// The launch measurement that the machine has to have: 96 hex digits, of the image that the monitor is
    /// part of. Evidence of hardware is refused without one, here or as `launch` in the policy. May be
    /// given several times
    #[arg(long, value_name = "HEX", value_parser = digest)]
    pub expect_launch: Vec<Digest>,
    /// Certificates besides those in the evidence (PEM or DER), or folders of them. AMD's roots and
    /// intermediate keys are built in: a VCEK or VLEK is enough
    #[arg(long, value_name = "DIR|FILE", num_args = 1.., action = ArgAction::Append)]
    pub certificates: Vec<PathBuf>,
    /// Lists of what AMD has revoked (PEM or DER), from <https://kdsintf.amd.com/vcek/v1/PRODUCT/crl>
    #[arg(long, value_name = "FILE", num_args = 1.., action = ArgAction::Append)]
    pub revocation_list: Vec<PathBuf>,
    /// Accept evidence of the emulated platform, for which no hardware vouches: for trying things out
    #[arg(long)]
    pub allow_emulated: bool,
}

impl DemandsArgs {
    /// Whether any chain in particular is demanded.
    #[must_use]
    pub const fn are_made(&self) -> bool {
        self.policy.is_some() || !self.expect_digest.is_empty()
    }
}

fn digest(text: &str) -> Result<Digest, String> {
    hex_bytes(text).map(Digest)
}
