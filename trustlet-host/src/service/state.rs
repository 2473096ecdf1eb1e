//! What the event loop knows: the core, and whatever it waits for.

use super::children::Loader;
use super::config::MonitorConfig;
use super::console::Console;
use super::daemon::Daemon;
use super::deaths::Untold;
use super::drain::Drain;
use super::manager::Manager;
use super::renewal::Renewals;
use crate::core::Core;
use crate::ids::ProcessId;
use crate::machine::{Machine, OwnProgram};
use crate::pace::Pace;
use crate::socket_file::SocketFile;
use core::time::Duration;
use hacher_libos_net::clock::Monotonic;
use rustix::fd::OwnedFd;
use std::collections::BTreeMap;

/// A daemon that dies is replaced after this long, doubling while it keeps dying.
pub(super) const DAEMON_BACKOFF_FIRST: Duration = Duration::from_millis(50);

/// How far the service is.
pub(super) enum Stage {
    Running,
    /// Gateways finish what is in flight; everything else goes when all have, or when their time is up.
    Draining(Drain),
}

/// The service.
pub(super) struct Service<M: Machine> {
    pub(super) config: MonitorConfig,
    pub(super) core: Core<M>,
    pub(super) epoll: OwnedFd,
    pub(super) signals: OwnedFd,
    /// This executable, which the scribe runs.
    pub(super) monitor: OwnProgram<M>,
    /// What the daemon runs.
    pub(super) fabric: OwnProgram<M>,
    pub(super) console: Console<M>,
    pub(super) loader: Option<Loader>,
    pub(super) daemon: Option<Daemon<M>>,
    pub(super) daemon_backoff: Duration,
    /// When the next daemon is to be started.
    pub(super) daemon_due: Option<Monotonic>,
    pub(super) renewals: Renewals,
    /// From before anybody is started.
    pub(super) shares: Option<M::Shares>,
    /// Deaths that the daemon may not have told of.
    pub(super) untold: Untold,
    /// Processes that have closed their channel, and when they are ended.
    pub(super) hung_up: BTreeMap<ProcessId, Monotonic>,
    /// Trustlets whose refused calls wait for their turn, and when that is.
    pub(super) refusals_due: BTreeMap<ProcessId, Monotonic>,
    /// Of answers to all of them together.
    pub(super) refusals_pace: Pace,
    pub(super) stage: Stage,
    pub(super) exit_code: u8,
    pub(super) manager: Manager,
    pub(super) notified: bool,
    /// The sockets at paths, once the loader has made them.
    pub(super) sockets: Vec<SocketFile>,
}
