//! A service with several chain files, each perhaps with a gateway of its own, whose messages are kept.

use crate::service::{ServiceError, descendants, executable, until_ready};
use bytes::Bytes;
use hacher_fabric::http::{Connection, HttpError, Reply};
use hyper::Method;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

/// How long anything here may take; detects what hangs, and measures nothing.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running service.
#[derive(Debug)]
pub struct Tenants {
    monitor: Child,
    /// What it said when it was ready.
    pub ready: Value,
    messages: Arc<Mutex<String>>,
}

fn serve(
    program: &str,
    folder: &Path,
    chains: &[(&str, String)],
    arguments: &[&str],
) -> std::io::Result<Child> {
    let mut command = Command::new(executable(program));
    command.arg("serve");
    for (name, text) in chains {
        let path = folder.join(format!("{name}.toml"));
        std::fs::write(&path, text)?;
        command.arg(path);
    }
    command
        .args(["--admin", "127.0.0.1:0", "--tied"])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
}

/// What `wait` gives; a service that is still waited for after the patience of all tests is ended.
fn within_patience<T>(monitor: &Child, wait: impl FnOnce() -> T) -> T {
    let (done, is_done) = mpsc::channel::<()>();
    let pid = i32::try_from(monitor.id()).ok().and_then(Pid::from_raw);
    let watch = std::thread::spawn(move || {
        if is_done.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout)
            && let Some(pid) = pid
        {
            let _ = kill_process(pid, Signal::KILL);
        }
    });
    let waited = wait();
    drop(done);
    let _ = watch.join();
    waited
}

/// Keeps what comes out of `pipe`, and passes it on.
fn keep(pipe: impl Read + Send + 'static) -> Arc<Mutex<String>> {
    let kept = Arc::new(Mutex::new(String::new()));
    let writer = Arc::clone(&kept);
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            eprintln!("{line}");
            let mut kept = writer.lock().unwrap_or_else(PoisonError::into_inner);
            kept.push_str(&line);
            kept.push('\n');
        }
    });
    kept
}

impl Tenants {
    /// Serves chains, whose files are written into `folder`, with `--listen` at a free port; returns when all
    /// are ready.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub fn start(folder: &Path, chains: &[(&str, String)], arguments: &[&str]) -> Result<Self, ServiceError> {
        Self::start_as("fabric-under-test", folder, chains, arguments)
    }

    /// As [`Self::start`], with another executable of this package in the place of the command.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub fn start_as(
        program: &str,
        folder: &Path,
        chains: &[(&str, String)],
        arguments: &[&str],
    ) -> Result<Self, ServiceError> {
        let arguments = [&["--listen", "127.0.0.1:0", "--format", "json"], arguments].concat();
        let mut monitor = serve(program, folder, chains, &arguments)?;
        let messages = monitor.stderr.take().map(keep).unwrap_or_default();
        let out = monitor.stdout.take();
        let ready = within_patience(&monitor, || out.and_then(until_ready));
        let Some(ready) = ready else {
            let ended = monitor.wait()?;
            let told = messages.lock().map(|kept| kept.clone()).unwrap_or_default();
            return Err(ServiceError::NotReady { ended, told });
        };
        Ok(Self {
            monitor,
            ready,
            messages,
        })
    }

    /// Serves chains that are to be refused: the exit code, and what was printed to either stream.
    ///
    /// # Errors
    /// [`ServiceError::NotStopped`] if they are not.
    pub fn refused(
        folder: &Path,
        chains: &[(&str, String)],
        arguments: &[&str],
    ) -> Result<(Option<i32>, String), ServiceError> {
        let mut monitor = serve("fabric-under-test", folder, chains, arguments)?;
        let messages = monitor.stderr.take().map(keep).unwrap_or_default();
        let mut out = monitor.stdout.take();
        let end = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = monitor.try_wait()? {
                break status;
            }
            if Instant::now() > end {
                let _ = monitor.kill();
                let _ = monitor.wait();
                return Err(ServiceError::NotStopped);
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        let mut text = String::new();
        if let Some(out) = &mut out {
            out.read_to_string(&mut text)?;
        }
        // The other thread may not have read all yet; nobody writes any more.
        std::thread::sleep(Duration::from_millis(100));
        text.push_str(&messages.lock().unwrap_or_else(PoisonError::into_inner));
        Ok((status.code(), text))
    }

    /// What it has said on standard error so far.
    #[must_use]
    pub fn messages(&self) -> String {
        self.messages
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Waits until it has said a line with `text`, as many times as `times`; whether it has.
    #[must_use]
    pub fn has_said(&self, text: &str, times: usize) -> bool {
        until(|| self.messages().matches(text).count() >= times)
    }

    /// What it said of a chain when it was ready.
    #[must_use]
    pub fn chain(&self, name: &str) -> Value {
        let chains = self.ready.get("chains").and_then(Value::as_array);
        let found = chains.and_then(|chains| {
            let of_name = |chain: &&Value| chain.get("name").and_then(Value::as_str) == Some(name);
            chains.iter().find(of_name)
        });
        found.cloned().unwrap_or_default()
    }

    /// Where a chain is served; port 0 if it is not.
    #[must_use]
    pub fn address(&self, chain: &str) -> SocketAddr {
        let chain = self.chain(chain);
        let listen = chain.get("listen").and_then(Value::as_str);
        let address = listen.and_then(|listen| listen.parse().ok());
        address.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    /// The daemon's status.
    ///
    /// # Errors
    /// [`HttpError`].
    pub fn status(&self) -> Result<Value, HttpError> {
        let admin = self.ready.get("admin").and_then(Value::as_str);
        let admin = admin.and_then(|admin| admin.parse().ok());
        let admin = admin.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)));
        Ok(get(admin, "/status")?.json())
    }

    /// All processes of the tree but the monitor, with the names that they were started under.
    #[must_use]
    pub fn processes(&self) -> Vec<(i32, String)> {
        descendants(self.monitor_pid())
    }

    /// The processes of gateways: that of a chain's own by the chain's name, the shared one by "".
    #[must_use]
    pub fn gateways(&self) -> Vec<(String, i32)> {
        let started = descendants(self.monitor_pid()).into_iter();
        let gateways = started.filter(|(_, name)| name == "hacher-gateway");
        gateways
            .map(|(pid, _)| {
                let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                let chain = line.split(|byte| *byte == 0).nth(1).unwrap_or_default();
                (String::from_utf8_lossy(chain).into_owned(), pid)
            })
            .collect()
    }

    /// The process of the gateway of a chain's own, or of the shared one for "".
    #[must_use]
    pub fn gateway(&self, chain: &str) -> Option<i32> {
        let found = self.gateways().into_iter().find(|(of, _)| of == chain);
        found.map(|(_, pid)| pid)
    }

    /// The monitor's process id.
    #[must_use]
    pub fn monitor_pid(&self) -> i32 {
        i32::try_from(self.monitor.id()).unwrap_or(0)
    }

    /// Sends a signal to a process of the tree.
    pub fn signal(&self, pid: i32, signal: Signal) {
        if let Some(pid) = Pid::from_raw(pid) {
            // Fails for a process that is gone, which is what the caller wanted.
            let _ = kill_process(pid, signal);
        }
    }

    /// Waits until the monitor has ended; its exit code.
    ///
    /// # Errors
    /// [`ServiceError::NotStopped`].
    pub fn wait(&mut self) -> Result<Option<i32>, ServiceError> {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if let Some(status) = self.monitor.try_wait()? {
                return Ok(status.code());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Err(ServiceError::NotStopped)
    }
}

impl Drop for Tenants {
    fn drop(&mut self) {
        // A test that failed leaves nothing behind: the monitor's end is everybody's.
        let _ = self.monitor.kill();
        let _ = self.monitor.wait();
    }
}

/// Waits until `condition` holds, for as long as a hang takes to be one; whether it does.
pub fn until(mut condition: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + PATIENCE;
    while !condition() {
        if Instant::now() > end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    true
}

fn runtime() -> Result<tokio::runtime::Runtime, std::io::Error> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// Gets a path over a connection of its own.
///
/// # Errors
/// [`HttpError`].
pub fn get(address: SocketAddr, path: &str) -> Result<Reply, HttpError> {
    let connect = |source| HttpError::Connect { address, source };
    runtime()
        .map_err(connect)?
        .block_on(async { Connection::open(address).await?.get(path).await })
}

/// Posts to a chain over a connection of its own.
///
/// # Errors
/// [`HttpError`].
pub fn post(address: SocketAddr, chain: &str, body: impl Into<Bytes>) -> Result<Reply, HttpError> {
    let connect = |source| HttpError::Connect { address, source };
    let path = format!("/chains/{chain}");
    let body = body.into();
    runtime().map_err(connect)?.block_on(async {
        let mut connection = Connection::open(address).await?;
        connection.send(Method::POST, &path, None, body).await
    })
}

/// Runs the command under test with these arguments: its exit code, and both its streams as text.
///
/// # Errors
/// When it cannot be started.
pub fn command(arguments: &[&str]) -> std::io::Result<(Option<i32>, String, String)> {
    let output = Command::new(executable("fabric-under-test"))
        .args(arguments)
        .stdin(Stdio::null())
        .output()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok((output.status.code(), text(&output.stdout), text(&output.stderr)))
}

/// Writes a file of a folder; its path.
///
/// # Errors
/// When it cannot be written.
pub fn write(folder: &Path, name: &str, content: &str) -> std::io::Result<PathBuf> {
    let path = folder.join(name);
    std::fs::write(&path, content)?;
    Ok(path)
}
