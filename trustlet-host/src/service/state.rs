//! What the event loop knows: the core, and whatever it waits for.

use super::children::Loader;
use super::config::MonitorConfig;
use super::console::Console;
use super::daemon::Daemon;
use super::deaths::Untold;
use super::drain::Drain;
use super::manager::Manager;
use super::renewal::Renewals;
use super::shares::Shares;
use crate::core::Core;
use crate::ids::ProcessId;
use crate::machine::Machine;
use crate::process::control_group::Divided;
use crate::process::image::Image;
use crate::process::library::Library;
use crate::socket_file::SocketFile;
use core::time::Duration;
use hacher_libos_net::clock::Monotonic;
use rustix::fd::OwnedFd;
use std::collections::BTreeMap;
use std::rc::Rc;

/// A daemon that dies is replaced after this long, doubling while it keeps dying.
pub(super) const DAEMON_BACKOFF_FIRST: Duration = Duration::from_millis(50);

/// How far the service is.
pub(super) enum Stage {
    Running,
    /// Gateways finish what is in flight; everything else goes when all have, or when their time is up.
    Draining(Drain),
}

/// An executable in sealed memory, with what it needs to start.
pub(super) struct Program {
    pub(super) image: Rc<Image>,
    pub(super) libraries: Vec<Library>,
}

/// The service.
pub(super) struct Service {
    pub(super) config: MonitorConfig,
    pub(super) core: Core<Machine>,
    pub(super) epoll: OwnedFd,
    pub(super) signals: OwnedFd,
    /// This executable, which the scribe runs.
    pub(super) monitor: Program,
    /// What the daemon runs.
    pub(super) fabric: Program,
    pub(super) console: Console,
    pub(super) loader: Option<Loader>,
    pub(super) daemon: Option<Daemon>,
    pub(super) daemon_backoff: Duration,
    /// When the next daemon is to be started.
    pub(super) daemon_due: Option<Monotonic>,
    pub(super) renewals: Renewals,
    /// Until all chains are loaded.
    pub(super) divided: Option<Divided>,
    /// Once all chains are loaded.
    pub(super) shares: Option<Shares>,
    /// Deaths that the daemon may not have told of.
    pub(super) untold: Untold,
    /// Processes that have closed their channel, and when they are ended.
    pub(super) hung_up: BTreeMap<ProcessId, Monotonic>,
    pub(super) stage: Stage,
    pub(super) exit_code: u8,
    pub(super) manager: Manager,
    pub(super) notified: bool,
    /// The sockets at paths, once the loader has made them.
    pub(super) sockets: Vec<SocketFile>,
}
