//! From bytes, which may be anybody's, to a manifest: exactly the canonical form is taken.
//!
//! Each reader of a line takes one form only, so what was read is written back as it was.

use super::encode::{HEADING, state, tenancy};
use super::facts::{
    Chain, EGRESS, Edge, Function, Gateway, INGRESS, Layer, Logs, Manifest, Protection, Purpose, Resource,
    Trust,
};
use crate::key::KEY_BYTES;
use crate::word::Word;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::iter::Peekable;
use core::str::Split;

/// The longest manifest.
pub(super) const BYTES_MAX: usize = 1024 * 1024;

/// Why bytes are no manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// Longer than any that is made.
    #[error("the manifest has {len_bytes} bytes; {BYTES_MAX} are the most")]
    TooLong {
        /// How long it is.
        len_bytes: usize,
    },
    /// Not text.
    #[error("the manifest is not ASCII text")]
    NotText,
    /// It does not end with a line feed.
    #[error("the last line of the manifest does not end with a line feed: it was cut short")]
    CutShort,
    /// A line is not what stands there in a manifest.
    #[error("line {line} of the manifest is not {expected}")]
    Line {
        /// Its number, from 1.
        line: usize,
        /// What stands there.
        expected: &'static str,
    },
}

/// Reads all lines.
pub(super) fn manifest(bytes: &[u8]) -> Result<Manifest, ManifestError> {
    if bytes.len() > BYTES_MAX {
        return Err(ManifestError::TooLong {
            len_bytes: bytes.len(),
        });
    }
    let text = core::str::from_utf8(bytes).map_err(|_| ManifestError::NotText)?;
    if !text.is_ascii() {
        return Err(ManifestError::NotText);
    }
    let lines = text.strip_suffix('\n').ok_or(ManifestError::CutShort)?;
    let mut lines = Lines {
        left: lines.split('\n').peekable(),
        read: 0,
    };
    lines.one("`hacher-manifest 1`", |line| (line == HEADING).then_some(()))?;
    let purpose = lines.one("`purpose nonce`, `purpose session` or `purpose secret`", purpose)?;
    let secret = match purpose {
        Purpose::Nonce | Purpose::Session => None,
        Purpose::Secret => Some(lines.one("`secret REPOSITORY TYPE TAG`", resource)?),
    };
    let platform = lines.one("`platform NAME`", |line| word(line.strip_prefix("platform ")?))?;
    let trust = lines.one("`trust operating-system` or `trust hardware`", trust)?;
    let layers = layers(&mut lines)?;
    let (monitor_version, monitor) = lines.one("`monitor VERSION HEX96`", |line| {
        let (version, hash) = line.strip_prefix("monitor ")?.split_once(' ')?;
        Some((word(version)?, hex(hash)?))
    })?;
    let daemon = lines.one("`daemon HEX96`", |line| hex(line.strip_prefix("daemon ")?))?;
    let statement_key = lines.one("`statement-key ed25519 HEX64`", |line| {
        hex(line.strip_prefix("statement-key ed25519 ")?)
    })?;
    Ok(Manifest {
        purpose,
        secret,
        platform,
        trust,
        layers,
        monitor_version,
        monitor,
        daemon,
        statement_key,
        chains: chains(lines, purpose)?,
    })
}

/// Lines that have not been read.
struct Lines<'a> {
    left: Peekable<Split<'a, char>>,
    read: usize,
}

impl<'a> Lines<'a> {
    /// The next line, which has to be there and to be `expected`.
    fn one<T>(
        &mut self,
        expected: &'static str,
        read: impl FnOnce(&'a str) -> Option<T>,
    ) -> Result<T, ManifestError> {
        self.read += 1;
        let line = self.left.next();
        line.and_then(read).ok_or(ManifestError::Line {
            line: self.read,
            expected,
        })
    }

    /// Whether the next line begins so.
    fn begin_with(&mut self, starts: &[&str]) -> bool {
        let next = self.left.peek();
        next.is_some_and(|line| starts.iter().any(|start| line.starts_with(start)))
    }

    /// An error about the line that was read last.
    const fn fault(&self, expected: &'static str) -> ManifestError {
        ManifestError::Line {
            line: self.read,
            expected,
        }
    }
}

fn purpose(line: &str) -> Option<Purpose> {
    let said = line.strip_prefix("purpose ")?;
    let known = [Purpose::Nonce, Purpose::Session, Purpose::Secret];
    known.into_iter().find(|purpose| purpose.word() == said)
}

fn resource(line: &str) -> Option<Resource> {
    let mut words = line.strip_prefix("secret ")?.split(' ').map(word);
    let resource = Resource {
        repository: words.next()??,
        kind: words.next()??,
        tag: words.next()??,
    };
    words.next().is_none().then_some(resource)
}

fn trust(line: &str) -> Option<Trust> {
    let said = line.strip_prefix("trust ")?;
    let known = [Trust::OperatingSystem, Trust::Hardware];
    known.into_iter().find(|trust| trust.word() == said)
}

fn layers(lines: &mut Lines<'_>) -> Result<Vec<Layer>, ManifestError> {
    let mut layers: Vec<Layer> = Vec::new();
    while lines.begin_with(&["layer "]) {
        let layer = lines.one("`layer NAME enforced` or `layer NAME missing`", |line| {
            let (name, said) = line.strip_prefix("layer ")?.split_once(' ')?;
            let known = [true, false];
            Some(Layer {
                name: word(name)?,
                is_enforced: known.into_iter().find(|known| state(*known) == said)?,
            })
        })?;
        if layers.last().is_some_and(|last| last.name >= layer.name) {
            return Err(lines.fault("a layer whose name comes after the last one's"));
        }
        layers.push(layer);
    }
    Ok(layers)
}

fn chains(mut lines: Lines<'_>, purpose: Purpose) -> Result<Vec<Chain>, ManifestError> {
    let mut chains = Vec::new();
    let mut names = BTreeSet::new();
    while lines.left.peek().is_some() {
        let chain = chain(&mut lines, purpose, &mut names)?;
        chains.push(chain);
    }
    Ok(chains)
}

fn chain(
    lines: &mut Lines<'_>,
    purpose: Purpose,
    names: &mut BTreeSet<Word>,
) -> Result<Chain, ManifestError> {
    let (digest, version, name) = lines.one("`chain HEX96 VERSION NAME`", |line| {
        let (hash, names) = line.strip_prefix("chain ")?.split_once(' ')?;
        let (version, name) = names.split_once(' ')?;
        Some((hex(hash)?, word(version)?, word(name)?))
    })?;
    if !names.insert(name.clone()) {
        return Err(lines.fault("a chain of a name of its own"));
    }
    let request_key = request_key(lines, purpose)?;
    let gateway = gateway(lines)?;
    if purpose == Purpose::Secret && gateway.tls_key.is_some() {
        return Err(lines.fault("`tls-key none`, as no gateway is started"));
    }
    let mut functions = Vec::new();
    let mut kinds = BTreeMap::new();
    while lines.begin_with(&["function ", "carrier "]) {
        let expected = "`function HEX96 NAME logs dropped|forwarded`, or the same of a `carrier`";
        let function = lines.one(expected, function)?;
        let is_reserved = function.name == *INGRESS || function.name == *EGRESS;
        if is_reserved || kinds.insert(function.name.clone(), function.is_carrier).is_some() {
            return Err(lines.fault("a function or carrier of a name of its own"));
        }
        functions.push(function);
    }
    let mut edges = Vec::new();
    while lines.begin_with(&["edge "]) {
        let edge = lines.one(
            "`edge FROM PORT TO sealed|mapped`, or `... sealed across CARRIER`",
            edge,
        )?;
        if !joins(&edge, &kinds) {
            return Err(
                lines.fault("an edge between functions of this chain, across one of its carriers if any")
            );
        }
        edges.push(edge);
    }
    Ok(Chain {
        digest,
        version,
        name,
        request_key,
        gateway,
        functions,
        edges,
    })
}

/// No gateway is started before the secrets of functions are there.
fn request_key(lines: &mut Lines<'_>, purpose: Purpose) -> Result<Option<[u8; KEY_BYTES]>, ManifestError> {
    if purpose == Purpose::Secret {
        return lines.one("`request-key none`", |line| {
            (line == "request-key none").then_some(None)
        });
    }
    lines.one("`request-key x25519 HEX64`", |line| {
        Some(Some(hex(line.strip_prefix("request-key x25519 ")?)?))
    })
}

fn gateway(lines: &mut Lines<'_>) -> Result<Gateway, ManifestError> {
    let expected = "`gateway HEX96 shared|own logs dropped|forwarded`";
    let (image, is_own, logs) = lines.one(expected, |line| {
        let (hash, said) = line.strip_prefix("gateway ")?.split_once(' ')?;
        let (said, logs) = said.split_once(" logs ")?;
        let known = [true, false];
        let is_own = known.into_iter().find(|known| tenancy(*known) == said)?;
        Some((hex(hash)?, is_own, self::logs(logs)?))
    })?;
    let tls_key = lines.one("`tls-key none` or `tls-key sha256 HEX64`", |line| {
        match line.strip_prefix("tls-key ")? {
            "none" => Some(None),
            hash => Some(Some(hex(hash.strip_prefix("sha256 ")?)?)),
        }
    })?;
    Ok(Gateway {
        image,
        is_own,
        logs,
        tls_key,
    })
}

fn function(line: &str) -> Option<Function> {
    let (kind, rest) = line.split_once(' ')?;
    let (hash, rest) = rest.split_once(' ')?;
    let (name, said) = rest.split_once(" logs ")?;
    Some(Function {
        image: hex(hash)?,
        name: word(name)?,
        is_carrier: match kind {
            "function" => false,
            "carrier" => true,
            _ => return None,
        },
        logs: logs(said)?,
    })
}

fn edge(line: &str) -> Option<Edge> {
    let mut words = line.strip_prefix("edge ")?.split(' ');
    let (from, port, to) = (word(words.next()?)?, word(words.next()?)?, word(words.next()?)?);
    let said = words.next()?;
    let known = [Protection::Sealed, Protection::Mapped];
    let protection = known.into_iter().find(|known| known.word() == said)?;
    let across = match (words.next(), words.next(), words.next()) {
        (None, ..) => None,
        (Some("across"), Some(carrier), None) => Some(word(carrier)?),
        _ => return None,
    };
    Some(Edge {
        from,
        port,
        to,
        protection,
        across,
    })
}

/// Whether an edge joins what the chain has; `kinds` says of each name whether it is a carrier's.
fn joins(edge: &Edge, kinds: &BTreeMap<Word, bool>) -> bool {
    let is_function = |name| kinds.get(name) == Some(&false);
    let from_gateway = edge.from == *INGRESS && edge.port == *INGRESS;
    let crosses = match &edge.across {
        None => true,
        Some(carrier) => edge.protection == Protection::Sealed && kinds.get(carrier) == Some(&true),
    };
    crosses && (from_gateway || is_function(&edge.from)) && (edge.to == *EGRESS || is_function(&edge.to))
}

fn logs(said: &str) -> Option<Logs> {
    let known = [Logs::Dropped, Logs::Forwarded];
    known.into_iter().find(|logs| logs.word() == said)
}

fn word(text: &str) -> Option<Word> {
    Word::new(text).ok()
}

/// Bytes from two lower-case digits each, and no other length.
fn hex<const BYTES: usize>(text: &str) -> Option<[u8; BYTES]> {
    let digit = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let (pairs, odd) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != BYTES || !odd.is_empty() {
        return None;
    }
    let mut bytes = [0; BYTES];
    for (byte, &[high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(high)? << 4 | digit(low)?;
    }
    Some(bytes)
}
