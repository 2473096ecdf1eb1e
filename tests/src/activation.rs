//! A service manager as small as tests need one: it keeps listening sockets, starts one service after another
//! with them, and hears what they say of themselves (sd_listen_fds(3), sd_notify(3)).
#![allow(unsafe_code, reason = "descriptors are placed between fork and exec")]

use crate::service::executable;
use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::io::{self, Read};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The first descriptor that a service manager hands over.
const FIRST: i32 = 3;
/// Out of the way of those.
const ELSEWHERE: i32 = 64;

/// The service manager.
#[derive(Debug)]
pub struct Activation {
    folder: TempDir,
    sockets: Vec<(String, TcpListener)>,
    said: UnixDatagram,
}

/// A service that it has started; killed when dropped.
#[derive(Debug)]
pub struct Activated {
    child: Child,
    told: PathBuf,
}

impl Activation {
    /// One that will serve this chain file, with a socket for each name.
    ///
    /// # Errors
    /// When there are no sockets or files.
    pub fn new(chains: &[(&str, &str)], names: &[&str]) -> io::Result<Self> {
        let folder = TempDir::new()?;
        for (name, text) in chains {
            std::fs::write(folder.path().join(format!("{name}.toml")), text)?;
        }
        let open = |name: &&str| Ok(((*name).to_owned(), TcpListener::bind("127.0.0.1:0")?));
        let said = UnixDatagram::bind(folder.path().join("notify"))?;
        Ok(Self {
            sockets: names.iter().map(open).collect::<io::Result<_>>()?,
            said,
            folder,
        })
    }

    /// Where the socket of this name listens.
    ///
    /// # Panics
    /// Without such a socket.
    #[must_use]
    pub fn address(&self, name: &str) -> SocketAddr {
        let found = self.sockets.iter().find(|(found, _)| found == name);
        let address = found.and_then(|(_, socket)| socket.local_addr().ok());
        address.expect("the test has opened it")
    }

    /// Where its chain files lie.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts a service with the chain files of these names, further arguments and variables.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(
        &self,
        chains: &[&str],
        arguments: &[&str],
        variables: &[(&str, &str)],
    ) -> io::Result<Activated> {
        self.start_as("fabric-under-test", chains, arguments, variables)
    }

    /// As [`Self::start`], with another executable in the place of the command.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_as(
        &self,
        program: &str,
        chains: &[&str],
        arguments: &[&str],
        variables: &[(&str, &str)],
    ) -> io::Result<Activated> {
        let told = self.folder.path().join("told");
        let lifted = self.sockets.iter();
        let lifted = lifted.map(|(_, socket)| Ok(fcntl_dupfd_cloexec(socket.as_fd(), ELSEWHERE)?));
        let lifted: Vec<OwnedFd> = lifted.collect::<io::Result<_>>()?;
        let names: Vec<_> = self.sockets.iter().map(|(name, _)| name.as_str()).collect();
        // The shell knows the number of the process that it becomes.
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", "export LISTEN_PID=$$ WATCHDOG_PID=$$; exec \"$0\" \"$@\""])
            .arg(executable(program))
            .arg("serve")
            .args(
                chains
                    .iter()
                    .map(|name| self.folder.path().join(format!("{name}.toml"))),
            )
            .args(["--format", "json", "--tied"])
            .args(arguments)
            .env("LISTEN_FDS", self.sockets.len().to_string())
            .env("LISTEN_FDNAMES", names.join(":"))
            .env("NOTIFY_SOCKET", self.folder.path().join("notify"))
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&told)?);
        let numbers: Vec<i32> = lifted.iter().map(AsRawFd::as_raw_fd).collect();
        let place = move || {
            for (to, from) in (FIRST..).zip(&numbers) {
                // SAFETY: duplicates a number that this process has open; what was at the target is not
                // needed here.
                if unsafe { libc::dup2(*from, to) } < 0 {
                    return Err(io::Error::last_os_error());
                }
            }
            Ok(())
        };
        // SAFETY: between fork and exec only system calls are made, on values made before.
        unsafe { command.pre_exec(place) };
        Ok(Activated {
            child: command.spawn()?,
            told,
        })
    }

    /// Waits until a service says something with these words in it; `None` if it does not within `patience`.
    pub fn hear(&self, words: &str, patience: Duration) -> Option<String> {
        let end = Instant::now() + patience;
        let mut buffer = [0; 4096];
        loop {
            let left = end.checked_duration_since(Instant::now())?;
            self.said
                .set_read_timeout(Some(left.max(Duration::from_millis(1))))
                .ok()?;
            let len = self.said.recv(&mut buffer).ok()?;
            let said = String::from_utf8_lossy(buffer.get(..len)?).into_owned();
            if said.contains(words) {
                return Some(said);
            }
        }
    }

    /// Forgets what services have said so far.
    pub fn forget(&self) {
        while self.hear("", Duration::from_millis(1)).is_some() {}
    }
}

impl Activated {
    /// The monitor's process id.
    #[must_use]
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap_or(0)
    }

    /// Sends a signal to the monitor.
    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = Pid::from_raw(self.pid()) {
            // Fails for one that has ended, which its caller will see.
            let _ = kill_process(pid, signal);
        }
    }

    /// Waits for its end: its exit code, if it has one within `patience`.
    pub fn wait(&mut self, patience: Duration) -> Option<i32> {
        let end = Instant::now() + patience;
        while Instant::now() < end {
            match self.child.try_wait() {
                Ok(None) => std::thread::sleep(Duration::from_millis(5)),
                Ok(Some(status)) => return status.code(),
                Err(_) => return None,
            }
        }
        None
    }

    /// What it has written to standard error.
    #[must_use]
    pub fn told(&self) -> String {
        let mut text = String::new();
        let file = File::open(&self.told);
        // Nothing, if there is nothing to be read.
        let _ = file.and_then(|mut file| file.read_to_string(&mut text));
        text
    }
}

impl Drop for Activated {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
