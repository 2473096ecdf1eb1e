//! Whether evidence is about what the caller asked for, and about whom it met: nobody in between may answer
//! with what is true of another question, another connection or another chain.

use crate::check::{CheckName, Checks};
use crate::expectations::Expectations;
use crate::hex::Hex;
use hacher_evidence::Manifest;
use hacher_evidence::manifest::Purpose;

pub(crate) fn check_connection(manifest: &Manifest, expectations: &Expectations<'_>, checks: &mut Checks) {
    checks.put(
        CheckName::Purpose,
        is_for_purpose(manifest.purpose, expectations.purpose),
    );
    match expectations.chain {
        Some(name) => checks.put(CheckName::Chain, is_about(manifest, name)),
        None => checks.skip(
            CheckName::Chain,
            format!(
                "no chain is demanded (`verify --chain`); here: {}",
                listed(names(manifest))
            ),
        ),
    }
    match expectations.tls_key {
        Some(key) => checks.put(CheckName::TlsKey, is_behind(manifest, &key)),
        None => {
            let found = manifest.chains.iter().map(|chain| {
                let key = key_in_words(chain.gateway.tls_key.as_ref());
                format!("{key} of chain `{}`", chain.name)
            });
            let reason = format!(
                "no certificate is given (`verify --tls-certificate`); here: {}",
                listed(found)
            );
            checks.skip(CheckName::TlsKey, reason);
        }
    }
}

fn is_for_purpose(found: Purpose, expected: Purpose) -> Result<String, String> {
    match (expected, found) {
        (Purpose::Nonce, Purpose::Nonce) => Ok("for a nonce that was sent".to_owned()),
        (Purpose::Secret, Purpose::Secret) => Ok("for a key broker, by the monitor itself".to_owned()),
        (Purpose::Session, Purpose::Session) => Ok("for a connection, by the gateway at its end".to_owned()),
        (Purpose::Session, Purpose::Nonce) => Err(
            "bound to a nonce that was sent, not to a connection: it can have been relayed"
                .to_owned(),
        ),
        (Purpose::Nonce, Purpose::Session) => {
            Err("for a connection of the gateway's, and not for a nonce that was sent".to_owned())
        }
        (Purpose::Secret, Purpose::Nonce | Purpose::Session) => Err(
            "not bound to a key broker's challenge: its requester can have chosen the key that a secret would be sealed to"
                .to_owned(),
        ),
        (Purpose::Nonce | Purpose::Session, Purpose::Secret) => {
            Err("for a key broker, before the chain was started".to_owned())
        }
    }
}

fn is_about(manifest: &Manifest, name: &str) -> Result<String, String> {
    match manifest.chains.as_slice() {
        [chain] if chain.name == *name => Ok(format!("about `{name}` and no other chain")),
        _ => Err(format!(
            "`{name}` alone is meant, and the manifest is about {}",
            listed(names(manifest))
        )),
    }
}

fn is_behind(manifest: &Manifest, key: &[u8; 32]) -> Result<String, String> {
    if manifest.chains.is_empty() {
        return Err("the manifest has no gateway".to_owned());
    }
    let others = manifest
        .chains
        .iter()
        .filter(|chain| chain.gateway.tls_key.as_ref() != Some(key));
    let others: Vec<String> = others
        .map(|chain| {
            let key = key_in_words(chain.gateway.tls_key.as_ref());
            format!("the gateway of chain `{}` has {key}", chain.name)
        })
        .collect();
    match others.is_empty() {
        true => Ok(format!("sha256 {}, as was met", Hex(key))),
        false => Err(format!(
            "{}, and the certificate that was met has sha256 {}: another server ended that connection",
            others.join("; "),
            Hex(key)
        )),
    }
}

fn names(manifest: &Manifest) -> impl Iterator<Item = String> {
    manifest.chains.iter().map(|chain| format!("`{}`", chain.name))
}

fn key_in_words(key: Option<&[u8; 32]>) -> String {
    key.map_or_else(|| "no TLS key".to_owned(), |key| format!("sha256 {}", Hex(key)))
}

fn listed(words: impl Iterator<Item = String>) -> String {
    let words: Vec<String> = words.collect();
    match words.is_empty() {
        true => "none".to_owned(),
        false => words.join(", "),
    }
}
