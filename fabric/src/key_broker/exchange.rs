//! One exchange with a broker: authentication, attestation, and the resource.

use super::broker::{Answer, Connection, KeyBroker};
use super::question::Shown;
use super::sealed::Sealed;
use crate::failed::Failed;
use hacher_chain_dsl::Resource;
use hacher_trustlet_host::evidence::envelope::MEDIA_TYPE;
use hacher_trustlet_host::evidence::release::{base64_url, is_broker_nonce};
use hacher_trustlet_host::linux::report::Source;
use hyper::StatusCode;
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

/// The version of the protocol.
const VERSION: &str = "0.4.0";
/// The hash that binds keys to evidence.
const HASH: &str = "sha384";
/// The cookie that a session is known by.
const SESSION: &str = "kbs-session-id";
/// The longest session; Trustee's have 32 characters.
const SESSION_MAX_BYTES: usize = 1024;
/// What is shown of a broker's own words.
const WORDS_MAX_CHARS: usize = 300;

/// An exchange that has begun.
pub(super) struct Exchange {
    connection: Connection,
    /// The session, as a header has it.
    cookie: String,
    nonce: String,
}

impl Exchange {
    /// Asks for a nonce.
    pub(super) async fn begin(broker: &KeyBroker) -> Result<Self, Failed> {
        let mut connection = broker.connect().await?;
        let request = json!({
            "version": VERSION,
            "tee": platform().await?,
            "extra-params": { "supported-hash-algorithms": [HASH] },
        });
        let body = request.to_string().into_bytes();
        let answer = connection.send("POST", "/kbs/v0/auth", None, body).await?;
        let challenge = read(&answer, "authentication")?;
        let nonce = challenge.get("nonce").and_then(Value::as_str).unwrap_or_default();
        if !is_broker_nonce(nonce) {
            return Err(Failed::new("its challenge has no base64 nonce"));
        }
        let selected = challenge.pointer("/extra-params/selected-hash-algorithm");
        if let Some(other) = selected.filter(|selected| !is_our_hash(selected)) {
            return Err(Failed::new(format!(
                "it demands the hash algorithm {}, and evidence uses {HASH}",
                words(&other.to_string())
            )));
        }
        Ok(Self {
            connection,
            cookie: session(&answer).ok_or_else(|| Failed::new(format!("it set no cookie `{SESSION}`")))?,
            nonce: nonce.to_owned(),
        })
    }

    /// The broker's nonce.
    pub(super) fn nonce(&self) -> &str {
        &self.nonce
    }

    /// Shows the monitor's evidence.
    pub(super) async fn attest(&mut self, shown: &Shown) -> Result<(), Failed> {
        let attestation = json!({
            "runtime-data": {
                "nonce": self.nonce,
                "tee-pubkey": {
                    "kty": "EC",
                    "crv": "P-256",
                    "alg": "ECDH-ES+A256KW",
                    "x": base64_url(&shown.key.x),
                    "y": base64_url(&shown.key.y),
                },
            },
            "tee-evidence": {
                "primary_evidence": {
                    "media-type": MEDIA_TYPE,
                    "evidence": base64_url(&shown.evidence),
                },
                "additional_evidence": "",
            },
        });
        let body = attestation.to_string().into_bytes();
        let answer = self
            .connection
            .send("POST", "/kbs/v0/attest", Some(&self.cookie), body)
            .await?;
        read(&answer, "attestation").map(drop)
    }

    /// Asks for a resource.
    pub(super) async fn resource(&mut self, resource: &Resource) -> Result<Sealed, Failed> {
        let Resource {
            repository,
            kind,
            tag,
        } = resource;
        let path = format!("/kbs/v0/resource/{repository}/{kind}/{tag}");
        let answer = self
            .connection
            .send("GET", &path, Some(&self.cookie), Vec::new())
            .await?;
        Sealed::read(&read(&answer, "the request for it")?)
    }
}

/// What Trustee calls what vouches here. `sample` is its word for what proves nothing.
async fn platform() -> Result<&'static str, Failed> {
    // A device that does not answer keeps a thread, and not whoever looks at the time.
    Ok(match spawn_blocking(Source::find).await?? {
        Some(_) => "snp",
        None => "sample",
    })
}

fn is_our_hash(selected: &Value) -> bool {
    let said = selected.as_str().unwrap_or_default();
    said.eq_ignore_ascii_case(HASH) || said.eq_ignore_ascii_case("sha-384")
}

/// The JSON of an answer that says yes.
fn read(answer: &Answer, to_what: &str) -> Result<Value, Failed> {
    let Answer {
        status,
        headers: _,
        body,
    } = answer;
    let body: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    if *status == StatusCode::OK {
        return match body {
            Value::Object(_) => Ok(body),
            _ => Err(Failed::new(format!(
                "its answer to {to_what} is not a JSON object"
            ))),
        };
    }
    let words_of_broker = body
        .get("detail")
        .and_then(Value::as_str)
        .unwrap_or("it does not say why");
    Err(Failed::new(format!(
        "it answered {to_what} with {status}: {}",
        words(words_of_broker)
    )))
}

/// A broker's own words, which end in a log.
fn words(said: &str) -> String {
    let visible = said.chars().filter(|c| c.is_ascii_graphic() || *c == ' ');
    visible.take(WORDS_MAX_CHARS).collect()
}

/// The session that an answer sets, as a request repeats it.
fn session(answer: &Answer) -> Option<String> {
    let mut cookies = answer.headers.get_all("set-cookie").iter();
    cookies.find_map(|cookie| {
        let pair = cookie.to_str().ok()?.split(';').next()?.trim();
        let value = pair.strip_prefix(SESSION)?.strip_prefix('=')?;
        let is_value = !value.is_empty() && value.len() <= SESSION_MAX_BYTES && !value.contains(' ');
        is_value.then(|| pair.to_owned())
    })
}
