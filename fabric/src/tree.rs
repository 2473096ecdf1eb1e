//! A service in a child process: the whole tree, for as long as a command needs it.

use crate::command::print;
use crate::failed::Failed;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A tree of processes that serves chains on a loopback port of its own, wherever they would listen else.
/// Stopped when dropped.
#[derive(Debug)]
pub struct Tree {
    monitor: Child,
    /// Where its gateway listens.
    pub gateway: SocketAddr,
    /// Where its daemon answers operators.
    pub admin: SocketAddr,
}

impl Tree {
    /// Has `program`, the command `hacher-fabric`, `serve` with these arguments, chain files among them, and
    /// waits until it is ready. What it says on standard error goes to `messages`, and what it prints before
    /// it is ready, such as the problems of a chain file as data, is printed.
    ///
    /// # Errors
    /// When it does not start; it has then said why.
    pub fn start(
        program: &Path,
        arguments: impl IntoIterator<Item = OsString>,
        messages: Stdio,
    ) -> Result<Self, Failed> {
        let mut command = Command::new(program);
        command.arg("serve").args(arguments).args([
            "--listen",
            "127.0.0.1:0",
            "--admin",
            "127.0.0.1:0",
            "--ready-json",
            "--tied",
            "--ignore-listen",
            "--log-format",
            "bare",
            // Its only client is this process.
            "--drain-delay",
            "0",
            "--quiet-drain",
        ]);
        let mut monitor = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(messages)
            .spawn()?;
        let ready = monitor.stdout.take().and_then(|out| {
            let mut lines = BufReader::new(out).lines().map_while(Result::ok);
            lines.find_map(|line| {
                let ready = serde_json::from_str(&line).ok().filter(is_ready);
                if ready.is_none() {
                    // Whether anybody reads it or not, the service is waited for.
                    let _ = print(&format!("{line}\n"));
                }
                ready
            })
        });
        let address = |key: &str| ready.as_ref()?.get(key)?.as_str()?.parse().ok();
        if let (Some(gateway), Some(admin)) = (address("listen"), address("admin")) {
            return Ok(Self {
                monitor,
                gateway,
                admin,
            });
        }
        let status = monitor.wait()?;
        Err(if status.success() {
            Failed::new("the chain stopped before it served")
        } else {
            Failed::reported()
        })
    }

    /// The process that became the monitor.
    #[must_use]
    pub fn monitor_pid(&self) -> u32 {
        self.monitor.id()
    }

    /// Stops it, and waits until it has.
    ///
    /// # Errors
    /// When it cannot be told.
    pub fn stop(mut self) -> Result<(), Failed> {
        self.end()
    }

    fn end(&mut self) -> Result<(), Failed> {
        if self.monitor.try_wait()?.is_some() {
            return Ok(());
        }
        if let Some(pid) = i32::try_from(self.monitor.id()).ok().and_then(Pid::from_raw) {
            kill_process(pid, Signal::TERM)?;
        }
        self.monitor.wait()?;
        Ok(())
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        // Has been stopped already, or nobody is left to be told of a failure.
        let _ = self.end();
    }
}

fn is_ready(line: &Value) -> bool {
    line.get("event").and_then(Value::as_str) == Some("ready")
}
