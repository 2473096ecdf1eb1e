//! What the trees use: memory, descriptors, processes.

use crate::service::descendants;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Samples of a run, about; more often than each 200 ms would itself be a load.
const SAMPLES: u32 = 900;
const PERIOD_MIN: Duration = Duration::from_millis(200);

/// One look at all trees of a run.
#[derive(Debug, Clone, Default)]
pub(super) struct Sample {
    pub(super) at: Duration,
    /// Proportional set size, in KiB; resident size of those processes that may not be asked for it.
    pub(super) memory_kib: u64,
    /// Of it, shared memory: outboxes, pages and mapped regions.
    pub(super) shared_kib: u64,
    /// Descriptors of monitors, daemons and gateways.
    pub(super) descriptors: [u64; 3],
    pub(super) processes: u64,
    pub(super) zombies: u64,
}

/// Looks again and again, on a thread of its own.
pub(super) struct Sampler {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Sample>>,
}

impl Sampler {
    pub(super) fn start(monitors: Vec<i32>, length: Duration) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let period = (length / SAMPLES).max(PERIOD_MIN);
        let thread = std::thread::spawn(move || {
            let begun = Instant::now();
            let mut samples = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                let mut sample = look(&monitors);
                sample.at = begun.elapsed();
                samples.push(sample);
                std::thread::sleep(period);
            }
            samples
        });
        Self { stop, thread }
    }

    pub(super) fn stop(self) -> Vec<Sample> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_default()
    }
}

fn look(monitors: &[i32]) -> Sample {
    let mut sample = Sample::default();
    for monitor in monitors {
        let mut processes = descendants(*monitor);
        processes.push((*monitor, "monitor".to_owned()));
        for (pid, name) in processes {
            let Some(state) = state(pid) else { continue };
            if state == 'Z' {
                sample.zombies += 1;
                continue;
            }
            sample.processes += 1;
            let (memory, shared) = memory_kib(pid);
            sample.memory_kib += memory;
            sample.shared_kib += shared;
            let place = match name.as_str() {
                "monitor" => 0,
                "hacher-daemon" => 1,
                "hacher-gateway" => 2,
                _ => continue,
            };
            if let Some(count) = sample.descriptors.get_mut(place) {
                *count += fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, |entries| entries.count() as u64);
            }
        }
    }
    sample
}

/// The letter of a process's state; `None` if it is gone.
fn state(pid: i32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// Whether a process is there and no zombie.
pub(super) fn is_alive(pid: i32) -> bool {
    state(pid).is_some_and(|state| state != 'Z')
}

fn memory_kib(pid: i32) -> (u64, u64) {
    let Ok(rollup) = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")) else {
        // A jailed process of somebody else does not show it.
        let pages = fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
        let resident = pages
            .split_whitespace()
            .nth(1)
            .and_then(|pages| pages.parse().ok());
        return (resident.unwrap_or(0_u64) * 4, 0);
    };
    let of = |name: &str| {
        let line = rollup.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        number.unwrap_or(0_u64)
    };
    (of("Pss:"), of("Pss_Shmem:"))
}
