//! `kill -9` of functions, daemons and gateways.

use super::Run;
use crate::service::descendants;
use fastrand::Rng;
use rustix::process::{Pid, Signal, kill_process};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// The pause between two kills of functions, at most.
const PAUSE_MAX_MS: u64 = 3000;
/// One in so many kills is of the daemon, and as many are of the gateway.
const RARELY: u32 = 8;
/// How long a replacement may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// What was under way when a gateway died may be heard of a little later.
const AFTERMATH: Duration = Duration::from_secs(2);

/// When there was no gateway.
#[derive(Debug, Default)]
pub(super) struct Outages {
    /// Whether there is none now.
    now: bool,
    /// The end of the last one.
    last: Option<Instant>,
}

impl Outages {
    /// Whether a request that was sent at `begun`, and has just broken, may have broken because of one.
    pub(super) fn touch(&self, begun: Instant) -> bool {
        self.now || self.last.is_some_and(|end| begun <= end + AFTERMATH)
    }
}

/// Kills until the run is over.
pub(super) async fn kills(run: Rc<Run>, length: Duration) {
    let mut random = Rng::with_seed(run.seed ^ 0x6b11);
    let mut count = 0;
    // Also a short run has one kill of each kind.
    let pause_max = u64::try_from(length.as_millis() / 20).unwrap_or(PAUSE_MAX_MS);
    let pause_max = pause_max.clamp(100, PAUSE_MAX_MS);
    while Instant::now() + 2 * Duration::from_millis(pause_max) < run.until {
        sleep(Duration::from_millis(random.u64(pause_max / 4..=pause_max))).await;
        count += 1;
        match count % RARELY {
            3 => kill_one(&run, &mut random, "hacher-daemon", "daemons killed"),
            6 => kill_gateway(&run, &mut random).await,
            _ => kill_one(&run, &mut random, "", "functions killed"),
        }
    }
}

/// Kills a process started as `name`, or any function.
fn kill_one(run: &Run, random: &mut Rng, name: &str, counted: &'static str) {
    let processes = descendants(run.served.service.monitor_pid());
    let wanted = processes.into_iter().filter(|(_, found)| match name {
        "" => !found.is_empty() && !found.starts_with("hacher-"),
        name => found == name,
    });
    let wanted: Vec<i32> = wanted.map(|(pid, _)| pid).collect();
    let victim = random.choice(wanted).and_then(Pid::from_raw);
    if victim.is_some_and(|pid| kill_process(pid, Signal::KILL).is_ok()) {
        run.ledger.borrow_mut().injected(counted);
    }
}

/// Kills the gateway, and waits for another.
async fn kill_gateway(run: &Run, random: &mut Rng) {
    let service = &run.served.service;
    let before = service.process("hacher-gateway");
    run.served.outages.borrow_mut().now = true;
    kill_one(run, random, "hacher-gateway", "gateways killed");
    let end = Instant::now() + PATIENCE;
    loop {
        let now = service.process("hacher-gateway");
        if now.is_some() && now != before && answers(run).await {
            break;
        }
        if Instant::now() > end {
            let what = format!(
                "{}: the gateway was not replaced within {PATIENCE:?}",
                run.served.name
            );
            run.ledger.borrow_mut().unexpected(what);
            break;
        }
        sleep(Duration::from_millis(20)).await;
    }
    let mut outages = run.served.outages.borrow_mut();
    outages.now = false;
    outages.last = Some(Instant::now());
}

/// Whether the gateway says something, be it that it wants TLS.
async fn answers(run: &Run) -> bool {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let asked = async {
        let mut stream = TcpStream::connect(run.served.target.address).await?;
        stream
            .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .await?;
        stream.read_u8().await
    };
    timeout(Duration::from_secs(5), asked)
        .await
        .is_ok_and(|said| said.is_ok())
}
