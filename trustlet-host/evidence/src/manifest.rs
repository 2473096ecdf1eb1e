//! The manifest: what a monitor says of itself and of its chains, as text of one fact a line.
//!
//! ```text
//! hacher-manifest 1
//! platform NAME
//! trust operating-system|hardware
//! layer NAME enforced|missing                            any number, by the bytes of their names
//! monitor VERSION HEX96
//! daemon HEX96
//! statement-key ed25519 HEX64
//! chain HEX96 VERSION NAME                               any number, in the monitor's order; of each:
//! request-key x25519 HEX64
//! gateway HEX96 shared|own logs dropped|forwarded
//! tls-key none | tls-key sha256 HEX64
//! function|carrier HEX96 NAME logs dropped|forwarded     any number, in the chain's order
//! edge FROM PORT TO sealed|mapped [across CARRIER]       any number, in the chain's order
//! ```
//!
//! Each line ends with one line feed, words are parted by one blank, hex digits are lower case: no two
//! manifests mean the same. A line says what it is by its first word, so the order is there to be checked, and
//! a reader needs no look ahead. `docs/evidence.md` has it in full.

mod decode;

use crate::word::Word;
use crate::{KEY_BYTES, Measurement};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write};

pub use decode::ManifestError;

/// The longest manifest. One chain with all that a chain can have (256 functions, 1,024 edges) takes a third
/// of it, and it bounds what a verifier of a stranger's evidence has to read.
pub const MANIFEST_MAX_BYTES: usize = 1024 * 1024;
/// The first line.
const HEADING: &str = "hacher-manifest 1";
/// The gateway as a producer: where requests come from. No function has this name.
pub const INGRESS: &str = "ingress";
/// The gateway as a consumer: where replies go to. No function has this name.
pub const EGRESS: &str = "egress";

/// What a monitor says. [`Manifest::encode`] writes what [`Manifest::decode`] reads as long as the rules that
/// the fields state are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
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

/// Whom trustlets have to trust.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Trust {
    /// The operating system that the monitor runs on, and whoever controls it. A report of hardware says which
    /// one was launched; without one, it is no more than its word.
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
    /// X25519 public key of this chain's gateway for sealed requests, new at each start of the monitor.
    pub request_key: [u8; KEY_BYTES],
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

impl Manifest {
    /// The bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = self.write(&mut text);
        text.into_bytes()
    }

    /// Takes bytes apart, which may be anybody's.
    ///
    /// # Errors
    /// When they are not exactly what [`Manifest::encode`] writes.
    pub fn decode(bytes: &[u8]) -> Result<Self, ManifestError> {
        decode::manifest(bytes)
    }

    fn write(&self, text: &mut String) -> fmt::Result {
        let Self {
            platform,
            trust,
            layers,
            monitor_version,
            monitor,
            daemon,
            statement_key,
            chains,
        } = self;
        writeln!(text, "{HEADING}")?;
        writeln!(text, "platform {platform}")?;
        writeln!(text, "trust {}", trust.word())?;
        for Layer { name, is_enforced } in layers {
            writeln!(text, "layer {name} {}", state(*is_enforced))?;
        }
        writeln!(text, "monitor {monitor_version} {}", Hex(monitor))?;
        writeln!(text, "daemon {}", Hex(daemon))?;
        writeln!(text, "statement-key ed25519 {}", Hex(statement_key))?;
        chains.iter().try_for_each(|chain| chain.write(text))
    }
}

impl Chain {
    fn write(&self, text: &mut String) -> fmt::Result {
        let Self {
            digest,
            version,
            name,
            request_key,
            gateway,
            functions,
            edges,
        } = self;
        writeln!(text, "chain {} {version} {name}", Hex(digest))?;
        writeln!(text, "request-key x25519 {}", Hex(request_key))?;
        let Gateway {
            image,
            is_own,
            logs,
            tls_key,
        } = gateway;
        let tenancy = tenancy(*is_own);
        writeln!(text, "gateway {} {tenancy} logs {}", Hex(image), logs.word())?;
        match tls_key {
            None => writeln!(text, "tls-key none")?,
            Some(hash) => writeln!(text, "tls-key sha256 {}", Hex(hash))?,
        }
        for function in functions {
            let Function {
                image,
                name,
                is_carrier,
                logs,
            } = function;
            let kind = if *is_carrier { "carrier" } else { "function" };
            writeln!(text, "{kind} {} {name} logs {}", Hex(image), logs.word())?;
        }
        for edge in edges {
            let Edge {
                from,
                port,
                to,
                protection,
                across,
            } = edge;
            write!(text, "edge {from} {port} {to} {}", protection.word())?;
            match across {
                None => writeln!(text)?,
                Some(carrier) => writeln!(text, " across {carrier}")?,
            }
        }
        Ok(())
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

const fn state(is_enforced: bool) -> &'static str {
    if is_enforced { "enforced" } else { "missing" }
}

const fn tenancy(is_own: bool) -> &'static str {
    if is_own { "own" } else { "shared" }
}

/// Two lower-case digits for each byte.
struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}
