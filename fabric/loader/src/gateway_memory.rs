//! Memory of a gateway: its outboxes, and whether what it has for its own is enough for the chains that it
//! serves.

use hacher_chain_dsl::{ByteSize, Chain, Source, Target};
use hacher_gateway::budget::{self, MEMORY_BYTES, chain_bytes, room_for_chains};

/// Smallest outbox of the gateway.
const GATEWAY_OUTBOX_MIN_BYTES: u64 = 64 * 1024 * 1024;
/// Chains that a message names.
const NAMED_MAX: usize = 8;

/// Room for the requests of a chain in the gateway's outbox: two of the largest, so that one can arrive while
/// another is being worked on.
#[must_use]
pub fn outbox_bytes(chain: &Chain) -> u64 {
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

/// What one request and its reply may hold of a gateway's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exchange {
    /// The largest body of a request.
    pub max_body: ByteSize,
    /// The largest body of a reply.
    pub max_reply: ByteSize,
    /// Records that a reply joins at most; 1 if it joins none.
    pub reply_parts: u64,
}

impl Exchange {
    /// The largest of a chain.
    #[must_use]
    pub fn of(chain: &Chain) -> Self {
        let ingress = chain.ingress();
        let ways = chain.groups_into(Target::Egress);
        Self {
            max_body: ingress.max_body(),
            max_reply: ingress.max_reply(),
            reply_parts: ways.fold(1, |most, (_, way)| most.max(way.edges().len() as u64)),
        }
    }

    /// Bytes of it.
    fn bytes(self) -> u64 {
        chain_bytes(self.max_body.bytes(), self.max_reply.bytes(), self.reply_parts)
    }
}

/// The least memory of a gateway that serves chains of which these are the largest exchanges: one of each,
/// and all connections.
#[must_use]
pub fn least_memory_bytes(chains: impl IntoIterator<Item = Exchange>) -> u64 {
    let exchanges = chains.into_iter();
    let needed = exchanges.fold(0_u64, |sum, exchange| sum.saturating_add(exchange.bytes()));
    budget::least_memory_bytes(needed)
}

/// Chains that one gateway cannot serve: their largest requests do not fit into its memory.
#[derive(Debug, thiserror::Error)]
#[error(
    "the gateway cannot serve these chains: for one request of `max_body` and one reply of `max_reply` each they need {needed}, and \
     of its {memory} of memory it has {left} for them ({each}); lower `max_body` or `max_reply` in [ingress]"
)]
pub struct DoesNotFit {
    needed: String,
    memory: String,
    left: String,
    each: String,
}

/// Checks that one gateway can serve these chains.
///
/// # Errors
/// [`DoesNotFit`], with the sum and its parts.
pub fn check_fit<'a>(chains: impl Iterator<Item = &'a Chain> + Clone) -> Result<(), DoesNotFit> {
    let needs = |chain: &Chain| Exchange::of(chain).bytes();
    let needed = chains
        .clone()
        .fold(0_u64, |sum, chain| sum.saturating_add(needs(chain)));
    let left = room_for_chains(MEMORY_BYTES);
    if needed <= left {
        return Ok(());
    }
    let mut largest: Vec<&Chain> = chains.collect();
    largest.sort_by_key(|chain| core::cmp::Reverse(needs(chain)));
    let named = largest.iter().take(NAMED_MAX).map(|chain| {
        let ingress = chain.ingress();
        let (name, body, reply) = (chain.name(), ingress.max_body(), ingress.max_reply());
        format!("`{name}`: max_body {body}, max_reply {reply}")
    });
    let mut each: Vec<String> = named.collect();
    if largest.len() > NAMED_MAX {
        each.push(format!("{} more", largest.len() - NAMED_MAX));
    }
    Err(DoesNotFit {
        needed: in_mebibytes(needed.next_multiple_of(1 << 20)),
        memory: in_mebibytes(MEMORY_BYTES),
        left: in_mebibytes(left),
        each: each.join("; "),
    })
}

fn in_mebibytes(bytes: u64) -> String {
    ByteSize::new(bytes >> 20 << 20).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_every_part_of_a_joined_reply_are_counted() {
        let least = |head: &str, flow: &str| {
            let text = format!(
                "chain = \"t\"\nversion = \"1\"\n{head}\nflow = [\"ingress -> a & b & c\", {flow}]\n\
                 [function.a]\nexec = \"a\"\n[function.b]\nexec = \"b\"\n[function.c]\nexec = \"c\"\n"
            );
            let chain = hacher_chain_dsl::check(&text, "t.toml").unwrap().into_chain();
            (
                Exchange::of(&chain).reply_parts,
                least_memory_bytes([Exchange::of(&chain)]),
            )
        };
        let (parts, joined) = least("egress = \"join\"", "\"a & b & c -> egress\"");
        let (one, first) = least("egress = \"first\"", "\"a | b | c -> egress\"");
        assert_eq!((parts, one), (3, 1));
        assert!(joined > first, "{joined} bytes, and {first} for one record");
    }
}
