//! A whole tree of processes, started for one test.

use bytes::Bytes;
use hacher_fabric::http::{Connection, HttpError, Reply};
use hyper::Method;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long a tree may take to stop.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is known of the words of a service that writes them somewhere else.
const ELSEWHERE: &str = "its own lines, above this, say why";

/// A service could not be started or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// A system call failed.
    #[error(transparent)]
    Os(#[from] io::Error),
    /// It did not say that it is ready, or not where.
    #[error("the service did not start: {ended}; {told}")]
    NotReady {
        /// How it ended.
        ended: ExitStatus,
        /// What it said, as far as it was kept.
        told: String,
    },
    /// It did not answer.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// Something was not to be seen in its status.
    #[error("not within {PATIENCE:?}: {what}\n{status}")]
    NotSeen {
        /// What was waited for.
        what: &'static str,
        /// The status at last.
        status: String,
    },
    /// It did not stop.
    #[error("the service did not stop within {PATIENCE:?}")]
    NotStopped,
}

/// A running service.
#[derive(Debug)]
pub struct Service {
    monitor: Child,
    /// What it said when it was ready.
    pub ready: Value,
    /// Where the gateway listens.
    pub gateway: SocketAddr,
    /// Where the daemon answers operators.
    pub admin: SocketAddr,
    folder: TempDir,
    runtime: tokio::runtime::Runtime,
}

/// The table of a function named `name` that is test function `what`, with further lines.
#[must_use]
pub fn function(name: &str, what: &str, more: &str) -> String {
    let exec = executable("test-function");
    let exec = exec.display();
    format!("[function.{name}]\nexec = \"{exec}\"\nenv = {{ FUNCTION = \"{what}\" }}\n{more}\n")
}

/// The tables of several functions of one kind.
pub fn functions<'a>(names: impl IntoIterator<Item = &'a str>, what: &str, more: &str) -> String {
    names.into_iter().fold(String::new(), |mut text, name| {
        let _ = write!(text, "{}", function(name, what, more));
        text
    })
}

/// An executable of this package; it stands beside another of them, and beside the folder of the test that
/// runs.
#[must_use]
pub fn executable(name: &str) -> PathBuf {
    let runs = std::env::current_exe().unwrap_or_default();
    let mut folders = runs.ancestors().skip(1).take(2).map(|folder| folder.join(name));
    folders.find(|path| path.exists()).unwrap_or_default()
}

impl Service {
    /// Serves a chain; returns when it is ready.
    ///
    /// # Errors
    /// [`ServiceError`]; what the service prints goes where the test prints.
    pub fn start(chain: &str) -> Result<Self, ServiceError> {
        Self::start_with(chain, &[])
    }

    /// Serves a chain with further arguments.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub fn start_with(chain: &str, arguments: &[&str]) -> Result<Self, ServiceError> {
        Self::start_telling(chain, arguments, Stdio::inherit())
    }

    /// Serves a chain, with `told` in place of this process's standard error.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub fn start_telling(chain: &str, arguments: &[&str], told: Stdio) -> Result<Self, ServiceError> {
        Self::start_by(
            Command::new(executable("fabric-under-test")),
            chain,
            arguments,
            told,
        )
    }

    /// Serves a chain in the control group at `group`, from its first instruction on.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub fn start_within(group: &Path, chain: &str) -> Result<Self, ServiceError> {
        let mut command = Command::new("sh");
        command
            .args(["-c", "echo $$ > \"$0/cgroup.procs\" && exec \"$@\""])
            .arg(group)
            .arg(executable("fabric-under-test"));
        Self::start_by(command, chain, &[], Stdio::inherit())
    }

    /// `command` becomes the service, given the arguments of that.
    fn start_by(
        mut command: Command,
        chain: &str,
        arguments: &[&str],
        told: Stdio,
    ) -> Result<Self, ServiceError> {
        let folder = TempDir::new()?;
        let path = folder.path().join("chain.toml");
        std::fs::write(&path, chain)?;
        let mut monitor = command
            .arg("serve")
            .arg(&path)
            .args([
                "--listen",
                "127.0.0.1:0",
                "--admin",
                "127.0.0.1:0",
                "--format",
                "json",
                "--tied",
                "--drain-delay",
                "0",
            ])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(told)
            .spawn()?;
        let ready = monitor.stdout.take().and_then(until_ready);
        let Some(ready) = ready else {
            let (ended, told) = (monitor.wait()?, ELSEWHERE.to_owned());
            return Err(ServiceError::NotReady { ended, told });
        };
        let address = |key: &str| ready.get(key)?.as_str()?.parse().ok();
        let (Some(gateway), Some(admin)) = (address("listen"), address("admin")) else {
            monitor.kill()?;
            let (ended, told) = (monitor.wait()?, ELSEWHERE.to_owned());
            return Err(ServiceError::NotReady { ended, told });
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        Ok(Self {
            monitor,
            ready,
            gateway,
            admin,
            folder,
            runtime,
        })
    }

    /// The monitor's process id.
    #[must_use]
    pub fn monitor_pid(&self) -> i32 {
        i32::try_from(self.monitor.id()).unwrap_or(0)
    }

    /// The chain file.
    #[must_use]
    pub fn chain_file(&self) -> PathBuf {
        self.folder.path().join("chain.toml")
    }

    /// Sends one request on a connection of its own.
    ///
    /// # Errors
    /// [`ServiceError::Http`].
    pub fn post(&self, chain: &str, body: impl Into<Bytes>) -> Result<Reply, ServiceError> {
        let path = format!("/chains/{chain}");
        let body = body.into();
        let reply = self.runtime.block_on(async {
            let mut connection = Connection::open(self.gateway).await?;
            connection
                .send(Method::POST, &path, Some("application/octet-stream"), body)
                .await
        });
        Ok(reply?)
    }

    /// What the daemon answers at `path`.
    ///
    /// # Errors
    /// [`ServiceError::Http`].
    pub fn operator(&self, path: &str) -> Result<Reply, ServiceError> {
        let reply = self
            .runtime
            .block_on(async { Connection::open(self.admin).await?.get(path).await });
        Ok(reply?)
    }

    /// The daemon's status.
    ///
    /// # Errors
    /// [`ServiceError::Http`].
    pub fn status(&self) -> Result<Value, ServiceError> {
        Ok(self.operator("/status")?.json())
    }

    /// What `/status` says as soon as `condition` holds of it. What a function, the gateway or the daemon
    /// counts may be there after the reply that it counts, and on a loaded machine much later: no test
    /// looks at such a figure but in this way.
    ///
    /// # Errors
    /// [`ServiceError::NotSeen`] with what it said last; [`ServiceError::Http`] only if it never answered.
    pub fn status_when(
        &self,
        what: &'static str,
        condition: impl Fn(&Value) -> bool,
    ) -> Result<Value, ServiceError> {
        let end = Instant::now() + PATIENCE;
        loop {
            let status = self.status();
            match status {
                Ok(status) if condition(&status) => return Ok(status),
                Ok(status) if Instant::now() > end => {
                    let status = format!("{status:#}");
                    return Err(ServiceError::NotSeen { what, status });
                }
                // A daemon that has just been killed does not answer yet.
                Err(error) if Instant::now() > end => return Err(error),
                _ => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }

    /// What `/status` says once every instance of the first chain has run `runs` times.
    ///
    /// # Errors
    /// As [`Service::status_when`].
    pub fn status_after(&self, runs: u64) -> Result<Value, ServiceError> {
        self.status_when("every instance has run so often", |status| {
            let ran = |instance: &Value| instance.get("runs_succeeded").and_then(Value::as_u64);
            instances(status).all(|instance| ran(instance) == Some(runs))
        })
    }

    /// All processes of the tree but the monitor, with the names that they were started under.
    #[must_use]
    pub fn processes(&self) -> Vec<(i32, String)> {
        descendants(self.monitor_pid())
    }

    /// The process id of the one started as `name`.
    #[must_use]
    pub fn process(&self, name: &str) -> Option<i32> {
        self.processes()
            .into_iter()
            .find(|(_, found)| found == name)
            .map(|(pid, _)| pid)
    }

    /// Sends a signal to a process of the tree.
    pub fn signal(&self, pid: i32, signal: Signal) {
        if let Some(pid) = Pid::from_raw(pid) {
            // Fails for a process that is gone, which is what the caller wanted.
            let _ = kill_process(pid, signal);
        }
    }

    /// Asks the service to stop, and waits until it has; its exit code.
    ///
    /// # Errors
    /// [`ServiceError::NotStopped`].
    pub fn stop(mut self) -> Result<Option<i32>, ServiceError> {
        self.signal(self.monitor_pid(), Signal::TERM);
        self.wait()
    }

    /// Waits until the monitor has ended; its exit code.
    ///
    /// # Errors
    /// [`ServiceError::NotStopped`].
    pub fn wait(&mut self) -> Result<Option<i32>, ServiceError> {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if let Some(status) = self.monitor.try_wait()? {
                return Ok(status.code());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Err(ServiceError::NotStopped)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // A test that failed leaves nothing behind: the monitor's end is everybody's.
        let _ = self.monitor.kill();
        let _ = self.monitor.wait();
    }
}

/// What a service says on its standard output when it is ready; `None` if it ends before.
pub(crate) fn until_ready(out: ChildStdout) -> Option<Value> {
    let lines = BufReader::new(out).lines().map_while(Result::ok);
    lines
        .filter_map(|line| serde_json::from_str::<Value>(&line).ok())
        .find(|line| line.get("event").and_then(Value::as_str) == Some("ready"))
}

/// The instances of the first chain in a status.
pub fn instances(status: &Value) -> impl Iterator<Item = &Value> {
    let instances = status.pointer("/chains/0/instances").and_then(Value::as_array);
    instances.into_iter().flatten()
}

/// All processes below `root`, with the names that they were started under.
#[must_use]
pub fn descendants(root: i32) -> Vec<(i32, String)> {
    let mut found = Vec::new();
    let mut waiting = vec![root];
    while let Some(pid) = waiting.pop() {
        let children =
            std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        for child in children
            .split_whitespace()
            .filter_map(|child| child.parse::<i32>().ok())
        {
            let line = std::fs::read(format!("/proc/{child}/cmdline")).unwrap_or_default();
            let name = line.split(|byte| *byte == 0).next().unwrap_or_default();
            found.push((child, String::from_utf8_lossy(name).into_owned()));
            waiting.push(child);
        }
    }
    found
}
