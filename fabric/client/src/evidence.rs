//! Evidence of a gateway: asked for with fresh randomness, and verified before anything is believed.

pub use hacher_verifier::{Digest, Policy};

use crate::http::{Connection, HttpError, Reply};
use hacher_evidence::envelope::EVIDENCE_MAX_BYTES;
use hacher_evidence::session::{ChannelBinding, RANDOM_BYTES};
use hacher_evidence::{KEY_BYTES, MEASUREMENT_BYTES, NONCE_BYTES};
use hacher_http::percent;
use hacher_verifier::{Expectations, Purpose, UnixTime, Verdict, verify};
use hyper::StatusCode;
use ring::rand::{SecureRandom, SystemRandom};
use std::fmt::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::{Instant, sleep, timeout};

/// How long evidence may take: a device may take seconds for a report, and others may have asked before.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What whoever sends data demands of evidence, and brings along.
#[derive(Debug, Clone, Default)]
pub struct Demands {
    /// What is accepted.
    pub policy: Policy,
    /// Certificates in DER besides those in the evidence.
    pub certificates: Vec<Vec<u8>>,
    /// Revocation lists in DER.
    pub revocation_lists: Vec<Vec<u8>>,
    /// Whether evidence is accepted that no hardware vouches for.
    pub allow_emulated: bool,
    /// Whether a gateway that is asked for too much is left alone, and not asked again when it says.
    pub asks_once: bool,
}

impl Demands {
    /// Refuses what whoever loads chains could meet with a chain, or a gateway, of their own.
    ///
    /// # Errors
    /// [`EvidenceError::Undemanded`].
    pub fn name_chains(&self) -> Result<(), EvidenceError> {
        match self.policy.manifest.names_chains() {
            true => Ok(()),
            false => Err(EvidenceError::Undemanded),
        }
    }
}

/// What verified evidence says of the chain that data is for.
#[derive(Debug, Clone)]
pub struct Verified {
    /// The key that requests are sealed to.
    pub request_key: [u8; KEY_BYTES],
    /// The chain's digest.
    pub chain_digest: [u8; MEASUREMENT_BYTES],
    /// All checks; none has failed.
    pub verdict: Verdict,
}

/// There is no evidence that could be relied on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvidenceError {
    /// It cannot be asked for.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The service has none.
    #[error("the service has no evidence: {}", .0.problem())]
    Denied(Box<Reply>),
    /// It does not prove what is demanded.
    #[error("the evidence was refused")]
    Refused(Box<Verdict>),
    /// None came in time.
    #[error("no evidence came within {PATIENCE:?}")]
    Late,
    /// The connection cannot be bound to evidence.
    #[error("this connection cannot be bound to evidence: {0}")]
    Unbound(&'static str),
    /// Evidence of any chain, or of any gateway in front of it, would do: what asks for it would learn
    /// nothing of what sees its data.
    #[error(
        "the policy names no chain: it needs `digests`, or both `functions` and `gateways`, as the operator who loads chains decides all that it leaves open"
    )]
    Undemanded,
    /// There is no randomness, or no time.
    #[error("this machine has no {0}")]
    Machine(&'static str),
}

/// Evidence for a nonce: of a gateway that anybody may stand in front of.
///
/// # Errors
/// [`EvidenceError`].
pub async fn for_nonce(
    connection: &mut Connection,
    chain: &str,
    demands: &Demands,
) -> Result<Verified, EvidenceError> {
    let nonce: [u8; NONCE_BYTES] = random()?;
    let target = target("nonce", &nonce, chain);
    let evidence = ask(connection, &target, demands.asks_once).await?;
    judge(&evidence, nonce, Purpose::Nonce, None, chain, demands)
}

/// Evidence for a session: of the gateway at the other end of this very connection.
///
/// # Errors
/// [`EvidenceError`]; [`EvidenceError::Unbound`] before anything is asked.
pub async fn for_session(
    connection: &mut Connection,
    chain: &str,
    demands: &Demands,
) -> Result<Verified, EvidenceError> {
    let met = connection
        .met()
        .ok_or(EvidenceError::Unbound("it is not over TLS"))?;
    let unbound = EvidenceError::Unbound("it is older than TLS 1.3, or gives no key of its own");
    let binding: ChannelBinding = met.binding.ok_or(unbound)?;
    let random: [u8; RANDOM_BYTES] = random()?;
    let target = target("session", &random, chain);
    let evidence = ask(connection, &target, demands.asks_once).await?;
    let nonce = binding.nonce(&random);
    judge(&evidence, nonce, Purpose::Session, Some(met.key), chain, demands)
}

fn target(parameter: &str, bytes: &[u8], chain: &str) -> String {
    let mut target = format!("/evidence?{parameter}=");
    for byte in bytes {
        // Writing to a string does not fail.
        let _ = write!(target, "{byte:02x}");
    }
    target.push_str("&chain=");
    chain.bytes().for_each(|byte| percent::push(&mut target, byte));
    target
}

/// Asks at a path, and asks again when the gateway has said so while there is time for it.
///
/// # Errors
/// [`EvidenceError::Http`], [`EvidenceError::Denied`], [`EvidenceError::Late`].
pub async fn ask(connection: &mut Connection, target: &str, asks_once: bool) -> Result<Reply, EvidenceError> {
    let until = Instant::now() + PATIENCE;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let asked = timeout(left, connection.get_at_most(target, EVIDENCE_MAX_BYTES)).await;
        let reply = asked.map_err(|_| EvidenceError::Late)??;
        if reply.status.is_success() {
            return Ok(reply);
        }
        let left = until.saturating_duration_since(Instant::now());
        match retry_after(&reply).filter(|wait| *wait < left && !asks_once) {
            Some(wait) => sleep(wait).await,
            None => return Err(EvidenceError::Denied(Box::new(reply))),
        }
    }
}

/// When a gateway that is asked for too much wants to be asked again: in a second at the earliest.
fn retry_after(reply: &Reply) -> Option<Duration> {
    if reply.status != StatusCode::TOO_MANY_REQUESTS {
        return None;
    }
    let seconds = reply.header("retry-after")?.parse().ok()?;
    Some(Duration::from_secs(seconds).max(Duration::from_secs(1)))
}

fn judge(
    evidence: &Reply,
    nonce: [u8; NONCE_BYTES],
    purpose: Purpose,
    tls_key: Option<[u8; 32]>,
    chain: &str,
    demands: &Demands,
) -> Result<Verified, EvidenceError> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let since = since.map_err(|_| EvidenceError::Machine("time after 1970"))?;
    let certificates: Vec<&[u8]> = demands.certificates.iter().map(Vec::as_slice).collect();
    let lists: Vec<&[u8]> = demands.revocation_lists.iter().map(Vec::as_slice).collect();
    let verdict = verify(
        &evidence.body,
        &demands.policy,
        &Expectations {
            nonce: Some(nonce),
            purpose,
            tls_key,
            chain: Some(chain),
            time: UnixTime(since.as_secs()),
            certificates: &certificates,
            revocation_lists: &lists,
            allow_emulated: demands.allow_emulated,
        },
    );
    let manifest = verdict.summary().and_then(|summary| summary.manifest.as_ref());
    // The chain was checked to be the only one.
    let Some([chain]) = manifest.map(|manifest| manifest.chains.as_slice()) else {
        return Err(EvidenceError::Refused(Box::new(verdict)));
    };
    // Only manifests for key brokers have none, and these did not pass.
    let Some(request_key) = chain.request_key else {
        return Err(EvidenceError::Refused(Box::new(verdict)));
    };
    Ok(Verified {
        request_key,
        chain_digest: chain.digest,
        verdict,
    })
}

/// Bytes of the kernel's.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], EvidenceError> {
    let mut bytes = [0; N];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.map_err(|_| EvidenceError::Machine("randomness"))?;
    Ok(bytes)
}
