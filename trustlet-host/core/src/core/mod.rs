//! The monitor's core: tables, policy, keys and the ledger of writers. It does no I/O; what it needs from the
//! machine is a [`Platform`](crate::platform::Platform).
//!
//! Two callers speak to it. The *loader* reads chain files with the rights of whoever started the service,
//! defines the chains, and ends. The *daemon* stays: it sees the tables and starts and ends trustlets, but it
//! can neither define a chain nor obtain a key or a writable region. Both are taken to lie: a bad call is an
//! error result, changes nothing, and never concerns another chain.

mod ahead;
mod attachment;
mod awaited;
mod carriers;
mod define;
pub(crate) mod definition;
mod digest;
mod dispatch;
mod event;
mod evidence;
mod gateway;
mod gateway_calls;
mod gateway_life;
mod identity;
mod last_evidence;
mod ledger;
mod lifecycle;
pub mod limits;
mod manifest;
mod names;
mod operand;
mod plan;
mod planned;
mod program;
mod query;
mod refusal;
mod release;
mod release_key;
mod reply;
mod requests;
mod rings;
mod sealed;
mod system_call_counts;
mod tables;
mod whom;

pub use dispatch::Caller;
pub use event::{EndReason, Event, Exit};
pub use ledger::Owner;
pub use reply::{Reply, ReplyDescriptor};
pub use tables::{Core, LoadError, NamedSocket};
pub use whom::Whom;

#[cfg(test)]
mod tests;
