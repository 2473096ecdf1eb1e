//! What a manifest states.

use crate::key::KEY_BYTES;
use crate::measurement::Measurement;
use crate::word::Word;
use alloc::vec::Vec;

/// The gateway as a producer: where requests come from. No function has this name.
pub const INGRESS: &str = "ingress";
/// The gateway as a consumer: where replies go to. No function has this name.
pub const EGRESS: &str = "egress";

/// What a monitor says. [`Manifest::encode`] writes what [`Manifest::decode`] reads as long as the rules that
/// the fields state are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Whose word the nonce is that all of this is vouched for with.
    pub purpose: Purpose,
    /// What a key broker is asked for; of [`Purpose::Secret`], and of no other.
    pub secret: Option<Resource>,
    /// The platform's name: `process` for processes of an operating system.
    pub platform: Word,
    /// What keeps the operating system from the data of trustlets, if anything does.
    pub trust: Trust,
    /// Layers of isolation, each once, in the order of their names.
    pub layers: Vec<Layer>,
    /// The monitor's version.
    pub monitor_version: Word,
    /// SHA-384 of the monitor's executable.
    pub monitor: Measurement,
    /// SHA-384 of the executable of loader and daemon.
    pub daemon: Measurement,
    /// Ed25519 public key for the monitor's statements, new at each of its starts.
    pub statement_key: [u8; KEY_BYTES],
    /// Chains, no two of the same name.
    pub chains: Vec<Chain>,
}

/// Where the nonce of evidence comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Whoever asked has chosen it, and can have passed on that of somebody else.
    Nonce,
    /// The gateway, which is measured, has computed it from its own end of a connection: nobody in between
    /// has had a say in it.
    Session,
    /// The monitor has computed it from what it tells a key broker ([`crate::release`]): the key that a
    /// secret is to be sealed for is its own, and nobody else can have this said.
    Secret,
}

/// What a key broker keeps, as its protocol names it: `REPOSITORY/TYPE/TAG`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// Whose it is.
    pub repository: Word,
    /// What it is.
    pub kind: Word,
    /// Which it is.
    pub tag: Word,
}

/// Whom trustlets have to trust.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Trust {
    /// The operating system that the monitor runs on, and whoever controls it. A report of hardware says
    /// which one was launched; without one, it is no more than its word.
    OperatingSystem,
    /// The monitor and the processor alone, which keep the operating system out.
    Hardware,
}

/// One layer of isolation between trustlets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// Its name, with `-` for each blank.
    pub name: Word,
    /// Whether the machine has it; a layer that is missing is named all the same.
    pub is_enforced: bool,
}

/// One chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// The chain digest: SHA-384 over the canonical plan.
    pub digest: Measurement,
    /// The chain's version.
    pub version: Word,
    /// The chain's name.
    pub name: Word,
    /// X25519 public key of this chain's gateway for sealed requests, new with each of its processes. None
    /// with [`Purpose::Secret`], and then only: no gateway is started before the secrets of functions
    /// are there.
    pub request_key: Option<[u8; KEY_BYTES]>,
    /// The gateway that serves it.
    pub gateway: Gateway,
    /// Its functions and carriers, no two of the same name, none called [`INGRESS`] or [`EGRESS`].
    pub functions: Vec<Function>,
    /// Its edges.
    pub edges: Vec<Edge>,
}

/// The gateway of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gateway {
    /// Measurement of its image: executable, libraries, files, arguments and environment.
    pub image: Measurement,
    /// Whether it serves this chain alone; else it sees the plaintext of other chains, too.
    pub is_own: bool,
    /// What becomes of what it prints.
    pub logs: Logs,
    /// SHA-256 of the SubjectPublicKeyInfo of the certificate that it presents; `None` if it speaks plain
    /// HTTP.
    pub tls_key: Option<[u8; KEY_BYTES]>,
}

/// What becomes of what a process prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Logs {
    /// Nobody sees it.
    Dropped,
    /// The daemon does, who is not trusted with data.
    Forwarded,
}

/// A function, or a carrier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// Measurement of its image: executable, libraries, files, arguments and environment.
    pub image: Measurement,
    /// Its name.
    pub name: Word,
    /// It relays sealed records, and has no key to open one.
    pub is_carrier: bool,
    /// What becomes of what it prints.
    pub logs: Logs,
}

/// Where the records of a port go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edge {
    /// A function, or [`INGRESS`].
    pub from: Word,
    /// The producer's port; the gateway's is called [`INGRESS`], too.
    pub port: Word,
    /// A function, or [`EGRESS`].
    pub to: Word,
    /// How records are protected.
    pub protection: Protection,
    /// The carrier that they cross; only sealed ones do.
    pub across: Option<Word>,
}

/// How the records of an edge are protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protection {
    /// Authenticated encryption.
    Sealed,
    /// Memory that the two ends alone have.
    Mapped,
}

impl Purpose {
    /// As the manifest has it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Nonce => "nonce",
            Self::Session => "session",
            Self::Secret => "secret",
        }
    }
}

impl Trust {
    /// As the manifest has it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::OperatingSystem => "operating-system",
            Self::Hardware => "hardware",
        }
    }
}

impl Logs {
    /// As the manifest has it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Dropped => "dropped",
            Self::Forwarded => "forwarded",
        }
    }
}

impl Protection {
    /// As the manifest has it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Sealed => "sealed",
            Self::Mapped => "mapped",
        }
    }
}
