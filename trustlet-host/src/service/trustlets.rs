//! What the event loop does for trustlets: watches them, hears them, gives them up, and takes note of their
//! ends.

use super::daemon::DAEMON_EXIT_PATIENCE;
use super::state::{Service, Stage};
use super::token::{Token, watch};
use crate::ids::ProcessId;
use crate::machine::{Machine, OwnProcess, Refused, Trustlet};
use core::time::Duration;
use hacher_libos_net::attach::{AskEvidence, Drained, MessageHeader, SAID_MAX_BYTES, kind, seqpacket};
use hacher_libos_net::clock::{self, Monotonic};
use rustix::event::epoll;
use rustix::io::Errno;
use rustix::net::RecvFlags;
use zerocopy::FromBytes;

/// How long a process may live that has closed its channel. As a rule it is on its way out, and the channel
/// ends a moment before it does; ending it at once would hide how it ended.
const HANG_UP_PATIENCE: Duration = Duration::from_secs(1);

impl<M: Machine> Service<M> {
    /// Trustlets that are given up at some time, and when: for not reading what they are sent, or for never
    /// being ready.
    pub(super) fn deadlines(&self) -> impl Iterator<Item = (ProcessId, Monotonic)> + '_ {
        let machine = self.core.platform();
        let starting = machine
            .births()
            .filter(|&(process, _)| self.core.is_starting(process))
            .map(|(process, born)| (process, born.after(self.config.start_patience)));
        let hung_up = self
            .hung_up
            .iter()
            .map(|(process, deadline)| (*process, *deadline));
        machine.slow_readers().chain(starting).chain(hung_up)
    }

    /// Ends trustlets that are given up, and a daemon that does not end by itself.
    pub(super) fn end_overdue(&mut self) {
        let now = clock::now();
        if let Some(daemon) = &mut self.daemon
            && daemon.exit_due.is_some_and(|due| due <= now)
        {
            daemon.process.kill();
            daemon.exit_due = Some(now.after(DAEMON_EXIT_PATIENCE));
        }
        let overdue: Vec<_> = self
            .deadlines()
            .filter(|&(_, deadline)| deadline <= now)
            .collect();
        for (process, _) in overdue {
            let has_hung_up = self.hung_up.remove(&process).is_some();
            if self.core.is_starting(process) && !has_hung_up {
                let patience_s = self.config.start_patience.as_secs();
                let name = self
                    .core
                    .name_of(process)
                    .unwrap_or_else(|| "a trustlet".to_owned());
                tell!(Warning: "{name} did not serve within {patience_s} s of its start; it is being ended");
            }
            self.core.end(process);
        }
    }

    /// Watches processes that calls have started. One that cannot be watched does not stay.
    pub(super) fn adopt_newborn(&mut self) {
        for process in self.core.platform_mut().take_newborn() {
            if let Some(whom) = self.core.whom(process) {
                self.untold.is_told(&whom);
            }
            let Some(found) = self.core.platform_mut().trustlet_mut(process) else {
                continue;
            };
            let watched = watch(&self.epoll, found.channel(), Token::Channel(process))
                .and_then(|()| watch(&self.epoll, found.ended(), Token::ProcessEnd(process)))
                .and_then(|()| match found.refusals() {
                    Some(refusals) => watch(&self.epoll, refusals, Token::Refusals(process)),
                    None => Ok(()),
                });
            if let Err(error) = watched {
                tell!(Warning: "{error}");
                if let Some(exit) = found.end() {
                    self.core.died(process, exit);
                    self.core.platform_mut().forget(process);
                }
            }
        }
    }

    /// Refuses a call that waits for it, unless so many were refused lately that it waits on.
    pub(super) fn refuse_call(&mut self, process: ProcessId) {
        let now = clock::now();
        let used_up = self.refusals_pace.used_up_until(now);
        let Some(found) = self.core.platform_mut().trustlet_mut(process) else {
            return;
        };
        let refused = match used_up {
            Some(resumes) => Some(Refused {
                number: None,
                resumes: Some(resumes),
            }),
            None => {
                self.refusals_pace.count(now);
                found.refuse_next()
            }
        };
        let Some(refusals) = found.refusals() else { return };
        // Neither fails for a descriptor that is watched.
        match refused {
            None => {
                let _ = epoll::delete(&self.epoll, refusals);
            }
            Some(Refused { number, resumes }) => {
                if let Some(resumes) = resumes {
                    let data = epoll::EventData::new_u64(Token::Refusals(process).pack());
                    let _ = epoll::modify(&self.epoll, refusals, data, epoll::EventFlags::empty());
                    self.refusals_due.insert(process, resumes);
                }
                if let Some(number) = number {
                    self.core.call_refused(process, number);
                }
            }
        }
    }

    /// Goes on with those that have made more such calls than are answered at a time.
    pub(super) fn resume_refusals(&mut self) {
        let now = clock::now();
        let due = self.refusals_due.extract_if(.., |_, due| *due <= now);
        for process in due.map(|(process, _)| process).collect::<Vec<_>>() {
            let found = self.core.platform_mut().trustlet_mut(process);
            if let Some(refusals) = found.as_ref().and_then(|found| found.refusals()) {
                let data = epoll::EventData::new_u64(Token::Refusals(process).pack());
                // As above.
                let _ = epoll::modify(&self.epoll, refusals, data, epoll::EventFlags::IN);
            }
        }
    }

    /// Has the kernel say when those can take more to whom not all could be sent at once, whatever it was.
    pub(super) fn watch_slow_readers(&mut self) {
        let slow: Vec<ProcessId> = self
            .core
            .platform()
            .slow_readers()
            .map(|(process, _)| process)
            .collect();
        for process in slow {
            let Some(found) = self.core.platform_mut().trustlet_mut(process) else {
                continue;
            };
            let data = epoll::EventData::new_u64(Token::Channel(process).pack());
            let flags = epoll::EventFlags::IN | epoll::EventFlags::OUT;
            // Fails for a channel that is gone, whose process is about to be reaped.
            let _ = epoll::modify(&self.epoll, found.channel(), data, flags);
        }
    }

    pub(super) fn read_channel(&mut self, process: ProcessId) {
        let Some(found) = self.core.platform_mut().trustlet_mut(process) else {
            return;
        };
        let flushed = found.flush();
        if !found.has_backlog() {
            let data = epoll::EventData::new_u64(Token::Channel(process).pack());
            // Fails for a channel that is gone, whose process is about to be reaped.
            let _ = epoll::modify(&self.epoll, found.channel(), data, epoll::EventFlags::IN);
        }
        // One byte more than may be shows a message that is too long.
        let mut buffer = [0; size_of::<MessageHeader>() + SAID_MAX_BYTES + 1];
        let message = seqpacket::receive(found.channel(), &mut buffer, RecvFlags::DONTWAIT);
        let good = match message {
            Err(Errno::AGAIN) => flushed.is_ok(),
            Ok(Some((len, descriptors))) => {
                let said = buffer
                    .get(..len)
                    .and_then(|bytes| MessageHeader::read_from_prefix(bytes).ok());
                descriptors.is_empty() && said.is_some_and(|(header, text)| self.hear(process, &header, text))
            }
            Ok(None) | Err(_) => {
                let deadline = clock::now().after(HANG_UP_PATIENCE);
                self.hung_up.entry(process).or_insert(deadline);
                let _ = epoll::delete(&self.epoll, found.channel());
                return;
            }
        };
        if !good {
            // It said something that a trustlet has no business to say.
            self.core.end(process);
            if let Some(found) = self.core.platform_mut().trustlet_mut(process) {
                let _ = epoll::delete(&self.epoll, found.channel());
            }
        }
    }

    /// Takes what a trustlet says; `false` if it has no business to say that.
    pub(super) fn hear(&mut self, process: ProcessId, header: &MessageHeader, text: &[u8]) -> bool {
        if usize::try_from(header.count) != Ok(text.len()) || text.len() > SAID_MAX_BYTES {
            return false;
        }
        match header.kind {
            kind::READY => text.is_empty() && self.core.ready(process),
            answer @ (kind::TLS_TAKEN | kind::TLS_REFUSED) => {
                let taken = answer == kind::TLS_TAKEN;
                let gateway = self.core.tls_answered(process, taken);
                gateway.is_some_and(|gateway| self.renewals.answered(&self.core, gateway, taken, text))
            }
            kind::TLS_KEY => match text.try_into() {
                Ok(hash) => self.core.tls_key_said(process, hash),
                Err(_) => false,
            },
            kind::ASK_EVIDENCE => match AskEvidence::read_from_bytes(text) {
                Ok(question) => self.core.asked_for_evidence(process, &question),
                Err(_) => false,
            },
            kind::DRAINED => match (&mut self.stage, Drained::read_from_bytes(text)) {
                (Stage::Draining(drain), Ok(drained)) => drain.drained(process, &drained),
                _ => false,
            },
            _ => false,
        }
    }

    pub(super) fn process_ended(&mut self, process: ProcessId) {
        let Some(found) = self.core.platform_mut().trustlet_mut(process) else {
            return;
        };
        let Some(exit) = found.reap() else { return };
        self.hung_up.remove(&process);
        self.refusals_due.remove(&process);
        let mut is_expected = false;
        if let Stage::Draining(drain) = &mut self.stage {
            drain.ended(process);
            is_expected = self.core.is_gateway(process);
        }
        if let Some(whom) = self.core.whom(process).filter(|_| !is_expected) {
            self.untold.note(whom, exit);
        }
        self.core.died(process, exit);
        self.core.platform_mut().forget(process);
    }

    /// Tells of deaths where there is no daemon to do so.
    pub(super) fn tell_deaths(&mut self) {
        if self
            .daemon
            .as_ref()
            .is_none_or(|daemon| daemon.exit_due.is_some())
        {
            self.untold.tell();
        }
    }
}
