//! `run`: one attempt of the handler on one input; its output is sealed and published when it returns.

use super::arriving::{Arriving, Lost};
use super::event_loop::Trustlet;
use super::job::Job;
use super::sealing::{Sealing, send_all};
use super::stream::{Stream, is_stream};
use super::suspects::{Stage, Suspect};
use crate::clock::Monotonic;
use crate::fault::notice::{Fault, KeptBack};
use crate::own_process::last_words;
use crate::sdk::environment::Environment;
use crate::sdk::failure::Failure;
use crate::sdk::headers;
use crate::sdk::input::{Input, Run};
use crate::sdk::output::Output;
use crate::sdk::part::Part;
use crate::sdk::port_buffer::PortBuffer;
use crate::sdk::renewal::{self, RunSpan};
use crate::sdk::run::run_caught;
use hacher_data_path::page::counter::Counter;
use hacher_data_path::page::telemetry::Outcome;
use hacher_data_path::region::layout::page_word;
use hacher_data_path::seal::RecordContext;

impl<H> Trustlet<H>
where
    H: FnMut(Input<'_>, &mut Output<'_>) -> Result<(), Failure>,
{
    /// One attempt.
    pub(super) fn run(&mut self, mut job: Job) {
        if let Some(suspect) = self.suspect(&job)
            && job.attempt <= suspect.attempts
        {
            if self.is_last(&suspect) || suspect.due >= job.deadline {
                return self.give_up_suspect(job, &suspect);
            }
            job.attempt = suspect.attempts;
            self.tell_dead_run(&job, &suspect, Outcome::Retried);
            if suspect.due > self.place.own.now() {
                // As a retry, so that others run meanwhile.
                return self.delay(job, suspect.due);
            }
            job.attempt += 1;
        }
        if job.attempt > 1 {
            job.ready = self.place.own.now();
            if self.is_pointless(&job, job.ready) {
                return self.drop_job(job);
            }
        }
        self.mark_running(&job, job.ready);
        last_words::begin_run();
        let ran = self.run_handler(&mut job);
        self.settle(job, ran);
    }

    /// The suspect among the records of a job, if there is one.
    pub(super) fn suspect(&self, job: &Job) -> Option<Suspect> {
        if self.suspects.is_empty() {
            return None;
        }
        self.suspects.find(&job.bundle.places)
    }

    /// Whether it has had all its attempts.
    pub(super) fn is_last(&self, suspect: &Suspect) -> bool {
        suspect.stage > Stage::Run
            || suspect.last
            || suspect.attempts >= self.place.begin.limits.retry_attempts
    }

    /// Gives up on a record that has ended processes, without what has ended one of them while it was given
    /// up.
    pub(super) fn give_up_suspect(&mut self, mut job: Job, suspect: &Suspect) {
        job.attempt = suspect.attempts;
        self.tell_dead_run(&job, suspect, Outcome::Failed);
        self.mark_running(&job, Monotonic::from_ns(0));
        match suspect.stage {
            Stage::Run => self.give_up(job, &suspect.fault()),
            Stage::ErrorPort => self.give_up_without(job, suspect, KeptBack::Fatal),
            // Nobody can be told.
            Stage::Notice => {
                self.place.own.count(Counter::Failed, 1);
                self.drop_job(job);
            }
        }
    }

    /// Gives up on it without the `error` port.
    pub(super) fn give_up_without(&mut self, job: Job, suspect: &Suspect, kept_back: KeptBack) {
        let fault = Fault {
            kept_back: Some(kept_back),
            ..suspect.fault()
        };
        self.give_up(job, &fault);
    }

    /// Says in the instance page what runs now, and since when the handler does.
    pub(super) fn mark_running(&self, job: &Job, since: Monotonic) {
        let own = &self.place.own;
        own.store(page_word::RUNNING_INVOCATION, job.invocation.halves().0);
        own.store(page_word::RUNNING_DEADLINE, job.deadline.as_ns());
        own.store(page_word::RUNNING_ATTEMPT, u64::from(job.attempt));
        // A join is known by the same one of its records in every life, in whatever order they come.
        let known_by = job.bundle.places.iter().min_by_key(|place| place.ring);
        let known_by = known_by.copied().unwrap_or(job.record);
        own.store(page_word::RUNNING_AT, known_by.first);
        own.store(page_word::RUNNING_INBOUND, known_by.ring as u64 + 1);
        own.store(page_word::BUSY_SINCE, since.as_ns());
    }

    pub(super) fn run_handler(&mut self, job: &mut Job) -> Ran {
        let place = &mut self.place;
        let own = &place.own;
        for port in &mut self.ports {
            port.clear();
        }
        let streams = self.reads_streams && is_stream(&place.receiver, job.record.ring);
        let stream = streams.then(|| Stream::new(own, &place.begin, job));
        let mut source = Arriving::new(own, &mut place.receiver, job);
        source.stream = stream.as_ref();
        let mut ran = Ran::default();
        let bundle = &mut job.bundle;
        let opened = match (job.attempt, bundle.places.len()) {
            // It has come just now, and was kept.
            (1, 1) if !bundle.parts.first().is_some_and(Part::is_shed) => Ok(()),
            // A single record is opened again for every further attempt: the last one may have used it up.
            (_, 1) => source.restart(bundle).and_then(|()| source.reopen_shed(bundle)),
            _ => source.reopen_shed(bundle),
        };
        if let Err(failure) = opened {
            ran.result = Err(failure);
            ran.lost = source.lost;
            ran.open_ns = source.open_ns;
            return ran;
        }
        ran.span = renewal::renew(
            &mut job.bundle.parts,
            job.invocation,
            place.begin.function_index,
            job.attempt,
        );
        self.inherited.clear();
        if let Some(part) = job.bundle.parts.first() {
            headers::inherit(&mut self.inherited, part.encoded_headers());
        }
        ran.in_bytes = job.bundle.parts.iter().map(|part| part.len_bytes() as u64).sum();
        let context = RecordContext {
            invocation: job.invocation,
            deadline: job.deadline,
            attempt: u16::try_from(job.attempt).unwrap_or(u16::MAX),
        };
        let mut sealing = Sealing::new(own, &mut place.sender, context, job.deadline);
        sealing.stream = stream.as_ref();
        sealing.begun_ns = core::mem::take(&mut self.begun_ns);
        let renewed = stream.as_ref().map(|stream| || stream.times());
        let run = Run {
            renewed: renewed.as_ref().map(|renewed| renewed as &dyn Fn() -> _),
            invocation: job.invocation,
            attempt: job.attempt,
            deadline: job.deadline,
            started: job.ready,
            timeout_ns: place.begin.limits.timeout_ns,
            secrets: &self.secrets,
            environment: &Environment::OfProcess,
            clock: own.clock(),
            closed: &|invocation| own.is_closed(invocation),
        };
        let input = Input::new(run, &mut job.bundle.parts, Some(&mut source));
        let mut output = Output::new(&mut self.ports, &self.inherited, &mut sealing);
        ran.result = run_caught(&mut self.handler, input, &mut output);
        let after = own.now();
        ran.lost = source.lost;
        job.streams = !source.complete;
        job.is_used_up = source.is_used_up;
        ran.in_bytes += source.opened_bytes;
        ran.run_ns = after
            .ns_since(job.ready)
            .saturating_sub(source.open_ns + sealing.seal_ns);
        ran.open_ns = source.open_ns;
        job.times.open_ns += source.open_ns;
        if sealing.fault.is_some() && ran.result.is_ok() {
            ran.result = Err(Failure::permanent(
                "the handler went on after its output had failed",
            ));
        }
        // The handler is through: what is waited for from here on does not count towards its timeout.
        own.store(page_word::BUSY_SINCE, 0);
        if ran.result.is_ok() && ran.lost.is_none() {
            ran.result = send_all(&mut self.ports, &mut sealing, after, &mut ran.ended);
        } else {
            ran.ended = after;
        }
        if ran.result.is_err() || ran.lost.is_some() {
            for index in 0..self.ports.len() {
                sealing.abort(index);
            }
            sealing.tell_unfinished();
        }
        (ran.fault, ran.seal_ns) = (sealing.fault, sealing.seal_ns);
        self.begun_ns = core::mem::take(&mut sealing.begun_ns);
        let header_bytes: u64 = self.ports.iter().map(PortBuffer::header_bytes).sum();
        ran.out_bytes = sealing.out_bytes.saturating_sub(header_bytes);
        if let Some(stream) = &stream {
            ran.lost = ran.lost.or(sealing.is_unwanted.then_some(Lost::Unwanted));
            // Whoever is told how it ended may still be waiting.
            job.deadline = job.deadline.max(stream.deadline());
        }
        ran
    }
}

/// What one attempt gave.
#[derive(Clone, Copy)]
pub(super) struct Ran {
    pub(super) result: Result<(), Failure>,
    /// Its span, if its request has a trace.
    pub(super) span: Option<RunSpan>,
    pub(super) lost: Option<Lost>,
    pub(super) fault: Option<Fault>,
    pub(super) ended: Monotonic,
    /// Of opening the rest of its input.
    pub(super) open_ns: u64,
    pub(super) run_ns: u64,
    pub(super) seal_ns: u64,
    /// Of bodies, in and out.
    pub(super) in_bytes: u64,
    pub(super) out_bytes: u64,
}

impl Default for Ran {
    fn default() -> Self {
        Self {
            result: Ok(()),
            span: None,
            lost: None,
            fault: None,
            ended: Monotonic::from_ns(0),
            open_ns: 0,
            run_ns: 0,
            seal_ns: 0,
            in_bytes: 0,
            out_bytes: 0,
        }
    }
}
