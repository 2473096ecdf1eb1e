//! From a manifest to its bytes.

use super::facts::{Chain, Edge, Function, Gateway, Layer, Manifest, Resource};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write};

/// The first line.
pub(super) const HEADING: &str = "hacher-manifest 1";

/// All lines.
pub(super) fn manifest(manifest: &Manifest) -> Vec<u8> {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = manifest.write(&mut text);
    text.into_bytes()
}

impl Manifest {
    fn write(&self, text: &mut String) -> fmt::Result {
        let Self {
            purpose,
            secret,
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
        writeln!(text, "purpose {}", purpose.word())?;
        if let Some(Resource {
            repository,
            kind,
            tag,
        }) = secret
        {
            writeln!(text, "secret {repository} {kind} {tag}")?;
        }
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
        match request_key {
            None => writeln!(text, "request-key none")?,
            Some(key) => writeln!(text, "request-key x25519 {}", Hex(key))?,
        }
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

pub(super) const fn state(is_enforced: bool) -> &'static str {
    if is_enforced { "enforced" } else { "missing" }
}

pub(super) const fn tenancy(is_own: bool) -> &'static str {
    if is_own { "own" } else { "shared" }
}

/// Two lower-case digits for each byte.
struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}
