//! A long run of everything at once: mixed traffic, poison, kills, slow clients and disconnections, against
//! two services of several chains, with every reply compared with a model and the tree's memory, descriptors
//! and processes sampled.
//!
//! ```text
//! subject    the chains, and what each may answer
//! client     HTTP/1.1 and 2, with TLS and without
//! traffic    clients that behave
//! slow       clients that do not
//! kills      `kill -9` of functions, daemons and gateways
//! ledger     what came of it all: expected, injected, unexpected
//! sample     memory, descriptors, processes
//! report     the table, and the verdict
//! ```

mod client;
mod kills;
mod ledger;
mod report;
mod sample;
mod slow;
mod subject;
mod traffic;

use crate::service::{Service, ServiceError, descendants};
use client::{Protocol, Target};
use kills::Outages;
use ledger::Ledger;
pub use report::Report;
use sample::Sampler;
use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::rc::Rc;
use std::time::{Duration, Instant};
use subject::Subject;
use tempfile::TempDir;
use tokio::task::{JoinSet, LocalSet};

/// A run could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SoakError {
    /// A service did not start or stop.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// A system call failed.
    #[error(transparent)]
    Os(#[from] io::Error),
    /// No certificate could be made.
    #[error("no certificate: {0}")]
    Certificate(String),
}

/// What a run is made of.
#[derive(Debug, Clone, Copy)]
pub struct Soak {
    /// How long it takes, without start and stop.
    pub length: Duration,
    /// Decides bodies, pauses and victims.
    pub seed: u64,
}

/// A service under test, as its clients and its killer see it.
struct Served {
    name: &'static str,
    service: Service,
    target: Target,
    subjects: Vec<Subject>,
    outages: RefCell<Outages>,
}

/// What all tasks of a run share.
struct Run {
    served: Served,
    ledger: Rc<RefCell<Ledger>>,
    begun: Instant,
    until: Instant,
    seed: u64,
}

impl Soak {
    /// Runs; the report says how it went.
    ///
    /// # Errors
    /// [`SoakError`], if the run could not be made at all.
    pub fn run(&self) -> Result<Report, SoakError> {
        let folder = TempDir::new()?;
        let told = folder.path().join("told");
        let plain = Served::start("plain", subject::all(), None, &told)?;
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])
            .map_err(|error| SoakError::Certificate(error.to_string()))?;
        let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
        std::fs::write(&certificate, made.cert.pem())?;
        std::fs::write(&key, made.signing_key.serialize_pem())?;
        let tls = client::trusting(made.cert.der()).map_err(SoakError::Certificate)?;
        let over_tls = Served::start("tls", subject::few(), Some((certificate, key, tls)), &told)?;

        let monitors = [&plain, &over_tls].map(|served| served.service.monitor_pid());
        let sampler = Sampler::start(monitors.to_vec(), self.length);
        let ledger = Rc::new(RefCell::new(Ledger::default()));
        let begun = Instant::now();
        let runs = [plain, over_tls].map(|served| {
            Rc::new(Run {
                served,
                ledger: Rc::clone(&ledger),
                begun,
                until: begun + self.length,
                seed: self.seed,
            })
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        LocalSet::new().block_on(&runtime, async {
            let mut tasks = JoinSet::new();
            for run in &runs {
                spawn(&mut tasks, run, self.length);
            }
            while tasks.join_next().await.is_some() {}
        });
        drop(runtime);
        let samples = sampler.stop();
        for run in runs {
            if let Some(run) = Rc::into_inner(run) {
                run.served.end(&mut ledger.borrow_mut())?;
            }
        }
        let ledger = Rc::into_inner(ledger)
            .map(RefCell::into_inner)
            .unwrap_or_default();
        Ok(Report::new(*self, ledger, samples, &told))
    }
}

/// Starts all clients of a service, and its killer.
fn spawn(tasks: &mut JoinSet<()>, run: &Rc<Run>, length: Duration) {
    let protocols: &[Protocol] = if run.served.target.is_tls() {
        &[Protocol::Kept, Protocol::Http2]
    } else {
        &[
            Protocol::Kept,
            Protocol::Kept,
            Protocol::Kept,
            Protocol::Fresh,
            Protocol::Http2,
            Protocol::Http2,
        ]
    };
    for (number, protocol) in (0..).zip(protocols) {
        tasks.spawn_local(traffic::traffic(Rc::clone(run), *protocol, number));
    }
    tasks.spawn_local(kills::kills(Rc::clone(run), length));
    if !run.served.target.is_tls() {
        tasks.spawn_local(traffic::poison(Rc::clone(run)));
        tasks.spawn_local(slow::heads(Rc::clone(run)));
        tasks.spawn_local(slow::bodies(Rc::clone(run)));
        tasks.spawn_local(slow::readers(Rc::clone(run)));
        tasks.spawn_local(slow::disconnections(Rc::clone(run)));
    }
}

impl Served {
    fn start(
        name: &'static str,
        subjects: Vec<Subject>,
        tls: Option<(PathBuf, PathBuf, client::Tls)>,
        told: &std::path::Path,
    ) -> Result<Self, SoakError> {
        let folder = TempDir::new()?;
        // Some thirty processes start at once, on a machine that may be busy.
        let mut arguments = vec!["--start-timeout".to_owned(), "120".to_owned()];
        for subject in subjects.iter().skip(1) {
            let file = folder.path().join(format!("{}.toml", subject.name()));
            std::fs::write(&file, subject.text())?;
            arguments.push(file.display().to_string());
        }
        let tls = tls.map(|(certificate, key, tls)| {
            let files = [("--tls-cert", certificate), ("--tls-key", key)];
            for (flag, file) in files {
                arguments.extend([flag.to_owned(), file.display().to_string()]);
            }
            tls
        });
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let first = subjects.first().map(Subject::text).unwrap_or_default();
        let told = File::options().append(true).create(true).open(told)?;
        let service = Service::start_telling(&first, &arguments, Stdio::from(told))?;
        Ok(Self {
            name,
            target: Target::new(service.gateway, tls),
            service,
            subjects,
            outages: RefCell::default(),
        })
    }

    /// Stops the service, and looks for what it left.
    fn end(self, ledger: &mut Ledger) -> Result<(), SoakError> {
        let name = self.name;
        let monitor = self.service.monitor_pid();
        let mut pids: Vec<i32> = descendants(monitor).into_iter().map(|(pid, _)| pid).collect();
        pids.push(monitor);
        let code = self.service.stop()?;
        if code != Some(0) {
            ledger.unexpected(format!("service {name} ended with {code:?}"));
        }
        let patience = Instant::now() + Duration::from_secs(5);
        while pids.iter().any(|pid| sample::is_alive(*pid)) && Instant::now() < patience {
            std::thread::sleep(Duration::from_millis(20));
        }
        for pid in pids.into_iter().filter(|pid| sample::is_alive(*pid)) {
            ledger.unexpected(format!("process {pid} of service {name} outlived it"));
        }
        Ok(())
    }
}

impl Run {
    fn is_over(&self) -> bool {
        Instant::now() >= self.until
    }
}
