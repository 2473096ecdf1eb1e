//! The table of requests that the gateway answered early, in its page: nobody waits for them any more, so
//! that functions need not run for them.

use crate::record::invocation::InvocationId;
use crate::region::layout::{CLOSED_ENTRIES, CLOSED_ENTRY_BYTES, PageLayout};

/// Whether a request came in another life of the gateway than the present one, as its page says.
pub(crate) fn is_of_another_life(life: u64, invocation: InvocationId) -> bool {
    life != 0 && life != u64::from(invocation.life_number())
}

/// Where the gateway's page says of this request that nobody waits for it any more.
pub(crate) fn closed_at(layout: &PageLayout, invocation: InvocationId) -> usize {
    let entry = usize::try_from(invocation.count() % CLOSED_ENTRIES as u64).unwrap_or(0);
    layout.closed_at() + entry * CLOSED_ENTRY_BYTES
}
