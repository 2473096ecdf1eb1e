//! From a chain file on disk to what the monitor is asked for.

pub mod build;
pub mod define;
mod elf;
pub mod file;
mod folders;
pub mod gateway_memory;
pub mod gateway_program;
pub mod linked;
pub mod machine_memory;
mod magic;
pub mod named;
pub mod need;
pub mod own_gateway;
pub mod placement;
pub mod protection;
pub mod secret;
pub mod share;
pub mod sockets;
pub mod tls_source;
pub mod together;

use hacher_chain_dsl::{Chain, Source};

/// Smallest outbox of the gateway.
const GATEWAY_OUTBOX_MIN_BYTES: u64 = 64 * 1024 * 1024;

/// Room for the requests of a chain in the gateway's outbox: two of the largest, so that one can arrive while
/// another is being worked on.
#[must_use]
pub fn gateway_outbox_bytes(chain: &Chain) -> u64 {
    let requests = chain
        .ingress()
        .max_body()
        .bytes()
        .saturating_mul(2)
        .next_multiple_of(1024 * 1024);
    debug_assert!(
        chain.edges_from(Source::Ingress).count() > 0,
        "a checked chain has an ingress"
    );
    requests.clamp(
        GATEWAY_OUTBOX_MIN_BYTES,
        hacher_libos_net::layout::OUTBOX_MAX_BYTES,
    )
}
