//! What the Runtime API allows when: events in, what to do out. No sockets, no time, no bodies.
//!
//! ```text
//!            offered            polled            answer begins        answer ended
//!   no run ----------> Offered --------> Taken ----------------> Answering ----------> no run
//!                                          |  run withdrawn
//!                                          +---------------> no run, its answer is dropped when it comes
//! ```
//!
//! One run at a time. A poll waits for a run, or a run for a poll; an answer counts for the run that was
//! taken, once, and for no other.

use super::request_id::RequestId;

/// One request of the guest for its next event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PollId(pub(super) u64);

/// What the guest may do now.
#[derive(Debug, Default)]
pub(super) struct State {
    run: Option<(RequestId, Phase)>,
    /// The poll that waits for a run.
    waiting: Option<PollId>,
    /// A run that was taken, and withdrawn before its answer came.
    abandoned: Option<RequestId>,
    has_polled: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nobody has asked for it yet.
    Offered,
    /// This poll was answered with it.
    Taken(PollId),
    /// Its answer is on its way.
    Answering,
}

/// What becomes of a poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Poll {
    /// It is answered with the event of this run.
    Deliver(RequestId),
    /// It waits.
    Wait,
    /// It is refused.
    Refuse(OutOfTurn),
}

/// What becomes of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// It is the run's.
    Take,
    /// Its run has been withdrawn: it is read, and goes nowhere.
    Drop,
    /// It is refused.
    Refuse(OutOfTurn),
}

/// What a guest has asked for that it may not now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OutOfTurn {
    /// A second poll beside one that waits.
    AnotherPolls,
    /// The next event, before the last one is answered.
    Unanswered,
    /// An answer to something that it was not given, or that is over.
    NoSuchRun,
    /// A second answer.
    Answered,
    /// A failed initialisation, after it has asked for an event.
    Initialised,
}

impl State {
    /// The guest asks for its next event.
    pub(super) fn poll(&mut self, poll: PollId) -> Poll {
        self.has_polled = true;
        if self.waiting.is_some() {
            return Poll::Refuse(OutOfTurn::AnotherPolls);
        }
        match self.run {
            Some((id, Phase::Offered)) => {
                self.run = Some((id, Phase::Taken(poll)));
                self.abandoned = None;
                Poll::Deliver(id)
            }
            Some((_, Phase::Taken(_) | Phase::Answering)) => Poll::Refuse(OutOfTurn::Unanswered),
            None => {
                self.abandoned = None;
                self.waiting = Some(poll);
                Poll::Wait
            }
        }
    }

    /// The connection of `poll` ended before the guest can have read the answer: an event that went there is
    /// offered again.
    pub(super) fn lose_poll(&mut self, poll: PollId) {
        if self.waiting == Some(poll) {
            self.waiting = None;
        }
        if let Some((id, Phase::Taken(by))) = self.run
            && by == poll
        {
            self.run = Some((id, Phase::Offered));
        }
    }

    /// There is a run, in place of an earlier one; the poll that is answered with it, if one waits.
    pub(super) fn offer(&mut self, id: RequestId) -> Option<PollId> {
        let poll = self.waiting.take();
        self.run = Some((id, poll.map_or(Phase::Offered, Phase::Taken)));
        poll
    }

    /// The guest begins an answer to the run with this id.
    pub(super) fn answer(&mut self, id: RequestId) -> Answer {
        match self.run {
            Some((of, Phase::Taken(_))) if of == id => {
                self.run = Some((id, Phase::Answering));
                Answer::Take
            }
            Some((of, Phase::Answering)) if of == id => Answer::Refuse(OutOfTurn::Answered),
            _ if self.abandoned == Some(id) => {
                self.abandoned = None;
                Answer::Drop
            }
            _ => Answer::Refuse(OutOfTurn::NoSuchRun),
        }
    }

    /// All of the answer to this run is there.
    pub(super) fn end_answer(&mut self, id: RequestId) {
        if self.run == Some((id, Phase::Answering)) {
            self.run = None;
        }
    }

    /// Nobody waits for this run any more.
    pub(super) fn withdraw(&mut self, id: RequestId) {
        if let Some((of, phase)) = self.run
            && of == id
        {
            self.run = None;
            if matches!(phase, Phase::Taken(_)) {
                self.abandoned = Some(id);
            }
        }
    }

    /// The guest says that its initialisation has failed.
    ///
    /// # Errors
    /// When it has asked for an event before.
    pub(super) const fn fail_initialisation(&self) -> Result<(), OutOfTurn> {
        if self.has_polled {
            return Err(OutOfTurn::Initialised);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
