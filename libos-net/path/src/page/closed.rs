//! Two tables of requests in the gateway's page. For those that are *closed* nobody waits, so functions need
//! not run for them. Those that are *answered* have their reply: what runs for them goes on, but their parts
//! at joins give way where they are in the way. Each table remembers the newest.

use crate::record::invocation::InvocationId;
use crate::region::layout::{CLOSED_ENTRIES, CLOSED_ENTRY_BYTES, PageLayout};

/// Whether a request came in another life of the gateway than the present one, as its page says.
pub(crate) fn is_of_another_life(life: u64, invocation: InvocationId) -> bool {
    life != 0 && life != u64::from(invocation.life_number())
}

/// Where the gateway's page says of this request that nobody waits for it any more.
pub(crate) fn closed_at(layout: &PageLayout, invocation: InvocationId) -> usize {
    layout.closed_at() + entry_of(invocation)
}

/// Where the gateway's page says of this request that it has its reply.
pub(crate) fn answered_at(layout: &PageLayout, invocation: InvocationId) -> usize {
    layout.answered_at() + entry_of(invocation)
}

/// Where in its table the entry of a request starts.
fn entry_of(invocation: InvocationId) -> usize {
    let entry = usize::try_from(invocation.count() % CLOSED_ENTRIES as u64).unwrap_or(0);
    entry * CLOSED_ENTRY_BYTES
}
