//! What a chain's `mapped` edges give up, in words.

use hacher_chain_dsl::{Chain, Edge, Protection};

/// What a `mapped` edge gives up against a `sealed` one.
pub const GIVEN_UP: &str = "no cipher between its two ends: an attacker who can read all memory (the guest's kernel and root, \
                            or a process that a flaw of the monitor lets in) sees these records, and can change them \
                            unnoticed";

/// The edges of a chain that are `mapped`, as the file writes them.
#[must_use]
pub fn mapped_edges(chain: &Chain) -> Vec<String> {
    let mapped = chain.edges().iter().filter(|edge| is_mapped(edge));
    mapped.map(|edge| chain.edge_name(edge)).collect()
}

/// Whether the records of an edge are `mapped`.
#[must_use]
pub fn is_mapped(edge: &Edge) -> bool {
    edge.protection() == Protection::Mapped
}

/// The mapped edges in a few words; nothing if there are none.
#[must_use]
pub fn in_words(chain: &Chain) -> Option<String> {
    /// Edges that are named before the rest is counted.
    const NAMED: usize = 3;
    let mapped = mapped_edges(chain);
    if mapped.is_empty() {
        return None;
    }
    let named: Vec<String> = mapped
        .iter()
        .take(NAMED)
        .map(|edge| format!("`{edge}`"))
        .collect();
    let more = mapped.len().saturating_sub(NAMED);
    Some(match more {
        0 => named.join(", "),
        _ => format!("{} and {more} more", named.join(", ")),
    })
}
