//! The life of a function's trustlet: attach, lock down, then one run after another until the monitor is
//! gone.
//!
//! ```text
//! take      a record from a ring (a join: one from each upstream function), opening it
//! run       the handler; its output is sealed and published when it returns
//! settle    release the input, or keep it for another attempt, or tell the gateway that it failed
//! ```

use crate::attach::attachment::{Assembly, AttachError, Attachment, Channel, Wish};
use crate::attach::message::Begin;
use crate::clock::Monotonic;
use crate::fault::cause::Cause;
use crate::fault::notice::{self, Fault, KeptBack};
use crate::hop::{Receiver, SendError, Sender};
use crate::inlet::peek::{Opened, RecordPlace, Step};
use crate::outlet::seal::RecordContext;
use crate::page::counter::Counter;
use crate::page::own::Own;
use crate::page::telemetry::{self, Outcome, Phase, Trace};
use crate::record::invocation::InvocationId;
use crate::record::refusal::Refusal;
use crate::region::layout::page_word;
use crate::sdk::failure::Failure;
use crate::sdk::headers;
use crate::sdk::input::{Input, Part, Run, SegmentSource};
use crate::sdk::output::Output;
use crate::sdk::port_buffer::{PortBuffer, RecordSink};
use crate::sdk::run::{PANICKED, run_caught};
use crate::trustlet::join::{Bundle, Joined, Joins, Pool};
use crate::trustlet::last_words;
use crate::trustlet::process::{lock_down, take_channel};
use crate::trustlet::refused_call;
use crate::trustlet::suspects::{Stage, Suspect, Suspects};
use core::time::Duration;
use std::process::ExitCode;

/// Serves `handler` as the function of a chain: the `main` of a function's executable. Returns when the
/// monitor goes.
///
/// ```no_run
/// use std::process::ExitCode;
///
/// fn main() -> ExitCode {
///     hacher_libos_net::serve(|mut input, output| output.send(input.bytes()?))
/// }
/// ```
pub fn serve<H>(handler: H) -> ExitCode
where
    H: Fn(Input<'_>, &mut Output<'_>) -> Result<(), Failure>,
{
    let Some(channel) = take_channel() else {
        eprintln!(
            "this executable is a function of a Hacher chain: it runs inside a trustlet, which hacher-fabric \
             starts.\nName it as `exec` in a chain file, then: hacher-fabric run chain.toml --input FILE"
        );
        return ExitCode::from(2);
    };
    let channel = Channel::new(channel);
    let ready = attach(&channel).and_then(|attachment| {
        last_words::install(&attachment.own);
        // Takes over from a predecessor before anybody is told that this process serves.
        let trustlet = Trustlet::new(handler, attachment);
        trustlet.place.set_serving();
        channel.say_ready()?;
        Ok(trustlet)
    });
    match ready {
        Ok(trustlet) => trustlet.serve(),
        // The monitor closes the channel when it no longer wants this trustlet.
        Err(AttachError::Closed) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("could not attach to the chain: {error}");
            ExitCode::FAILURE
        }
    }
}

fn attach(channel: &Channel) -> Result<Attachment, AttachError> {
    let mut assembly = Assembly::default();
    loop {
        match assembly.feed(channel.receive()?)? {
            Some(Wish::Lockdown(program)) => {
                refused_call::answer_all()?;
                lock_down(&program)?;
            }
            Some(Wish::Attach(attachment)) => return Ok(*attachment),
            // What gateways are told.
            Some(_) | None => {}
        }
    }
}

/// A run that is to be, or has been.
struct Job {
    bundle: Bundle,
    invocation: InvocationId,
    deadline: Monotonic,
    attempt: u32,
    /// The record that makes the job ready: the only one, or of a join the one that came last.
    record: RecordPlace,
    /// The one part's later segments have not been opened.
    streams: bool,
    /// When it could run, so that the clock need not be read again before it does.
    ready: Monotonic,
    times: Times,
}

/// What is known of a job's times before it runs.
#[derive(Clone, Copy, Default)]
struct Times {
    seen_ns: u64,
    queued_ns: u64,
    hand_over_ns: u64,
    open_ns: u64,
}

/// A job that failed and waits for its next attempt.
struct Delayed {
    job: Job,
    due: Monotonic,
}

pub(crate) struct Trustlet<H> {
    handler: H,
    place: Attachment,
    ports: Vec<PortBuffer>,
    pool: Pool,
    joins: Joins,
    delayed: Vec<Delayed>,
    /// Records that earlier processes have died in.
    suspects: Suspects,
    /// What outputs inherit of the input's headers.
    inherited: Vec<u8>,
    /// Since when this instance has had nothing to do.
    free_since: Monotonic,
    /// When the last run ended, if nothing has been waited for since.
    ended: Option<Monotonic>,
    /// State of the generator of jitter; no secret depends on it.
    jitter: u64,
}

impl<H> Trustlet<H>
where
    H: Fn(Input<'_>, &mut Output<'_>) -> Result<(), Failure>,
{
    pub(crate) fn new(handler: H, place: Attachment) -> Self {
        let ports = place.sender.port_names().map(PortBuffer::new).collect();
        let now = Monotonic::now();
        let mut jitter = now.as_ns() | 1;
        let suspects = Suspects::take_over(&place.own, &place.begin, &place.receiver, |attempts| {
            backoff_ns(&place.begin, attempts, &mut jitter)
        });
        for word in [
            page_word::RUNNING_INBOUND,
            page_word::RUNNING_STAGE,
            page_word::RUNNING_INVOCATION,
            page_word::RUNNING_ATTEMPT,
            page_word::BUSY_SINCE,
            page_word::LAST_WORDS,
        ] {
            place.own.store(word, 0);
        }
        Self {
            handler,
            ports,
            pool: Pool::default(),
            joins: Joins::new(place.begin.in_flight),
            delayed: Vec::new(),
            suspects,
            inherited: Vec::new(),
            free_since: now,
            ended: None,
            jitter,
            place,
        }
    }

    fn serve(mut self) -> ! {
        loop {
            if !self.turn() {
                self.rest();
            }
        }
    }

    /// The present; or when the last run ended, if it was followed by nothing but looking for more.
    fn now(&mut self) -> Monotonic {
        self.ended.take().unwrap_or_else(Monotonic::now)
    }

    /// Does the next thing that can be done now; `false` if there is none.
    pub(crate) fn turn(&mut self) -> bool {
        if self.place.sender.owes_aborts() {
            self.place.sender.say_aborts(&self.place.own);
        }
        if let Some(job) = self.take_due() {
            self.run(job);
        } else if let Some(ring) = self.place.receiver.ring_with_news() {
            self.take(ring);
        } else {
            return false;
        }
        true
    }

    /// Sleeps until there is something to do.
    pub(crate) fn rest(&mut self) {
        self.ended = None;
        self.drop_expired_joins();
        let until = self.next_timer();
        let place = &mut self.place;
        let owes_aborts = place.sender.owes_aborts();
        // Who waits for the rest of a record that has none is told as soon as there is room, which rings the
        // bell.
        if !owes_aborts || place.sender.announce_starved() {
            place.receiver.wait(&place.own, until);
        }
        if owes_aborts {
            place.sender.fed();
        }
    }

    fn next_timer(&self) -> Option<Monotonic> {
        let due = self.delayed.iter().map(|delayed| delayed.due).min();
        due.into_iter().chain(self.joins.first_deadline()).min()
    }

    fn take_due(&mut self) -> Option<Job> {
        if self.delayed.is_empty() {
            return None;
        }
        let now = Monotonic::now();
        let index = self.delayed.iter().position(|delayed| delayed.due <= now)?;
        Some(self.delayed.swap_remove(index).job)
    }

    fn drop_expired_joins(&mut self) {
        if self.joins.first_deadline().is_none() {
            return;
        }
        let now = Monotonic::now();
        let own = &self.place.own;
        while let Some(bundle) = self
            .joins
            .take_expired(now, |invocation| own.is_closed(invocation))
        {
            own.count(Counter::Expired, 1);
            for place in &bundle.places {
                self.place.receiver.release(own, *place);
            }
            self.pool.give(bundle);
        }
    }

    /// Takes what there is on `ring`, and runs the handler if that completes an input.
    fn take(&mut self, ring: usize) {
        let Some(upstream) = self.place.receiver.upstream(ring).copied() else {
            return;
        };
        let seen = self.now();
        let mut bundle = self.pool.take(1, &upstream);
        let Some(part) = bundle.parts.first_mut() else {
            return;
        };
        let step = self
            .place
            .receiver
            .step_in_place(&self.place.own, ring, part.plain_mut());
        match step {
            Step::Empty => self.pool.give(bundle),
            Step::Abandoned(record) => {
                self.place.own.count(Counter::Abandoned, 1);
                self.place.receiver.release(&self.place.own, record);
                self.pool.give(bundle);
            }
            Step::Refused {
                refusal,
                arriving,
                claimed,
            } => {
                if let Some(record) = arriving {
                    self.place.receiver.release(&self.place.own, record);
                }
                // What was replayed, or belongs to another edge, is not what is missing here.
                if let (Some(claimed), Refusal::Forged | Refusal::OutOfOrder) = (claimed, refusal) {
                    let deadline = self.believed(claimed.deadline, seen);
                    // Nothing vouches for what it claims, so nothing is waited for.
                    self.tell_gateway(claimed.invocation, deadline, seen, 1, &Cause::InputRefused.into());
                }
                self.pool.give(bundle);
            }
            Step::Opened(opened) => {
                add_in_place(&self.place.receiver, &opened, part);
                let headers = part.parse_headers();
                if opened.descriptor.last {
                    part.set_complete();
                }
                bundle.places.push(opened.record);
                if opened.begins && self.place.receiver.was_done(opened.record) {
                    return self.pass_over(bundle, &opened);
                }
                // What was left in place was not opened.
                let ready = if opened.in_place { seen } else { Monotonic::now() };
                let times = self.times(&opened, seen, ready);
                let job = Job {
                    bundle,
                    invocation: opened.descriptor.invocation,
                    deadline: self.believed(opened.descriptor.deadline, seen),
                    attempt: 1,
                    record: opened.record,
                    streams: !opened.descriptor.last,
                    ready,
                    times,
                };
                let joins = upstream.group_width > 1;
                let pointless = headers.is_ok() && self.is_pointless(&job, seen);
                if headers.is_ok() && !pointless && !joins {
                    // Its times are noted when it is settled: until then somebody waits for what it makes.
                    return self.run(job);
                }
                self.note_arrival(ring, &times);
                if headers.is_err() {
                    self.place.own.count(Counter::Refused(Refusal::BadHeaders), 1);
                    self.give_up(job, &Cause::InputRefused.into());
                } else if pointless {
                    self.drop_job(job);
                } else {
                    self.join(job, ring);
                }
            }
        }
    }

    /// Releases a record again that a predecessor had released out of order.
    fn pass_over(&mut self, bundle: Bundle, opened: &Opened) {
        if !opened.descriptor.last {
            self.place.receiver.give_up_arriving(opened.record.ring);
        }
        self.release(bundle);
    }

    /// The deadline that a record brings, which its producer may have made up: no request is worth more than
    /// the chain allows, and no wait of this instance may last longer.
    fn believed(&self, deadline: Monotonic, seen: Monotonic) -> Monotonic {
        deadline.min(seen.after(Duration::from_nanos(self.place.begin.deadline_ns)))
    }

    fn times(&self, opened: &Opened, seen: Monotonic, ready: Monotonic) -> Times {
        // The time of publishing is the producer's word; clamped, a lie about it changes nothing but this
        // figure.
        let published = opened.published.min(seen);
        let free = self.free_since.clamp(published, seen);
        Times {
            seen_ns: seen.as_ns(),
            queued_ns: free.ns_since(published),
            hand_over_ns: seen.ns_since(free),
            open_ns: ready.ns_since(seen),
        }
    }

    fn note_arrival(&self, ring: usize, times: &Times) {
        let own = &self.place.own;
        own.record(Phase::Queued(ring), times.queued_ns);
        own.record(Phase::HandOver(ring), times.hand_over_ns);
    }

    fn is_pointless(&self, job: &Job, now: Monotonic) -> bool {
        let own = &self.place.own;
        if job.deadline <= now {
            own.count(Counter::Expired, 1);
            return true;
        }
        if own.is_closed(job.invocation) {
            own.count(Counter::Cancelled, 1);
            return true;
        }
        false
    }

    fn drop_job(&mut self, job: Job) {
        if job.streams {
            self.place.receiver.give_up_arriving(job.record.ring);
        }
        self.release(job.bundle);
    }

    fn release(&mut self, bundle: Bundle) {
        if !self.suspects.is_empty() {
            self.suspects.forget(&self.place.own, &bundle.places);
        }
        for place in &bundle.places {
            self.place.receiver.release(&self.place.own, *place);
        }
        self.pool.give(bundle);
        let own = &self.place.own;
        own.store(page_word::BUSY_SINCE, 0);
        own.store(page_word::RUNNING_INBOUND, 0);
    }

    /// Waits for the rest of a record of a join, then runs the handler if no other is missing.
    fn join(&mut self, mut job: Job, ring: usize) {
        if let Some(suspect) = self.suspect(&job)
            && self.is_last(&suspect)
        {
            return self.give_up_suspect(job, &suspect);
        }
        if job.streams {
            // To collect the parts of a join may take more memory than there is.
            self.mark_running(&job, Monotonic::from_ns(0));
            let mut source = Arriving::new(&self.place.own, &mut self.place.receiver, &job);
            let arrived = job.bundle.parts.first_mut().map(|part| source.open_rest(part));
            job.times.open_ns += source.open_ns;
            let lost = source.lost;
            job.streams = false;
            if arrived.is_some_and(|arrived| arrived.is_err()) {
                return self.lose(job, lost);
            }
            self.place.own.store(page_word::RUNNING_INBOUND, 0);
        }
        // Also here, and not only before sleep: there may be no sleep for long.
        self.drop_expired_joins();
        let Some(upstream) = self.place.receiver.upstream(ring).copied() else {
            return;
        };
        let ready = Monotonic::now();
        let Job {
            bundle,
            invocation,
            deadline,
            record,
            times,
            ..
        } = job;
        match self
            .joins
            .add(bundle, &upstream, invocation, deadline, &mut self.pool)
        {
            Joined::Waiting => {}
            Joined::Duplicate(bundle) => self.release(bundle),
            Joined::TooMany(bundle) => {
                self.place.own.count(Counter::Abandoned, 1);
                self.release(bundle);
            }
            Joined::Complete(bundle) => {
                self.run(Job {
                    bundle,
                    invocation,
                    deadline,
                    attempt: 1,
                    record,
                    streams: false,
                    ready,
                    times,
                });
            }
        }
    }

    /// Drops a job whose input will never be whole.
    fn lose(&mut self, job: Job, lost: Option<Lost>) {
        match lost {
            Some(Lost::Refused) => self.give_up(job, &Cause::InputRefused.into()),
            Some(Lost::Late) => {
                self.place.own.count(Counter::Expired, 1);
                self.place.receiver.give_up_arriving(job.record.ring);
                self.release(job.bundle);
            }
            // The producer's own retry, or its fault notice, follows.
            Some(Lost::Abandoned) | None => {
                self.place.own.count(Counter::Abandoned, 1);
                self.release(job.bundle);
            }
        }
    }

    /// One attempt.
    fn run(&mut self, mut job: Job) {
        if let Some(suspect) = self.suspect(&job)
            && job.attempt <= suspect.attempts
        {
            if job.bundle.places.len() == 1 {
                self.note_arrival(job.record.ring, &job.times);
            }
            if self.is_last(&suspect) || suspect.due >= job.deadline {
                return self.give_up_suspect(job, &suspect);
            }
            job.attempt = suspect.attempts;
            if suspect.due > Monotonic::now() {
                // As a retry, so that others run meanwhile.
                return self.delay(job, suspect.due);
            }
            job.attempt += 1;
        }
        if job.attempt > 1 {
            job.ready = Monotonic::now();
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
    fn suspect(&self, job: &Job) -> Option<Suspect> {
        if self.suspects.is_empty() {
            return None;
        }
        self.suspects.find(&job.bundle.places)
    }

    /// Whether it has had all its attempts.
    fn is_last(&self, suspect: &Suspect) -> bool {
        suspect.stage > Stage::Run || suspect.last || suspect.attempts >= self.place.begin.retry_attempts
    }

    /// Gives up on a record that has ended processes, without what has ended one of them while it was given
    /// up.
    fn give_up_suspect(&mut self, mut job: Job, suspect: &Suspect) {
        job.attempt = suspect.attempts;
        self.mark_running(&job, Monotonic::from_ns(0));
        let mut fault = Fault {
            code: suspect.code,
            ..suspect.cause.into()
        };
        match suspect.stage {
            Stage::Run => self.give_up(job, &fault),
            Stage::ErrorPort => {
                fault.kept_back = Some(KeptBack::Fatal);
                self.give_up(job, &fault);
            }
            // Nobody can be told.
            Stage::Notice => {
                self.place.own.count(Counter::Failed, 1);
                self.drop_job(job);
            }
        }
    }

    /// Says in the instance page what runs now, and since when the handler does.
    fn mark_running(&self, job: &Job, since: Monotonic) {
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

    fn run_handler(&mut self, job: &mut Job) -> Ran {
        let place = &mut self.place;
        let own = &place.own;
        for port in &mut self.ports {
            port.clear();
        }
        let mut source = Arriving::new(own, &mut place.receiver, job);
        let mut ran = Ran::default();
        if job.attempt > 1 && job.bundle.places.len() == 1 {
            // A single record is opened again for every further attempt: the last one may have used it up.
            if let Err(failure) = source.restart(&mut job.bundle) {
                ran.result = Err(failure);
                ran.lost = source.lost;
                return ran;
            }
        }
        if let Err(failure) = source.reopen_shed(&mut job.bundle) {
            ran.result = Err(failure);
            ran.lost = source.lost;
            return ran;
        }
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
        let mut sealing = Sealing {
            own,
            sender: &mut place.sender,
            context,
            until: job.deadline,
            fault: None,
            seal_ns: 0,
            out_bytes: 0,
        };
        let run = Run {
            invocation: job.invocation,
            attempt: job.attempt,
            deadline: job.deadline,
            secrets: &place.secrets,
            closed: &|invocation| own.is_closed(invocation),
        };
        let input = Input::new(run, &mut job.bundle.parts, Some(&mut source));
        let mut output = Output::new(&mut self.ports, &self.inherited, &mut sealing);
        ran.result = run_caught(&self.handler, input, &mut output);
        let after = Monotonic::now();
        ran.lost = source.lost;
        job.streams = !source.complete;
        ran.in_bytes += source.opened_bytes;
        ran.run_ns = after
            .ns_since(job.ready)
            .saturating_sub(source.open_ns + sealing.seal_ns);
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
        }
        (ran.fault, ran.seal_ns, ran.out_bytes) = (sealing.fault, sealing.seal_ns, sealing.out_bytes);
        ran
    }

    /// Decides what becomes of the input.
    fn settle(&mut self, job: Job, ran: Ran) {
        let own = &self.place.own;
        let ring = job.record.ring;
        if job.attempt == 1 && job.bundle.places.len() == 1 {
            self.note_arrival(ring, &job.times);
        }
        own.record(Phase::Open(ring), job.times.open_ns);
        own.record(Phase::Run, ran.run_ns);
        own.count(Counter::BytesIn, ran.in_bytes);
        own.count(Counter::BytesOut, ran.out_bytes);
        let retry_at = self.retry_at(&job, &ran);
        let outcome = match (&ran.result, ran.lost, retry_at) {
            (Ok(()), None, _) => Outcome::Succeeded,
            (_, _, Some(_)) => Outcome::Retried,
            _ => Outcome::Failed,
        };
        let own = &self.place.own;
        let trace = Trace {
            invocation: job.invocation.halves().0,
            inbound: u32::try_from(ring).unwrap_or(u32::MAX),
            attempt: job.attempt,
            outcome,
            seen_ns: if job.attempt == 1 {
                job.times.seen_ns
            } else {
                job.ready.as_ns()
            },
            queued_ns: job.times.queued_ns,
            hand_over_ns: job.times.hand_over_ns,
            open_ns: job.times.open_ns,
            run_ns: ran.run_ns,
            seal_ns: ran.seal_ns,
            in_bytes: ran.in_bytes,
            out_bytes: ran.out_bytes,
        };
        telemetry::trace(&own.page, &own.page_layout, &trace);
        self.free_since = ran.ended;
        // Of a run that failed it is not known what was waited for since.
        self.ended = (ran.result.is_ok() && ran.lost.is_none()).then_some(ran.ended);
        match (ran.result, ran.lost, retry_at) {
            (_, Some(lost), _) => self.lose(job, Some(lost)),
            (Ok(()), None, _) => {
                self.place.own.count(Counter::Succeeded, 1);
                self.drop_job(job);
            }
            (Err(_), None, Some(due)) => self.delay(job, due),
            (Err(failure), None, None) => {
                let (cause, code) = if failure == PANICKED {
                    last_words::last_panic().cause()
                } else {
                    (Cause::Failed, 0)
                };
                let fault = ran.fault.unwrap_or(Fault {
                    code,
                    // Of a panic the cause says it all.
                    reason: (failure != PANICKED || cause == Cause::Panicked).then_some(failure),
                    ..cause.into()
                });
                self.give_up(job, &fault);
            }
        }
    }

    /// When the next attempt is due, if there is to be one.
    fn retry_at(&mut self, job: &Job, ran: &Ran) -> Option<Monotonic> {
        let transient = ran.result.is_err_and(|failure| failure.is_transient());
        let begin = &self.place.begin;
        if !transient || ran.lost.is_some() || ran.fault.is_some() || job.attempt >= begin.retry_attempts {
            return None;
        }
        let wait_ns = backoff_ns(begin, job.attempt, &mut self.jitter);
        let due = Monotonic::now().after(Duration::from_nanos(wait_ns));
        (due < job.deadline).then_some(due)
    }

    fn delay(&mut self, mut job: Job, due: Monotonic) {
        self.place.own.count(Counter::Retried, 1);
        self.place.own.store(page_word::BUSY_SINCE, 0);
        self.place.own.store(page_word::RUNNING_INBOUND, 0);
        if job.streams {
            // What has not been looked at must arrive before the ring can go on to the next record.
            let mut source = Arriving::new(&self.place.own, &mut self.place.receiver, &job);
            let arrived = job.bundle.parts.first_mut().map(|part| source.open_rest(part));
            let lost = source.lost;
            job.streams = false;
            if arrived.is_some_and(|arrived| arrived.is_err()) {
                return self.lose(job, lost);
            }
        }
        job.attempt += 1;
        // It may wait for long, and others with it: its record is opened again for the next attempt.
        job.bundle.shed();
        self.delayed.push(Delayed { job, due });
    }

    /// Gives up on a record: to the `error` port if the chain has one, else as a notice to the gateway.
    fn give_up(&mut self, mut job: Job, fault: &Fault) {
        self.place.own.count(Counter::Failed, 1);
        let mut fault = *fault;
        let is_error_port = self.place.begin.error_port != u32::MAX && fault.cause != Cause::InputRefused;
        if is_error_port && fault.kept_back.is_none() {
            self.mark_stage(Stage::ErrorPort);
            match self.send_to_error_port(&mut job, &fault) {
                Ok(()) => {
                    self.drop_job(job);
                    return self.mark_stage(Stage::Run);
                }
                Err((kept_back, sizes_bytes)) => {
                    fault.kept_back = Some(kept_back);
                    fault.sizes_bytes = sizes_bytes.or(fault.sizes_bytes);
                }
            }
        }
        self.mark_stage(Stage::Notice);
        self.tell_gateway(job.invocation, job.deadline, job.deadline, job.attempt, &fault);
        self.drop_job(job);
        self.mark_stage(Stage::Run);
    }

    /// Says in the instance page how far giving up has come.
    fn mark_stage(&self, stage: Stage) {
        self.place.own.store(page_word::RUNNING_STAGE, stage as u64);
    }

    /// Passes the input on to the `error` port; an error says why that is not possible, and the sizes if it
    /// is too large.
    fn send_to_error_port(
        &mut self,
        job: &mut Job,
        fault: &Fault,
    ) -> Result<(), (KeptBack, Option<(u64, u64)>)> {
        let not_whole = (KeptBack::NotWhole, None);
        let index = usize::try_from(self.place.begin.error_port).map_err(|_| not_whole)?;
        let place = &mut self.place;
        let own = &place.own;
        let mut source = Arriving::new(own, &mut place.receiver, job);
        // The parts of a join are whole; a single record may have been used up by its reader.
        let is_single = job.bundle.places.len() == 1;
        let whole = (!is_single || source.restart(&mut job.bundle).is_ok())
            && job
                .bundle
                .parts
                .first_mut()
                .is_some_and(|part| source.open_rest(part).is_ok());
        job.streams = !source.complete;
        let (Some(part), Some(port), true) = (job.bundle.parts.first(), self.ports.get_mut(index), whole)
        else {
            return Err(not_whole);
        };
        port.clear();
        let plain = port.start(part.encoded_headers());
        explain(plain, place.begin.function.as_str(), job.attempt, fault);
        if !place.sender.can_hold(index, plain.len() + part.len_bytes()) {
            // As large as a record can be: it goes without what explains its failure, rather than not at all.
            headers::start(plain, part.encoded_headers());
        }
        // A failed allocation would end this process, and the next one in the same place.
        plain
            .try_reserve_exact(part.len_bytes())
            .map_err(|_| (KeptBack::NoMemory, None))?;
        plain.extend_from_slice(part.bytes());
        let context = RecordContext {
            invocation: job.invocation,
            deadline: job.deadline,
            attempt: 1,
        };
        let mut sealing = Sealing {
            own,
            sender: &mut place.sender,
            context,
            until: job.deadline,
            fault: None,
            seal_ns: 0,
            out_bytes: 0,
        };
        if port.finish(index, &mut sealing).is_ok() {
            return Ok(());
        }
        let fault = sealing.fault;
        sealing.abort(index);
        Err(match fault {
            Some(fault) if fault.cause == Cause::OutputTooLarge => {
                let size_bytes = port.pending_bytes() as u64;
                let sizes_bytes = fault
                    .sizes_bytes
                    .map(|(_, limit_bytes)| (size_bytes, limit_bytes));
                (KeptBack::TooLarge, sizes_bytes)
            }
            _ => (KeptBack::Backlogged, None),
        })
    }

    /// Tells the gateway that a record is given up, if there is room for that until `until`.
    fn tell_gateway(
        &mut self,
        invocation: InvocationId,
        deadline: Monotonic,
        until: Monotonic,
        attempts: u32,
        fault: &Fault,
    ) {
        let place = &mut self.place;
        let Some(port) = place.sender.fault_port() else {
            return;
        };
        let mut plain = Vec::new();
        headers::start(&mut plain, &[]);
        notice::encode(place.begin.function_index, attempts, fault, &mut plain);
        let context = RecordContext {
            invocation,
            deadline,
            attempt: 1,
        };
        let mut sealing = Sealing {
            own: &place.own,
            sender: &mut place.sender,
            context,
            until,
            fault: None,
            seal_ns: 0,
            out_bytes: 0,
        };
        // If even this cannot leave before the deadline, the gateway answers that the deadline has passed.
        let _ = sealing.segment(port, &plain, true);
    }
}

/// Puts into the headers of a record why it is given up. They have room for that.
fn explain(plain: &mut Vec<u8>, function: &str, attempts: u32, fault: &Fault) {
    let cause = fault.cause.with(fault.code).to_string();
    let reason = fault.reason.as_ref().map_or("", Failure::reason);
    let attempts = attempts.to_string();
    for (name, value) in
        headers::EXPLANATION
            .into_iter()
            .zip([function, cause.as_str(), reason, attempts.as_str()])
    {
        let mut end = value.len().min(headers::EXPLANATION_VALUE_MAX_BYTES);
        while !value.is_char_boundary(end) {
            end -= 1;
        }
        // A reason may be of several lines; a header is of one.
        let line = value.get(..end).unwrap_or("").replace(char::is_control, " ");
        let told = if line.is_empty() {
            // A reason that an earlier function left is not this one's.
            headers::remove(plain, name)
        } else {
            headers::set(plain, name, &line)
        };
        debug_assert!(told.is_ok(), "an explanation has room of its own");
    }
}

/// How long to wait after so many attempts.
fn backoff_ns(begin: &Begin, attempts: u32, jitter: &mut u64) -> u64 {
    let mut wait_ns = begin.retry_backoff_ns.min(begin.retry_max_ns);
    for _ in 1..attempts {
        if wait_ns >= begin.retry_max_ns || wait_ns == 0 {
            break;
        }
        wait_ns = (wait_ns.saturating_mul(begin.retry_factor_milli) / 1000).min(begin.retry_max_ns);
    }
    if begin.retry_jitter == 1 {
        wait_ns = wait_ns / 2 + next(jitter) % (wait_ns / 2 + 1);
    }
    wait_ns
}

/// Marsaglia's xorshift: spreads retries, nothing else.
const fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// Sends the records of all ports that the handler used.
fn send_all(
    ports: &mut [PortBuffer],
    sealing: &mut Sealing<'_>,
    mut now: Monotonic,
    ended: &mut Monotonic,
) -> Result<(), Failure> {
    let outbox_bytes = sealing.sender.outbox_bytes();
    let mut used = false;
    *ended = now;
    for (index, port) in ports.iter_mut().enumerate().filter(|(_, port)| port.is_used()) {
        used = true;
        let size_bytes = port.pending_bytes() as u64;
        if size_bytes > outbox_bytes {
            sealing.fault = Some(Fault {
                sizes_bytes: Some((size_bytes, outbox_bytes)),
                ..Cause::OutputTooLarge.into()
            });
            return Err(Failure::permanent("the output is larger than the outbox"));
        }
        let seal_before = sealing.seal_ns;
        port.finish(index, sealing)?;
        let then = sealing.sender.published_last().max(now);
        sealing.seal_ns = seal_before + then.ns_since(now);
        telemetry::record(
            &sealing.own.page,
            &sealing.own.page_layout,
            Phase::Seal(index),
            then.ns_since(now),
        );
        now = then;
        *ended = now;
    }
    if used {
        return Ok(());
    }
    sealing.fault = Some(Cause::NoOutput.into());
    Err(Failure::permanent("the handler produced no output"))
}

/// What one attempt gave.
#[derive(Clone, Copy)]
struct Ran {
    result: Result<(), Failure>,
    lost: Option<Lost>,
    fault: Option<Fault>,
    ended: Monotonic,
    run_ns: u64,
    seal_ns: u64,
    in_bytes: u64,
    out_bytes: u64,
}

impl Default for Ran {
    fn default() -> Self {
        Self {
            result: Ok(()),
            lost: None,
            fault: None,
            ended: Monotonic::from_ns(0),
            run_ns: 0,
            seal_ns: 0,
            in_bytes: 0,
            out_bytes: 0,
        }
    }
}

/// Why an input will never be whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lost {
    Abandoned,
    Refused,
    Late,
}

/// The later segments of the record that a handler is working on.
struct Arriving<'a> {
    own: &'a Own,
    receiver: &'a mut Receiver,
    record: RecordPlace,
    deadline: Monotonic,
    /// Next segment to open again; `None` once those of an earlier attempt are used up.
    again: Option<u64>,
    complete: bool,
    lost: Option<Lost>,
    open_ns: u64,
    opened_bytes: u64,
}

impl<'a> Arriving<'a> {
    fn new(own: &'a Own, receiver: &'a mut Receiver, job: &Job) -> Self {
        Self {
            own,
            receiver,
            record: job.record,
            deadline: job.deadline,
            again: None,
            complete: !job.streams,
            lost: None,
            open_ns: 0,
            opened_bytes: 0,
        }
    }

    /// Goes back to the record's beginning: opens its first segment again.
    fn restart(&mut self, bundle: &mut Bundle) -> Result<(), Failure> {
        let Some(part) = bundle.parts.first_mut() else {
            return Ok(());
        };
        if part.is_in_place() {
            return Ok(()); // nothing of it is used up
        }
        let Some(upstream) = self.receiver.upstream(self.record.ring).copied() else {
            return Ok(());
        };
        part.clear(upstream.function, upstream.port);
        let was_complete = self.complete;
        self.again = Some(0);
        let last = self.open_next(part)?;
        part.parse_headers()
            .map_err(|_| Failure::retry("the input has malformed headers"))?;
        if last {
            part.set_complete();
        }
        // Whether the whole record has arrived does not change by reading it again.
        self.complete = was_complete;
        Ok(())
    }

    /// Opens again what was given up while it waited.
    fn reopen_shed(&mut self, bundle: &mut Bundle) -> Result<(), Failure> {
        while let Some((part, record)) = bundle.first_shed() {
            let start = Monotonic::now();
            self.reopen(part, record)?;
            self.open_ns += Monotonic::now().ns_since(start);
        }
        Ok(())
    }

    /// Opens all of a record that has arrived and is not released.
    fn reopen(&mut self, part: &mut Part, record: RecordPlace) -> Result<(), Failure> {
        let refused = Failure::retry("a segment of the input was refused");
        let Some(upstream) = self.receiver.upstream(record.ring).copied() else {
            return self.lose(Lost::Refused, refused);
        };
        part.clear(upstream.function, upstream.port);
        for segment in 0.. {
            let opened = self.receiver.reopen(self.own, record, segment, part.plain_mut());
            let Some(Ok(descriptor)) = opened else { break };
            if segment == 0 && part.parse_headers().is_err() {
                break;
            }
            if descriptor.last {
                part.set_complete();
                return Ok(());
            }
        }
        self.lose(Lost::Refused, refused)
    }

    /// Opens all that is left into `part`.
    fn open_rest(&mut self, part: &mut Part) -> Result<(), Failure> {
        while !part.is_complete() {
            if self.open_next(part)? {
                part.set_complete();
            }
        }
        Ok(())
    }

    fn lose<T>(&mut self, lost: Lost, failure: Failure) -> Result<T, Failure> {
        self.lost = Some(lost);
        Err(failure)
    }
}

impl SegmentSource for Arriving<'_> {
    fn open_next(&mut self, part: &mut Part) -> Result<bool, Failure> {
        if let Some(segment) = self.again {
            match self
                .receiver
                .reopen(self.own, self.record, segment, part.plain_mut())
            {
                Some(Ok(descriptor)) => {
                    self.again = Some(segment + 1);
                    return Ok(descriptor.last);
                }
                Some(Err(_)) => {
                    return self.lose(
                        Lost::Refused,
                        Failure::retry("a segment of the input was refused"),
                    );
                }
                None => self.again = None,
            }
        }
        loop {
            let start = Monotonic::now();
            let step = self
                .receiver
                .step_in_place(self.own, self.record.ring, part.plain_mut());
            match step {
                Step::Opened(opened) => {
                    add_in_place(self.receiver, &opened, part);
                    self.open_ns += Monotonic::now().ns_since(start);
                    self.opened_bytes += opened.descriptor.len_bytes as u64;
                    self.complete = opened.descriptor.last;
                    return Ok(opened.descriptor.last);
                }
                Step::Empty if start >= self.deadline => {
                    return self.lose(Lost::Late, Failure::retry("the input did not arrive in time"));
                }
                Step::Empty => self.receiver.wait_for(self.own, self.record.ring, self.deadline),
                Step::Abandoned(_) => {
                    self.complete = true;
                    return self.lose(Lost::Abandoned, Failure::retry("the sender gave up on the input"));
                }
                Step::Refused { .. } => {
                    self.complete = true;
                    return self.lose(
                        Lost::Refused,
                        Failure::retry("a segment of the input was refused"),
                    );
                }
            }
        }
    }
}

/// Adds a segment to `part` that was left in place, if it was.
fn add_in_place(receiver: &Receiver, opened: &Opened, part: &mut Part) {
    if opened.in_place
        && let Some(region) = receiver.region(opened.record.ring)
    {
        part.add_in_place(region, opened.descriptor.offset, opened.descriptor.len_bytes);
    }
}

/// For how long the end of a record that will not be finished waits for room, before other work goes on.
const ABORT_WAIT: Duration = Duration::from_millis(5);

/// Takes the output's segments to the data path, waiting for room where there is none.
struct Sealing<'a> {
    own: &'a Own,
    sender: &'a mut Sender,
    context: RecordContext,
    /// For how long to wait for room.
    until: Monotonic,
    fault: Option<Fault>,
    seal_ns: u64,
    out_bytes: u64,
}

impl Sealing<'_> {
    /// Does `act` as soon as there is room for its `len_bytes` bytes.
    fn once_there_is_room<T>(
        &mut self,
        len_bytes: usize,
        mut act: impl FnMut(&mut Sender, &Own) -> Result<T, SendError>,
    ) -> Result<T, Failure> {
        loop {
            match act(self.sender, self.own) {
                Ok(done) => return Ok(done),
                Err(SendError::Full) if Monotonic::now() < self.until => {
                    self.sender.wait_for_room(self.own, self.until);
                }
                Err(SendError::TooLarge { outbox_bytes }) => {
                    self.fault = Some(Fault {
                        sizes_bytes: Some((self.out_bytes + len_bytes as u64, outbox_bytes)),
                        ..Cause::OutputTooLarge.into()
                    });
                    return Err(Failure::permanent("the output is larger than the outbox"));
                }
                Err(_) => {
                    self.fault = Some(Cause::Backlogged.into());
                    return Err(Failure::permanent(
                        "a later function was too slow to take the output",
                    ));
                }
            }
        }
    }

    fn abort(&mut self, port: usize) {
        self.sender.drop_placed(port);
        // Whoever has the beginning waits for the rest, and the next handler may take long. Beyond this wait
        // the event loop says it: nobody who waits for what comes next waits for that.
        let until = self.until.min(Monotonic::now().after(ABORT_WAIT));
        while self.sender.abort(self.own, port, &self.context) == Err(SendError::Full)
            && Monotonic::now() < until
        {
            self.sender.wait_for_room(self.own, until);
        }
    }
}

impl RecordSink for Sealing<'_> {
    fn segment(&mut self, port: usize, plain: &[u8], last: bool) -> Result<(), Failure> {
        if self.fault.is_some() {
            // The record has a hole already, whatever the handler makes of that.
            return Err(Failure::permanent(
                "the handler went on after its output had failed",
            ));
        }
        // Timing every segment costs little beside sealing 64 KiB; a record of one segment is timed by the
        // caller.
        let start = (!last).then(Monotonic::now);
        let context = self.context;
        self.once_there_is_room(plain.len(), |sender, own| {
            sender.send(own, port, &context, plain, last)
        })?;
        self.out_bytes += plain.len() as u64;
        if let Some(start) = start {
            self.seal_ns += Monotonic::now().ns_since(start);
        }
        Ok(())
    }
    fn segment_bytes(&self, port: usize) -> usize {
        self.sender.segment_bytes(port)
    }

    fn place(&mut self, port: usize, len_bytes: usize) -> Result<bool, Failure> {
        let invocation = self.context.invocation;
        let placed =
            self.once_there_is_room(len_bytes, |sender, _| sender.place(port, invocation, len_bytes))?;
        if placed {
            self.out_bytes += len_bytes as u64;
        }
        Ok(placed)
    }

    fn write_placed(&mut self, port: usize, at: usize, bytes: &[u8]) -> bool {
        self.sender.write_placed(port, at, bytes)
    }

    fn send_placed(&mut self, port: usize) -> Result<(), Failure> {
        let context = self.context;
        self.once_there_is_room(0, |sender, own| sender.send_placed(own, port, &context))
    }
}
