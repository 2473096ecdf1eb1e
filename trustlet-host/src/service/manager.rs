//! The service manager, systemd or another that speaks its protocols: it is told how the service fares
//! (sd_notify(3)), and is kept from restarting it while both event loops, the monitor's and the daemon's, go
//! round (sd_watchdog_enabled(3)).

use core::time::Duration;
use hacher_libos_net::clock::{self, Monotonic};
use std::ffi::OsStr;
use std::io;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Parts of the watchdog's time in which it is told once that the service lives; a daemon makes a call as
/// often.
const PINGS: u32 = 4;
/// Most sockets that are taken over: those of all gateways, and of operators.
const SOCKETS_MAX: u32 = 66;
/// Parts of the watchdog's time without a call of the daemon, after which nobody is told any more.
const SILENCES: u32 = 2;

/// The service manager, if there is one.
#[derive(Debug, Default)]
pub(super) struct Manager {
    socket: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Watchdog>,
    /// Files are being looked at because it asked for that.
    reloads: bool,
    status: String,
}

#[derive(Debug)]
struct Watchdog {
    time: Duration,
    due: Monotonic,
    /// When the daemon was last heard of.
    heard: Monotonic,
}

impl Manager {
    /// The one that this process's environment names.
    pub(super) fn of_environment() -> Self {
        let variable = |name: &str| std::env::var_os(name);
        let socket = variable("NOTIFY_SOCKET").and_then(|path| match connect(&path) {
            Ok(socket) => Some(socket),
            Err(error) => {
                tell!(Warning: "the service manager cannot be told anything: {error}");
                None
            }
        });
        let now = clock::now();
        let watchdog = watchdog_time().filter(|_| socket.is_some());
        Self {
            socket,
            watchdog: watchdog.map(|time| Watchdog {
                time,
                due: now,
                heard: now,
            }),
            reloads: false,
            status: String::new(),
        }
    }

    /// When [`Manager::ping_if_due`] has something to do.
    pub(super) fn due(&self) -> Option<Monotonic> {
        self.watchdog.as_ref().map(|watchdog| watchdog.due)
    }

    /// The daemon has made a call.
    pub(super) fn daemon_lives(&mut self) {
        if let Some(watchdog) = &mut self.watchdog {
            watchdog.heard = clock::now();
        }
    }

    /// Says that the service lives, if it is time, and if the daemon has been heard of. Before it starts
    /// there is none to wait for.
    pub(super) fn ping_if_due(&mut self, has_daemon: bool) {
        let now = clock::now();
        let Some(watchdog) = &mut self.watchdog else {
            return;
        };
        if watchdog.due > now {
            return;
        }
        watchdog.due = now.after(watchdog.time / PINGS);
        if !has_daemon {
            watchdog.heard = now;
        }
        if now.saturating_duration_since(watchdog.heard) <= watchdog.time / SILENCES {
            self.say("WATCHDOG=1");
        }
    }

    /// The service is ready.
    pub(super) fn ready(&mut self) {
        self.say("READY=1");
    }

    /// In a few words how it fares.
    pub(super) fn status(&mut self, status: &str) {
        if self.status != status {
            status.clone_into(&mut self.status);
            self.say(&format!("STATUS={status}"));
        }
    }

    /// It was asked to look at files again (`Type=notify-reload`), and says when it has.
    pub(super) fn reloading(&mut self) {
        self.reloads = true;
        let micros = clock::now().as_ns() / 1000;
        self.say(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
    }

    /// Whether it waits to hear that files have been looked at.
    pub(super) const fn is_reloading(&self) -> bool {
        self.reloads
    }

    /// Files have been looked at.
    pub(super) fn reloaded(&mut self) {
        self.reloads = false;
        self.ready();
    }

    /// The service stops, within this time.
    pub(super) fn stopping(&mut self, within: Duration) {
        self.reloads = false;
        self.say(&format!("STOPPING=1\nEXTEND_TIMEOUT_USEC={}", within.as_micros()));
    }

    fn say(&self, state: &str) {
        let Some((socket, address)) = &self.socket else {
            return;
        };
        // One that does not read is not waited for.
        if let Err(error) = socket.send_to_addr(state.as_bytes(), address) {
            tell!(
                Warning: "the service manager could not be told `{}`: {error}",
                state.replace('\n', " ")
            );
        }
    }
}

/// How often the daemon has to make a call, so that it is known to live; `None` if nobody watches this
/// process.
#[must_use]
pub fn daemon_beat() -> Option<Duration> {
    Some(watchdog_time()? / PINGS)
}

/// After this long without a word the service manager takes the service for hung.
fn watchdog_time() -> Option<Duration> {
    let number = |name: &str| std::env::var_os(name)?.to_str()?.parse::<u64>().ok();
    // Meant for another process, if it names one.
    let is_ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
    let time = number("WATCHDOG_USEC").filter(|&time| time > 0 && is_ours);
    time.map(Duration::from_micros)
}

/// Names of the sockets that this process was started with, in their order (sd_listen_fds(3)); none if they
/// are meant for another.
pub(super) fn socket_names() -> Vec<String> {
    let text = |name: &str| std::env::var_os(name)?.into_string().ok();
    let number = |name: &str| text(name)?.parse::<u32>().ok();
    if number("LISTEN_PID") != Some(std::process::id()) {
        return Vec::new();
    }
    let count = number("LISTEN_FDS").unwrap_or(0).min(SOCKETS_MAX);
    let names = text("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    (0..count)
        .map(|_| {
            names
                .next()
                .filter(|name| !name.is_empty())
                .unwrap_or("unknown")
                .to_owned()
        })
        .collect()
}

fn connect(path: &OsStr) -> io::Result<(UnixDatagram, SocketAddr)> {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::ffi::OsStrExt;
    let address = match path.as_bytes().split_first() {
        Some((b'@', name)) => SocketAddr::from_abstract_name(name),
        _ => SocketAddr::from_pathname(path),
    }?;
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    Ok((socket, address))
}
