//! Secrets of functions from a key broker, which releases them once it has seen evidence of the chain (the
//! protocol of Trustee, `kbs_attestation_protocol.md`).
//!
//! ```text
//! loader                                broker                 monitor
//!   POST /kbs/v0/auth    ------------->
//!   <------ nonce, session, which it stays bound to
//!   nonce  ----------------------------------------------------->  a new key; evidence over nonce, key, chain, resource
//!   POST /kbs/v0/attest  ------------->  verifies the evidence
//!   GET /kbs/v0/resource/... --------->
//!   <------ the secret, sealed for that key
//!   sealed secret  --------------------------------------------->  opens it, and keeps it for its function
//! ```
//!
//! The loader carries what is said, and sees neither secret nor private key. Whatever the broker sends is
//! bounded, and no redirect is followed.

mod broker;
mod exchange;
mod question;
mod sealed;
mod url;

pub(crate) use broker::KeyBroker;
pub use url::BrokerUrl;

use crate::failed::Failed;
use exchange::Exchange;
use hacher_loader::define::Awaited;
use hacher_trustlet_host::client::MonitorClient;
use question::{ask, hand_over};
use std::time::Duration;
use tokio::time::timeout;

/// Has all these secrets released.
pub(crate) fn release(
    broker: &KeyBroker,
    monitor: &mut MonitorClient,
    awaited: &[Awaited],
    patience: Duration,
) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut at = awaited.first();
    let all = async {
        for secret in awaited {
            at = Some(secret);
            let failed = |error: Failed| {
                let (name, url) = (&secret.name, broker.url());
                Failed::new(format!("{name} was not released by {url}: {}", error.message))
            };
            release_one(broker, monitor, secret).await.map_err(failed)?;
        }
        Ok(())
    };
    let ended = runtime.block_on(async { timeout(patience, all).await });
    // Nobody waits for a name server that does not answer.
    runtime.shutdown_background();
    ended.unwrap_or_else(|_| {
        let name = at.map_or("a secret", |secret| secret.name.as_str());
        let url = broker.url();
        Err(Failed::new(format!(
            "{name} was not released by {url} within {patience:?} (`--start-timeout`)"
        )))
    })
}

/// One exchange, with a session and a key of its own.
async fn release_one(
    broker: &KeyBroker,
    monitor: &mut MonitorClient,
    secret: &Awaited,
) -> Result<(), Failed> {
    let mut exchange = Exchange::begin(broker).await?;
    let shown = ask(monitor, secret, exchange.nonce()).await?;
    exchange.attest(&shown).await?;
    let sealed = exchange.resource(&secret.resource).await?;
    hand_over(monitor, secret, &sealed)
}
