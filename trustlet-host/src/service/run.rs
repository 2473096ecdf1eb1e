//! Becoming the monitor, and the loop that it goes round in.

use super::children::{self, Stop};
use super::config::MonitorConfig;
use super::drain::{Drain, DrainTimes};
use super::error::{ServiceError, os};
use super::manager;
use super::state::{Service, Stage};
use super::token::Token;
use crate::chosen::Chosen;
use crate::core::Core;
use crate::machine::{Machine, Shares};
use core::time::Duration;
use hacher_libos_net::clock;
use rustix::event::{Timespec, epoll};
use rustix::fs::fstat;
use rustix::io::Errno;
use std::fs;
use std::process::ExitCode;

/// Becomes the monitor. Returns when the service has stopped, with the exit code of the whole.
///
/// # Errors
/// [`ServiceError`] when the service cannot start.
pub fn run(config: MonitorConfig) -> Result<ExitCode, ServiceError> {
    let sockets = children::inherited_sockets(manager::socket_names());
    harden::<Chosen>()?;
    let fabric = fstat(&config.fabric.executable).ok();
    let fabric_bytes = fabric.and_then(|found| u64::try_from(found.st_size).ok());
    if let Some(short) = Chosen::shortfall(fabric_bytes.unwrap_or(0)) {
        return Err(ServiceError::Short(short));
    }
    Service::<Chosen>::start(config, sockets)?.run()
}

/// Keeps others out of this process, which holds every key.
fn harden<M: Machine>() -> Result<(), ServiceError> {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};
    // What a dump would hold: nothing. All children inherit it. Before the process is not dumpable, as that
    // makes the file root's; where there is no such file, the limit below has to do.
    let _ = fs::write("/proc/self/coredump_filter", "0");
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(os("making the monitor not dumpable"))?;
    M::set_own_limits()?;
    children::outlive_file_limits();
    Ok(())
}

impl<M: Machine> Service<M> {
    pub(super) fn run(mut self) -> Result<ExitCode, ServiceError> {
        let mut events = [epoll::Event {
            flags: epoll::EventFlags::empty(),
            data: epoll::EventData::new_u64(0),
        }; 64];
        loop {
            let timeout = self.timeout();
            let ready = match epoll::wait(&self.epoll, &mut events[..], timeout.as_ref()) {
                Err(Errno::INTR) => 0,
                other => other.map_err(os("waiting for events"))?,
            };
            self.core.set_time(clock::now());
            for event in events.iter().take(ready) {
                self.handle(Token::unpack(event.data.u64()))?;
            }
            self.adopt_newborn();
            self.watch_slow_readers();
            self.resume_refusals();
            self.end_overdue();
            self.give_up_loader_if_due();
            self.renewals.look_if_due(&mut self.core);
            if let Some(shares) = &mut self.shares {
                shares.look_if_due(&self.core);
            }
            self.tell_daemon();
            self.tell_manager();
            self.tell_deaths();
            if self.has_ended()? {
                return Ok(ExitCode::from(self.exit_code));
            }
        }
    }

    /// Tells the service manager what has changed.
    pub(super) fn tell_manager(&mut self) {
        if matches!(self.stage, Stage::Running)
            && let Some((serving, all)) = self.core.serving_chains()
        {
            self.manager.status(&match all {
                1 if serving == all => "serving 1 chain".to_owned(),
                all if serving == all => format!("serving {all} chains"),
                all => format!("serving {serving} of {all} chains"),
            });
            if !self.notified {
                self.notified = true;
                self.manager.ready();
            }
        }
        let is_offered = |core: &Core<M>| {
            let mut gateways = core.gateways_with_tls().into_iter();
            gateways.any(|gateway| core.tls_is_offered(gateway))
        };
        if self.manager.is_reloading() && !is_offered(&self.core) && !self.renewals.is_asked() {
            self.manager.reloaded();
        }
        self.manager.ping_if_due(self.daemon.is_some());
    }

    pub(super) fn timeout(&self) -> Option<Timespec> {
        let scribe = self.console.due();
        let stage = match &self.stage {
            Stage::Draining(drain) => Some(drain.until),
            Stage::Running => None,
        };
        let given_up = self.deadlines().map(|(_, deadline)| deadline);
        let daemon = self.daemon.as_ref().and_then(|daemon| daemon.exit_due);
        let loader = self.loader.as_ref().and_then(|loader| loader.exit_due);
        let refusals = self.refusals_due.values().copied().min();
        let due = stage
            .into_iter()
            .chain(refusals)
            .chain(loader)
            .chain(self.renewals.due())
            .chain(self.daemon_due)
            .chain(self.manager.due())
            .chain(self.shares.as_ref().and_then(M::Shares::due))
            .chain(daemon)
            .chain(scribe)
            .chain(given_up)
            .min()?;
        let left = due.saturating_duration_since(clock::now());
        Some(Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            // Rounded up by epoll to whole milliseconds elsewhere; here nanoseconds are kept.
            tv_nsec: i64::from(left.subsec_nanos()),
        })
    }

    pub(super) fn handle(&mut self, token: Token) -> Result<(), ServiceError> {
        match token {
            Token::Signals => self.take_signals(),
            Token::LoaderSocket => self.answer_loader(),
            Token::LoaderEnd => self.loader_ended()?,
            Token::DaemonSocket => self.answer_daemon(),
            Token::DaemonEnd => self.daemon_ended(),
            Token::ScribeEnd => self.console.scribe_ended(),
            Token::Channel(process) => self.read_channel(process),
            Token::ProcessEnd(process) => self.process_ended(process),
            Token::Refusals(process) => self.refuse_call(process),
        }
        Ok(())
    }

    pub(super) fn take_signals(&mut self) {
        let asked = children::take_signals(&self.signals);
        if asked.look {
            // Who is stopping never is ready again, not even after a reload.
            if matches!(self.stage, Stage::Running) {
                self.manager.reloading();
            }
            self.renewals.look(&mut self.core);
        }
        if let Some(stop) = asked.stop {
            let delay = match stop {
                Stop::Ordered => self.config.drain.delay,
                // Somebody sits there and waits.
                Stop::Interrupted => Duration::ZERO,
            };
            self.begin_stop(0, delay);
        }
    }

    /// Stops: at once if nothing serves yet, else after what is in flight. Asked again, it cuts what is in
    /// flight; asked a third time, it waits for nobody.
    pub(super) fn begin_stop(&mut self, exit_code: u8, delay: Duration) {
        if let Stage::Draining(drain) = &mut self.stage {
            if drain.hurry() {
                self.core.drain_gateways(Duration::ZERO, Duration::ZERO);
            }
            return;
        }
        let times = DrainTimes {
            // Who has never been ready has no clients that have to find another.
            delay: if self.notified { delay } else { Duration::ZERO },
            ..self.config.drain
        };
        self.exit_code = exit_code;
        let asked = match times.is_nothing() {
            true => Vec::new(),
            false => self.core.drain_gateways(times.delay, times.timeout),
        };
        let longest = match asked.is_empty() {
            true => Duration::ZERO,
            false => times.longest(),
        };
        self.manager.stopping(longest);
        self.manager
            .status(&format!("draining, for {} s at most", longest.as_secs()));
        self.core
            .shutting_down(u64::try_from(longest.as_nanos()).unwrap_or(u64::MAX));
        self.stage = Stage::Draining(Drain::new(asked, longest));
    }
}
