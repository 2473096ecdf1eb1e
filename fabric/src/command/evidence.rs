//! `evidence`: what a service says of itself, and what vouches for that, for a nonce.

use super::{Failed, print, print_bytes, print_json};
use crate::cli::{EvidenceArgs, Format};
use hacher_client::evidence::{EvidenceError, PATIENCE, ask};
use hacher_client::http::{Connection, Reply};
use hacher_client::tls::Trust;
use hacher_http::percent;
use hacher_trustlet_host::evidence::manifest::Purpose;
use hacher_trustlet_host::evidence::{Evidence, Kind, Manifest};
use hacher_trustlet_host::hex::hex;
use serde_json::json;
use std::fs;
use std::io::{self, IsTerminal};
use tokio::time::timeout;

/// Asks for evidence, and writes it.
///
/// # Errors
/// When there is none, or what was answered is not evidence.
pub fn evidence(arguments: &EvidenceArgs) -> Result<(), Failed> {
    let mut path = format!("/evidence?nonce={}", arguments.nonce);
    if let Some(chain) = &arguments.chain {
        path.push_str("&chain=");
        chain.bytes().for_each(|byte| percent::push(&mut path, byte));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let format = arguments.format.format;
    let reply = runtime.block_on(async {
        let connecting = async {
            match &arguments.url {
                // Evidence proves nothing before it is verified, whoever hands it out.
                Some(url) => Ok(url.connect(&Trust::AnyCertificate, None, PATIENCE).await?),
                None => Ok(Connection::open(arguments.gateway).await?),
            }
        };
        let connected = timeout(PATIENCE, connecting).await;
        let mut connection: Connection =
            connected.unwrap_or_else(|_| Err(Failed::new(EvidenceError::Late.to_string())))?;
        match ask(&mut connection, &path, false).await {
            Ok(reply) => Ok(reply),
            Err(EvidenceError::Denied(reply)) => Err(denied(&reply, format)),
            Err(error) => Err(Failed::new(error.to_string())),
        }
    })?;
    let foreign =
        |error: &dyn core::fmt::Display| Failed::new(format!("the service sent no evidence: {error}"));
    let evidence = Evidence::decode(&reply.body).map_err(|error| foreign(&error))?;
    let manifest = Manifest::decode(&evidence.manifest).map_err(|error| foreign(&error))?;
    check_answers(&manifest, arguments.chain.as_deref())?;
    if let Some(path) = &arguments.output {
        fs::write(path, &reply.body).map_err(|error| {
            Failed::new(format!("cannot write the evidence `{}`: {error}", path.display()))
        })?;
    }
    match format {
        Format::Json => print_json(&as_json(&evidence, &arguments.nonce.0)),
        Format::Human if arguments.output.is_some() => print(&as_text(&evidence)),
        Format::Human if io::stdout().is_terminal() => {
            let hint = "With `--output FILE` it is kept, to be verified where you trust the machine.";
            print(&format!("{}{hint}\n", as_text(&evidence)))
        }
        Format::Human => print_bytes(&reply.body),
    }
}

/// Says what a service says that gives no evidence (RFC 9457).
fn denied(reply: &Reply, format: Format) -> Failed {
    match format {
        Format::Json => print_json(&reply.json()).err().unwrap_or_else(Failed::reported),
        Format::Human => Failed::new(reply.problem()),
    }
}

/// Refuses what answers another question than was asked.
fn check_answers(manifest: &Manifest, chain: Option<&str>) -> Result<(), Failed> {
    if manifest.purpose != Purpose::Nonce {
        return Err(Failed::new(
            "the service sent evidence for a connection, and not for this nonce",
        ));
    }
    match (chain, manifest.chains.as_slice()) {
        (None, _) => Ok(()),
        (Some(name), [found]) if found.name == *name => Ok(()),
        (Some(name), found) => {
            let found: Vec<String> = found.iter().map(|chain| format!("`{}`", chain.name)).collect();
            let found = if found.is_empty() {
                "none".to_owned()
            } else {
                found.join(", ")
            };
            Err(Failed::new(format!(
                "the service sent evidence about other chains than `{name}` alone: {found}"
            )))
        }
    }
}

fn as_json(evidence: &Evidence, nonce: &str) -> serde_json::Value {
    let Evidence {
        kind,
        report,
        certificates,
        service,
        manifest,
    } = evidence;
    json!({
        "kind": kind.word(),
        "nonce": nonce,
        "report": hex(report),
        "certificates": hex(certificates),
        "service_manifest": hex(service),
        "manifest": String::from_utf8_lossy(manifest),
    })
}

/// For people, who are told what it is worth.
fn as_text(evidence: &Evidence) -> String {
    let worth = match evidence.kind {
        Kind::Emulated => "signed by the service itself: nothing vouches for its machine",
        Kind::Snp | Kind::SnpSvsm => "signed by the hardware, according to the service; not verified here",
    };
    let manifest = String::from_utf8_lossy(&evidence.manifest);
    format!("{manifest}\n{} evidence, {worth}.\n", evidence.kind.word(),)
}
