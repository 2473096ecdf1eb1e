//! How a service ends: when all has been said, and everything it started is gone.

use super::error::ServiceError;
use super::exit_code::EXIT_CUT;
use super::state::{Service, Stage};
use super::token::Token;
use crate::machine::{Machine, Trustlet};
use crate::socket_file::SocketFile;
use core::time::Duration;
use hacher_libos_net::clock;
use rustix::event::{Timespec, epoll};

/// How long killed processes may take to be gone.
const REAP_PATIENCE: Duration = Duration::from_secs(5);

impl<M: Machine> Service<M> {
    /// Whether it is over; starts a daemon and a scribe that are due.
    pub(super) fn has_ended(&mut self) -> Result<bool, ServiceError> {
        let now = clock::now();
        if self.console.due().is_some_and(|due| due <= now) && self.start_scribe().is_err() {
            // Whoever would say so is what is missing.
            self.console.put_off_scribe();
        }
        match self.stage {
            Stage::Running => {
                self.replace_daemon_if_due(now);
                Ok(false)
            }
            Stage::Draining(ref drain) if drain.until > now && self.core.has_live_gateway() => {
                self.replace_daemon_if_due(now);
                Ok(false)
            }
            Stage::Draining(_) => {
                // Nothing is replaced from here on.
                self.core.shutting_down(0);
                self.tell_daemon();
                self.stop_everything();
                self.say_drained();
                Ok(true)
            }
        }
    }

    /// Says what became of requests, and lets the exit code tell whether all were answered.
    pub(super) fn say_drained(&mut self) {
        let Stage::Draining(drain) = &mut self.stage else {
            return;
        };
        let (line, whole) = drain.finish();
        if let Some(line) = line.filter(|_| !(whole && self.config.quiet_drain)) {
            self.manager.status(&line);
            tell!(Info: "{line}");
        }
        if !whole && self.exit_code == 0 {
            self.exit_code = EXIT_CUT;
        }
    }

    pub(super) fn stop_everything(&mut self) {
        self.core.platform_mut().kill_all();
        if let Some(mut loader) = self.loader.take() {
            loader.kill();
        }
        // A child kills and reaps when dropped; waiting here keeps the time bounded and the processes
        // parallel.
        let until = clock::now().after(REAP_PATIENCE);
        while self.core.platform().live_count() > 0 && clock::now() < until {
            let mut events = [epoll::Event {
                flags: epoll::EventFlags::empty(),
                data: epoll::EventData::new_u64(0),
            }; 64];
            let patience = Timespec {
                tv_sec: 1,
                tv_nsec: 0,
            };
            let ready = epoll::wait(&self.epoll, &mut events[..], Some(&patience)).unwrap_or(0);
            for event in events.iter().take(ready) {
                if let Token::ProcessEnd(process) = Token::unpack(event.data.u64()) {
                    self.process_ended(process);
                } else if let Token::Channel(process) = Token::unpack(event.data.u64())
                    && let Some(found) = self.core.platform_mut().trustlet_mut(process)
                {
                    let _ = epoll::delete(&self.epoll, found.channel());
                }
            }
        }
        if let Some(daemon) = self.daemon.take() {
            daemon.finish();
        }
        self.sockets.iter().for_each(SocketFile::remove);
    }
}
