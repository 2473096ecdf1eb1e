//! What is told in the instance page of requests that are traced: runs, and how the parts of joins arrived.

use super::event_loop::Trustlet;
use super::job::Job;
use super::suspects::{Stage, Suspect};
use crate::clock::Monotonic;
use crate::sdk::failure::Failure;
use crate::sdk::input::Input;
use crate::sdk::output::Output;
use crate::sdk::part::Part;
use crate::sdk::renewal::{RunSpan, of_run};
use hacher_data_path::page::spans::{Span, SpanKind};
use hacher_data_path::page::telemetry::{Outcome, Trace};
use hacher_data_path::record::span_id::SpanId;

impl<H> Trustlet<H>
where
    H: FnMut(Input<'_>, &mut Output<'_>) -> Result<(), Failure>,
{
    /// Tells of a run, if its request is traced.
    pub(super) fn tell_run(
        &self,
        job: &Job,
        span: &RunSpan,
        (started, ended): (Monotonic, Monotonic),
        run: Trace,
    ) {
        if !span.is_sampled {
            return;
        }
        let joins = job.bundle.parts.len() > 1;
        let inbound = if joins { job.bundle.first_ring() } else { None };
        self.place.own.span(&Span {
            kind: if joins { SpanKind::JoinedRun } else { SpanKind::Run },
            id: span.id,
            parent: span.parent,
            started_ns: started.as_ns(),
            ended_ns: ended.as_ns(),
            run: Trace {
                inbound: inbound.map_or(run.inbound, to_number),
                seen_ns: job.times.seen_ns,
                ..run
            },
        });
    }

    /// Tells of a run that a process before this one has died in. How long it took, nobody knows.
    pub(super) fn tell_dead_run(&self, job: &Job, suspect: &Suspect, outcome: Outcome) {
        let run = Trace {
            outcome,
            cause: Some((suspect.cause, suspect.code)),
            ..trace_of(job)
        };
        // Traces, unlike spans, have no id by which what is told twice is known.
        if suspect.is_new && suspect.stage == Stage::Run {
            self.place.own.trace(&Trace {
                queued_ns: 0,
                hand_over_ns: 0,
                open_ns: 0,
                ..run
            });
        }
        let function = self.place.begin.function_index;
        let span = of_run(&job.bundle.parts, job.invocation, function, job.attempt);
        let Some(span) = span else { return };
        let died = Monotonic::from_ns(job.times.seen_ns);
        self.tell_run(job, &span, (died, died), run);
    }

    /// Tells of a record that a join waits for, if its request is traced.
    pub(super) fn tell_arrival(&self, job: &Job, ring: usize) {
        let part = job.bundle.parts.first();
        let came = part.and_then(Part::trace).filter(|came| came.is_sampled);
        let (Some(part), Some(came)) = (part, came) else {
            return;
        };
        let (function, invocation) = (self.place.begin.function_index, job.invocation.halves().0);
        self.place.own.span(&Span {
            kind: SpanKind::Arrival,
            id: SpanId::of_hop(came.parent, invocation, function, to_number(ring)),
            parent: came.parent,
            started_ns: job.ready.as_ns(),
            ended_ns: job.ready.as_ns(),
            run: Trace {
                in_bytes: part.len_bytes() as u64,
                ..trace_of(job)
            },
        });
    }
}

/// What is known of a job that does not run here.
fn trace_of(job: &Job) -> Trace {
    Trace {
        invocation: job.invocation.halves().0,
        inbound: to_number(job.record.ring),
        attempt: job.attempt,
        outcome: Outcome::Succeeded,
        cause: None,
        seen_ns: job.times.seen_ns,
        queued_ns: job.times.queued_ns,
        hand_over_ns: job.times.hand_over_ns,
        open_ns: job.times.open_ns,
        run_ns: 0,
        seal_ns: 0,
        in_bytes: 0,
        out_bytes: 0,
    }
}

fn to_number(ring: usize) -> u32 {
    u32::try_from(ring).unwrap_or(u32::MAX)
}
