//! What is demanded of evidence. A policy file says the same in TOML; this is what becomes of it.

use crate::hex::Hex;
use crate::snp::generation::Generation;
use crate::snp::report::{ChipId, SigningKey};
use crate::snp::tcb::TcbFloor;
use hacher_evidence::Kind;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A SHA-384: a measurement, a chain digest, or the digest of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 48]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Hex(&self.0))
    }
}

/// What is demanded. The default is the strictest that fits every honest platform; where it demands nothing,
/// such as of chain digests, a verdict says so.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    /// What may vouch; anything if there is none. [`Kind::Emulated`] needs
    /// [`crate::Expectations::allow_emulated`] besides.
    pub platforms: Vec<Kind>,
    /// Of SEV-SNP.
    pub snp: SnpPolicy,
    /// Of the manifest.
    pub manifest: ManifestPolicy,
}

/// What is demanded of a report of SEV-SNP, and of its certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnpPolicy {
    /// Generations that are accepted. [`Generation::Milan`] is only if it is named, or its chip in `chips`.
    pub generations: BTreeSet<Generation>,
    /// Oldest TCB of each generation; any if there is none.
    pub floors: BTreeMap<Generation, TcbFloor>,
    /// Chips that are accepted; all if there are none.
    pub chips: BTreeSet<ChipId>,
    /// Whether a host may hide which chip it has. Nothing ties the certificate to the report's chip then but
    /// the signature.
    pub allows_masked_chip: bool,
    /// Kinds of keys that are accepted.
    pub signing_keys: BTreeSet<SigningKey>,
    /// Privilege levels that may have asked for the report.
    pub vmpls: BTreeSet<u8>,
    /// Whether the guest's policy may let the host debug it, which is to read all its memory.
    pub allows_debug: bool,
    /// Whether the guest's policy may let a migration agent move it.
    pub allows_migration: bool,
    /// Author's keys that are accepted (SHA-384); none is demanded if there are none.
    pub author_keys: BTreeSet<Digest>,
    /// What the guest may have been launched with.
    pub launch: Launch,
    /// Whether a revocation list has to be given.
    pub demands_revocation_list: bool,
}

impl Default for SnpPolicy {
    fn default() -> Self {
        Self {
            generations: BTreeSet::from([Generation::Genoa, Generation::Turin]),
            floors: BTreeMap::new(),
            chips: BTreeSet::new(),
            allows_masked_chip: false,
            signing_keys: BTreeSet::from([SigningKey::Vcek]),
            vmpls: BTreeSet::from([0]),
            allows_debug: false,
            allows_migration: false,
            author_keys: BTreeSet::new(),
            launch: Launch::default(),
            demands_revocation_list: false,
        }
    }
}

/// What the guest may have been launched with. A guest that was launched with something else can make any
/// manifest, so evidence with a manifest fails where this says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Launch {
    /// Nothing is said.
    #[default]
    Unsaid,
    /// One of these measurements.
    OneOf(BTreeSet<Digest>),
    /// Anything: who owns the guest is trusted for another reason.
    Any,
}

/// What is demanded of the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ManifestPolicy {
    /// Digests of chains that are accepted; if there are any, every chain has to be one of them.
    pub chains: BTreeSet<Digest>,
    /// Measurements of functions that are accepted; if there are any, every function and carrier of every
    /// chain has to be one of them.
    pub functions: BTreeSet<Digest>,
    /// Measurements of gateways that are accepted; any if there are none.
    pub gateways: BTreeSet<Digest>,
    /// Measurements of monitors that are accepted; any if there are none.
    pub monitors: BTreeSet<Digest>,
    /// Isolation layers that have to be in force, by their names in manifests.
    pub layers: BTreeSet<String>,
    /// Whether the trusted base has to be without the operating system.
    pub demands_hardware_trust: bool,
    /// Whether nothing that functions and gateways print may go to the daemon.
    pub demands_dropped_logs: bool,
    /// Whether no edge may be mapped instead of sealed.
    pub demands_sealed_edges: bool,
    /// Whether a gateway may not serve other chains besides.
    pub demands_own_gateway: bool,
}

impl ManifestPolicy {
    /// Whether all that sees data first is named: chains as a whole, or both their functions and their
    /// gateways. Where it is not, whoever loads chains meets the policy with one of their own.
    #[must_use]
    pub fn names_chains(&self) -> bool {
        !self.chains.is_empty() || (!self.functions.is_empty() && !self.gateways.is_empty())
    }

    /// Whether functions are named behind whatever gateway, which has the key that requests are sealed to.
    pub(crate) fn leaves_gateway_open(&self) -> bool {
        !self.functions.is_empty() && !self.names_chains()
    }
}
