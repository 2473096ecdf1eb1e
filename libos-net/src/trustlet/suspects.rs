//! Records whose runs have ended processes of this instance: kept in the instance page, so that a replacement
//! knows how often each was tried and when it may be tried again, though other records have ended processes
//! since.
//!
//! ```text
//! a process dies      its page says which record it ran
//! the next one        charges that record with an attempt, and when it meets it, puts it off as a retry;
//!                     runs others meanwhile
//! ...                 until the record succeeds, or has no attempts left and is given up with the last cause
//! ```

use crate::clock::Monotonic;
use crate::fault::notice::Fault;
use core::time::Duration;
use hacher_data_path::attach::message::Begin;
use hacher_data_path::fault::cause::Cause;
use hacher_data_path::fault::end::{End, LastWords};
use hacher_data_path::hop::Own;
use hacher_data_path::hop::Receiver;
use hacher_data_path::inlet::RecordPlace;
use hacher_data_path::region::layout::{PageLayout, SUSPECTS, page_word, suspect_word};

/// How far a process had come with a record that it gave up, so that what ended it there is not tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// In the handler.
    Run = 0,
    /// Passing the record on to the `error` port.
    ErrorPort = 1,
    /// Telling the gateway.
    Notice = 2,
}

impl Stage {
    const fn from_word(word: u64) -> Self {
        match word {
            0 => Self::Run,
            1 => Self::ErrorPort,
            _ => Self::Notice,
        }
    }
}

/// A record whose run has ended a process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Suspect {
    pub(crate) record: RecordPlace,
    /// Attempts so far.
    pub(crate) attempts: u32,
    /// When it may run again.
    pub(crate) due: Monotonic,
    pub(crate) stage: Stage,
    pub(crate) cause: Cause,
    pub(crate) code: u32,
    /// Not tried again, as it could not be remembered.
    pub(crate) last: bool,
    /// The last process died in it: its death was not told before.
    pub(crate) is_new: bool,
}

impl Suspect {
    /// What it is given up for.
    pub(crate) fn fault(&self) -> Fault {
        Fault {
            code: self.code,
            ..self.cause.into()
        }
    }
}

/// All that are not released. Empty but after a death.
#[derive(Debug, Default)]
pub(crate) struct Suspects(Vec<Suspect>);

impl Suspects {
    /// Takes over what predecessors have left: those known, and the one that the last process died in.
    /// `backoff_ns` says how long to wait after so many attempts.
    pub(crate) fn take_over(
        own: &Own,
        begin: &Begin,
        receiver: &Receiver,
        backoff_ns: impl FnOnce(u32) -> u64,
    ) -> Self {
        let now = own.now();
        // Whatever a predecessor has written, no record waits longer than its function allows.
        let latest = now.after(Duration::from_nanos(begin.limits.retry_max_ns));
        let mut suspects = Self::default();
        if begin.instance_epoch <= 1 {
            return suspects;
        }
        // Each death adds one at most.
        let deaths = usize::try_from(begin.instance_epoch - 1).unwrap_or(usize::MAX);
        let left = (0..SUSPECTS).filter_map(|at| read(own, receiver, at, latest));
        suspects.0.extend(left.take(deaths));
        let running = own.load(page_word::RUNNING_INBOUND);
        let words = LastWords::from_word(own.load(page_word::LAST_WORDS));
        let end = End::decode(begin.last_end_kind, begin.last_end_code);
        // A record that nobody waits for is not to blame for the end of its process: it is dropped when it is
        // met.
        let ran = usize::try_from(running)
            .ok()
            .and_then(|running| running.checked_sub(1))
            .and_then(|ring| receiver.record_at(ring, own.load(page_word::RUNNING_AT)));
        if let Some(record) = ran
            && end != Some(End::Unwanted)
        {
            let (cause, code) = end.map_or((Cause::Died, 0), |end| end.cause(words));
            let attempts = u32::try_from(own.load(page_word::RUNNING_ATTEMPT)).unwrap_or(u32::MAX);
            let suspect = Suspect {
                record,
                attempts,
                due: now.after(Duration::from_nanos(backoff_ns(attempts))).min(latest),
                stage: Stage::from_word(own.load(page_word::RUNNING_STAGE)),
                cause,
                code,
                last: false,
                is_new: true,
            };
            suspects.charge(suspect);
        }
        suspects.write(own);
        suspects
    }

    fn charge(&mut self, mut charged: Suspect) {
        if let Some(known) = self.0.iter_mut().find(|known| known.record == charged.record) {
            if charged.stage > Stage::Run {
                // What it is given up for stays what its last run was given up for.
                (charged.cause, charged.code) = (known.cause, known.code);
            } else {
                // A process that died while it collected the record had not begun the next attempt.
                charged.attempts = charged.attempts.max(known.attempts.saturating_add(1));
            }
            *known = charged;
            return;
        }
        if self.0.len() >= SUSPECTS {
            charged.last = true;
        }
        self.0.push(charged);
    }

    fn write(&self, own: &Own) {
        for at in 0..SUSPECTS {
            write(own, at, self.0.get(at));
        }
    }

    /// Whether there are none: what is asked for every record.
    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The one among the records of a run, if there is one. Of a join it may be several, if its records have
    /// come in other places meanwhile: the one that knows of most attempts.
    pub(crate) fn find(&self, records: &[RecordPlace]) -> Option<Suspect> {
        let among = self.0.iter().filter(|suspect| records.contains(&suspect.record));
        among
            .max_by_key(|suspect| (suspect.stage, suspect.attempts))
            .copied()
    }

    /// Forgets those that are about to be released.
    pub(crate) fn forget(&mut self, own: &Own, records: &[RecordPlace]) {
        let before = self.0.len();
        self.0.retain(|suspect| !records.contains(&suspect.record));
        if self.0.len() != before {
            self.write(own);
        }
    }
}

/// How the process before this one ended, as its page and the monitor say.
pub(super) fn predecessor_end(own: &Own, begin: &Begin) -> (Cause, u32) {
    let words = LastWords::from_word(own.load(page_word::LAST_WORDS));
    let end = End::decode(begin.last_end_kind, begin.last_end_code);
    end.map_or((Cause::Died, 0), |end| end.cause(words))
}

fn word_at(layout: &PageLayout, entry: usize, word: usize) -> usize {
    layout.suspect_at(entry) + word
}

/// An entry of a predecessor, if it can be true.
fn read(own: &Own, receiver: &Receiver, entry: usize, latest: Monotonic) -> Option<Suspect> {
    let load = |word| own.load(word_at(own.layout(), entry, word));
    let ring = load(suspect_word::INBOUND).checked_sub(1)?;
    let end = load(suspect_word::CAUSE);
    Some(Suspect {
        record: receiver.record_at(usize::try_from(ring).ok()?, load(suspect_word::AT))?,
        attempts: u32::try_from(load(suspect_word::ATTEMPTS)).unwrap_or(u32::MAX),
        due: Monotonic::from_ns(load(suspect_word::DUE)).min(latest),
        stage: Stage::from_word(load(suspect_word::STAGE)),
        cause: usize::try_from(end >> 32)
            .ok()
            .and_then(|cause| Cause::ALL.get(cause).copied())
            .unwrap_or(Cause::Died),
        code: u32::try_from(end & u64::from(u32::MAX)).unwrap_or(0),
        last: false,
        is_new: false,
    })
}

fn write(own: &Own, entry: usize, suspect: Option<&Suspect>) {
    let store = |word, value| own.store(word_at(own.layout(), entry, word), value);
    let Some(suspect) = suspect else {
        // Only where there was one: memory that is never written stays unbacked.
        if own.load(word_at(own.layout(), entry, suspect_word::INBOUND)) != 0 {
            store(suspect_word::INBOUND, 0);
        }
        return;
    };
    // Invalid while it changes: a death in between loses one entry, and never mixes two.
    store(suspect_word::INBOUND, 0);
    store(suspect_word::AT, suspect.record.first);
    store(suspect_word::ATTEMPTS, u64::from(suspect.attempts));
    store(suspect_word::DUE, suspect.due.as_ns());
    store(suspect_word::STAGE, suspect.stage as u64);
    store(
        suspect_word::CAUSE,
        u64::from(suspect.cause.code()) << 32 | u64::from(suspect.code),
    );
    store(suspect_word::INBOUND, suspect.record.ring as u64 + 1);
}
