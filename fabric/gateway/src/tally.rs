//! What is counted of a request to a chain: how it ended, why if the gateway itself answered it, and how long
//! that took. Each request is counted once, whatever becomes of it, the refused ones too.
//!
//! A reply that leaves as it is made is counted at its end: its function may break it off, or its client
//! leave.

use super::endpoint::Endpoint;
use super::problem::Reason;
use hacher_libos_net::clock::{self, Monotonic};
use hacher_libos_net::telemetry::{Counter, Phase, RequestFailure, RequestOutcome};
use hyper::Response;
use std::rc::Rc;

/// A request that is being answered. Dropped without an end, its client has gone.
pub(super) struct Tally {
    endpoint: Rc<Endpoint>,
    begun: Monotonic,
    is_counted: bool,
}

impl Tally {
    /// A request whose head is here, counted in the page of the chain that it is for.
    pub(super) fn begin(endpoint: &Rc<Endpoint>) -> Self {
        Self {
            endpoint: Rc::clone(endpoint),
            begun: clock::now(),
            is_counted: false,
        }
    }

    /// It is answered with this.
    pub(super) fn end<B>(mut self, reply: &Response<B>) {
        let outcome = outcome_of(reply.status().as_u16());
        self.count(outcome, reply.extensions().get::<Reason>().copied());
    }

    /// Its reply, of this status, has left to the last byte.
    pub(super) fn ends_whole(mut self, status: u16) {
        self.count(outcome_of(status), None);
    }

    /// Its reply ends in the middle, and not by its client's doing.
    pub(super) fn breaks_off(mut self) {
        let reason = Reason::Failed(RequestFailure::BrokenOff);
        self.count(RequestOutcome::ServerError, Some(reason));
    }

    fn count(&mut self, outcome: RequestOutcome, reason: Option<Reason>) {
        self.is_counted = true;
        let own = &self.endpoint.own;
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

/// The class that a status counts as.
const fn outcome_of(status: u16) -> RequestOutcome {
    match status {
        200..300 => RequestOutcome::Success,
        300..400 => RequestOutcome::Redirected,
        400..500 => RequestOutcome::ClientError,
        _ => RequestOutcome::ServerError,
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        if !self.is_counted {
            self.count(RequestOutcome::Disconnected, None);
        }
    }
}
