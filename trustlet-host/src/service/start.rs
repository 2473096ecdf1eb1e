//! What a service begins with: the scribe, and the loader; and how the loader's work ends.

use super::children::{self, start_loader};
use super::config::{FabricProgram, MonitorConfig};
use super::console::Console;
use super::conversation::answer;
use super::deaths::Untold;
use super::error::{ServiceError, os};
use super::manager::Manager;
use super::renewal::Renewals;
use super::state::{DAEMON_BACKOFF_FIRST, Service, Stage};
use super::token::{Token, watch};
use crate::core::{Caller, Core, NamedSocket};
use crate::linux::loaded::loaded_libraries;
use crate::linux::patience::is_asked_to_stop;
use crate::machine::{Machine, Shares};
use crate::pace::Pace;
use crate::socket_file::SocketFile;
use core::time::Duration;
use hacher_libos_net::clock;
use rustix::event::epoll;
use rustix::fd::{AsFd, OwnedFd};
use std::collections::BTreeMap;
use std::fs::File;

/// How long a loader that has closed its socket may take to end.
const LOADER_EXIT_MAX: Duration = Duration::from_secs(2);

impl<M: Machine> Service<M> {
    pub(super) fn start(
        config: MonitorConfig,
        sockets: Vec<(String, OwnedFd)>,
    ) -> Result<Self, ServiceError> {
        let signals = children::signals().map_err(os("watching signals"))?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(os("making an epoll"))?;
        let executable = File::open("/proc/self/exe").map_err(os(
            "opening the own executable, /proc/self/exe (is /proc mounted?)",
        ))?;
        let mut machine = M::find()?;
        let untried = machine.untried();
        let monitor = machine.own_program("hacher-monitor", executable.as_fd(), &loaded_libraries())?;
        // The same copy, where one executable is both; and the gateway's, if the loader names that file too.
        let FabricProgram {
            executable,
            libraries,
        } = &config.fabric;
        let fabric = machine.own_program("hacher-fabric", executable.as_fd(), libraries)?;
        if let Some(reason) = machine.unshared_because() {
            tell!(
                Info: "each trustlet has copies of its libraries and files of its own, as they cannot be shared: {reason}"
            );
        }
        let mut core = Core::new(machine)?;
        core.name_programs(&monitor.image, &fabric.image);
        if config.access_log {
            core.keep_access_log();
        }
        if let Some(collector) = &config.collector {
            core.trace(collector.tracing);
        }
        let named = |(name, socket)| NamedSocket { name, socket };
        core.offer_sockets(sockets.into_iter().map(named).collect());
        let mut service = Self {
            config,
            console: Console::open()?,
            core,
            epoll,
            signals,
            monitor,
            fabric,
            loader: None,
            daemon: None,
            daemon_backoff: DAEMON_BACKOFF_FIRST,
            daemon_due: None,
            renewals: Renewals::default(),
            shares: None,
            untold: Untold::default(),
            hung_up: BTreeMap::new(),
            refusals_due: BTreeMap::new(),
            refusals_pace: Pace::of_all(),
            stage: Stage::Running,
            exit_code: 0,
            manager: Manager::of_environment(),
            notified: false,
            sockets: Vec::new(),
        };
        watch(&service.epoll, service.signals.as_fd(), Token::Signals)?;
        if is_asked_to_stop() {
            // Before anything was started: the loop reads the signal first, and ends.
            return Ok(service);
        }
        if let Some(untried) = untried {
            return Err(ServiceError::Untried(untried));
        }
        // Before anybody is started, who would be left without a part.
        service.shares = Some(M::Shares::divide(service.core.platform_mut()));
        // Before the loader, which sees what is left of the machine's limits, and would only add that its
        // monitor is gone.
        service.start_scribe()?;
        let Some((outputs, to_terminal)) = service.console.of_loader() else {
            return Ok(service);
        };
        let loader = start_loader(
            service.config.fabric.executable.as_fd(),
            &service.config.loader,
            outputs,
            to_terminal,
        )
        .map_err(os("starting the loader"))?;
        watch(&service.epoll, loader.socket.as_fd(), Token::LoaderSocket)?;
        watch(&service.epoll, loader.pidfd.as_fd(), Token::LoaderEnd)?;
        service.loader = Some(loader);
        Ok(service)
    }

    pub(super) fn answer_loader(&mut self) {
        let Some(loader) = &mut self.loader else { return };
        if answer(&mut self.core, Caller::Loader, loader.socket.as_fd(), None).is_none() {
            // It has nothing more to say. A closed socket would be reported over and over until it ends.
            let _ = epoll::delete(&self.epoll, loader.socket.as_fd());
            loader.exit_due = Some(clock::now().after(LOADER_EXIT_MAX));
        }
    }

    /// Gives up a loader that has said all and does not end: a file system that does not answer keeps it in
    /// the kernel.
    pub(super) fn give_up_loader_if_due(&mut self) {
        let Some(loader) = &mut self.loader else { return };
        if loader.exit_due.is_some_and(|due| due <= clock::now()) {
            loader.exit_due = None;
            tell!(Error: "the loader has said all and does not end; a file system may keep it");
            self.begin_stop(1, Duration::ZERO);
        }
    }

    pub(super) fn loader_ended(&mut self) -> Result<(), ServiceError> {
        // What it said last is answered before its end is judged.
        while let Some(loader) = &self.loader {
            if answer(&mut self.core, Caller::Loader, loader.socket.as_fd(), None) != Some(true) {
                break;
            }
        }
        let Some(mut loader) = self.loader.take() else {
            return Ok(());
        };
        let code = loader.exit_code();
        if code != 0 {
            // It has said on standard error why.
            self.begin_stop(code, Duration::ZERO);
            return Ok(());
        }
        if let Err(error) = self.core.finish_loading() {
            tell!(Error: "the loader ended without finishing: {error}");
            self.begin_stop(1, Duration::ZERO);
            return Ok(());
        }
        self.renewals = Renewals::of(&self.core);
        let paths = self.config.sockets.iter();
        self.sockets = paths.filter_map(|path| SocketFile::at(path)).collect();
        if let Some(shares) = &mut self.shares {
            shares.begin(&self.core);
        }
        self.start_daemon()
    }

    pub(super) fn start_scribe(&mut self) -> Result<(), ServiceError> {
        self.console.start_scribe(self.core.platform(), &self.monitor)?;
        if let Some(end) = self.console.scribe_end() {
            watch(&self.epoll, end, Token::ScribeEnd)?;
        }
        Ok(())
    }
}
