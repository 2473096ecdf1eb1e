//! What is counted of a request to a chain: how it ended, why if the gateway itself answered it, and how long
//! that took. Each request is counted once, whatever becomes of it, the refused ones too.

use super::problem::Reason;
use super::reply::Reply;
use hacher_libos_net::clock::{self, Monotonic};
use hacher_libos_net::hop::Own;
use hacher_libos_net::telemetry::{Counter, Phase, RequestOutcome};

/// A request that is being answered. Dropped without an end, its client has gone.
pub(super) struct Tally<'a> {
    own: &'a Own,
    begun: Monotonic,
    is_counted: bool,
}

impl<'a> Tally<'a> {
    /// A request whose head is here, counted in the page of the chain that it is for.
    pub(super) fn begin(own: &'a Own) -> Self {
        Self {
            own,
            begun: clock::now(),
            is_counted: false,
        }
    }

    /// It is answered with this.
    pub(super) fn end(mut self, reply: &Reply) {
        let outcome = match reply.status().as_u16() {
            200..300 => RequestOutcome::Success,
            300..400 => RequestOutcome::Redirected,
            400..500 => RequestOutcome::ClientError,
            _ => RequestOutcome::ServerError,
        };
        self.count(outcome, reply.extensions().get::<Reason>().copied());
    }

    fn count(&mut self, outcome: RequestOutcome, reason: Option<Reason>) {
        self.is_counted = true;
        let own = self.own;
        own.count(Counter::Requests(outcome), 1);
        match reason {
            // Refusals take no time, and would hide how long requests take that are served.
            Some(Reason::Refused(reason)) => return own.count(Counter::RequestsRefused(reason), 1),
            Some(Reason::Failed(reason)) => own.count(Counter::RequestsFailed(reason), 1),
            None => {}
        }
        own.record(Phase::Run, clock::now().ns_since(self.begun));
    }
}

impl Drop for Tally<'_> {
    fn drop(&mut self) {
        if !self.is_counted {
            self.count(RequestOutcome::Disconnected, None);
        }
    }
}
