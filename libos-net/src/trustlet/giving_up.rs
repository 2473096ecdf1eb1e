//! Giving up on a record: to the `error` port if the chain has one, else as a notice to the gateway.

use super::arriving::Arriving;
use super::event_loop::Trustlet;
use super::job::Job;
use super::sealing::Sealing;
use super::suspects::{Stage, Suspect};
use crate::clock::Monotonic;
use crate::fault::notice::{self, Fault, KeptBack};
use crate::sdk::failure::Failure;
use crate::sdk::headers;
use crate::sdk::input::Input;
use crate::sdk::output::Output;
use crate::sdk::port_buffer::RecordSink;
use crate::sdk::renewal;
use hacher_data_path::fault::cause::Cause;
use hacher_data_path::page::counter::Counter;
use hacher_data_path::record::invocation::InvocationId;
use hacher_data_path::region::layout::page_word;
use hacher_data_path::seal::RecordContext;

impl<H> Trustlet<H>
where
    H: FnMut(Input<'_>, &mut Output<'_>) -> Result<(), Failure>,
{
    /// Gives up on a record: to the `error` port if the chain has one, else as a notice to the gateway.
    pub(super) fn give_up(&mut self, mut job: Job, fault: &Fault) {
        self.place.own.count(Counter::Failed, 1);
        let mut fault = *fault;
        if self.has_error_port() && fault.cause != Cause::InputRefused && fault.kept_back.is_none() {
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

    fn has_error_port(&self) -> bool {
        self.place.begin.error_port != u32::MAX
    }

    /// Whether all of a record is needed to give up on it.
    pub(super) fn leaves_by_error_port(&self, suspect: &Suspect) -> bool {
        suspect.stage == Stage::Run && self.has_error_port()
    }

    /// Says in the instance page how far giving up has come.
    pub(super) fn mark_stage(&self, stage: Stage) {
        self.place.own.store(page_word::RUNNING_STAGE, stage as u64);
    }

    /// Passes the input on to the `error` port; an error says why that is not possible, and the sizes if it
    /// is too large.
    pub(super) fn send_to_error_port(
        &mut self,
        job: &mut Job,
        fault: &Fault,
    ) -> Result<(), (KeptBack, Option<(u64, u64)>)> {
        let not_whole = (KeptBack::NotWhole, None);
        let index = usize::try_from(self.place.begin.error_port).map_err(|_| not_whole)?;
        let place = &mut self.place;
        let own = &place.own;
        let mut source = Arriving::new(own, &mut place.receiver, job);
        // The parts of a join are whole, but may have been given up while they waited; a single record may
        // have been used up by its reader.
        let mut open_again = || match job.bundle.places.len() {
            1 => source.restart(&mut job.bundle),
            _ => source.reopen_first(&mut job.bundle),
        };
        let whole = !job.is_used_up
            && open_again().is_ok()
            && job
                .bundle
                .parts
                .first_mut()
                .is_some_and(|part| source.open_rest(part).is_ok());
        job.streams = !source.complete;
        // Who takes it from here follows the run that failed.
        renewal::renew(
            &mut job.bundle.parts,
            job.invocation,
            place.begin.function_index,
            job.attempt,
        );
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
        let mut sealing = Sealing::new(own, &mut place.sender, context, job.deadline);
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
    pub(super) fn tell_gateway(
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
        let begin = &place.begin;
        notice::encode(begin.function_index, &begin.limits, attempts, fault, &mut plain);
        let context = RecordContext {
            invocation,
            deadline,
            attempt: 1,
        };
        let mut sealing = Sealing::new(&place.own, &mut place.sender, context, until);
        // If even this cannot leave before the deadline, the gateway answers that the deadline has passed.
        let _ = sealing.segment(port, &plain, true);
    }
}

/// Puts into the headers of a record why it is given up. They have room for that.
fn explain(plain: &mut Vec<u8>, function: &str, attempts: u32, fault: &Fault) {
    let reason = fault.reason.as_ref().map_or("", Failure::reason);
    let attempts = attempts.to_string();
    for (name, value) in
        headers::EXPLANATION
            .into_iter()
            .zip([function, fault.cause.word(), reason, attempts.as_str()])
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
