//! What a policy file says.

use std::collections::BTreeMap;

/// What a policy file says. What it does not say is `None`, and up to the verifier.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PolicyFile {
    /// What it is for.
    pub description: Option<String>,
    /// What may vouch: `snp`, `snp-svsm`, `emulated`.
    pub platforms: Option<Vec<String>>,
    /// Chain digests that are accepted.
    pub digests: Option<Vec<[u8; 48]>>,
    /// Measurements of functions that are accepted.
    pub functions: Option<Vec<[u8; 48]>>,
    /// Measurements of gateways that are accepted.
    pub gateways: Option<Vec<[u8; 48]>>,
    /// Whether each chain has to have a gateway of its own.
    pub own_gateway: Option<bool>,
    /// Whether what functions print has to be dropped.
    pub logs_dropped: Option<bool>,
    /// Whether all edges have to be sealed.
    pub edges_sealed: Option<bool>,
    /// Measurements of monitors that are accepted.
    pub monitors: Option<Vec<[u8; 48]>>,
    /// Isolation layers that have to be in force.
    pub layers: Option<Vec<String>>,
    /// Whether the operating system has to be outside of the trusted base.
    pub hardware_trust: Option<bool>,
    /// Generations of processors that are accepted: `milan`, `genoa`, `turin`.
    pub generations: Option<Vec<String>>,
    /// Oldest TCB of each generation.
    pub floors: BTreeMap<String, Floor>,
    /// Chips that are accepted.
    pub chips: Option<Vec<[u8; 64]>>,
    /// Whether a host may hide its chip.
    pub masked_chip: Option<bool>,
    /// Kinds of signing keys that are accepted: `vcek`, `vlek`.
    pub signing_keys: Option<Vec<String>>,
    /// Privilege levels that are accepted, 0 to 3.
    pub vmpls: Option<Vec<u8>>,
    /// Whether the guest may be debugged.
    pub debug: Option<bool>,
    /// Whether the guest may be moved.
    pub migration: Option<bool>,
    /// Author's keys that are accepted.
    pub author_keys: Option<Vec<[u8; 48]>>,
    /// What the guest may have been launched with.
    pub launch: Option<Listed>,
    /// Whether a revocation list has to be given.
    pub revocation_list: Option<bool>,
}

/// A list, or "any".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listed {
    /// The word.
    Any,
    /// The list, which has at least one item.
    These(Vec<[u8; 48]>),
}

/// The oldest versions that are accepted of a chip's firmware and microcode; what is not written is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Floor {
    /// Of the FMC.
    pub fmc: u8,
    /// Of the boot loader.
    pub boot_loader: u8,
    /// Of the operating system of the secure processor.
    pub tee: u8,
    /// Of the SNP firmware.
    pub snp: u8,
    /// Of the microcode.
    pub microcode: u8,
}
