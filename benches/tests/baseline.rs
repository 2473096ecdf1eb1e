//! Baselines and floors with processes of the real executable.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use hacher_benches::baseline::{self, Kind};
use hacher_benches::floor::{self, Floor};
use hacher_benches::subject::{Cores, Place, Started, Subject};
use hacher_fabric::failed::Failed;
use hacher_loader::placement::usable_cpus;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, wait};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Tests look at all children of this process, so they run one after the other.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_hacher-bench"))
}

fn cores() -> Cores {
    let usable = usable_cpus();
    Cores {
        home: usable[0],
        away: usable.get(1).copied(),
    }
}

fn start(kind: Kind, place: Place, hops_max: u32) -> Box<dyn Subject> {
    baseline::start_with(program(), kind, place, cores(), hops_max).unwrap()
}

/// How many samples there were.
fn measure(subject: &mut dyn Subject, payload_bytes: usize, hops: u32) -> Result<u32, Failed> {
    let mut samples = 0;
    subject.measure(payload_bytes, hops, 3, &mut |_| samples += 1)?;
    Ok(samples)
}

fn has_no_children() -> bool {
    matches!(wait(WaitOptions::NOHANG), Err(Errno::CHILD))
}

#[test]
fn every_baseline_delivers_payloads_over_one_and_three_hops_and_leaves_no_process() {
    let _alone = alone();
    for kind in Kind::ALL {
        let mut subject = start(kind, Place::Packed, 3);
        for payload_bytes in [0, 64, 100_000] {
            for hops in [1, 3] {
                let samples = measure(&mut *subject, payload_bytes, hops);
                assert_eq!(
                    samples.unwrap(),
                    3,
                    "{kind:?}, {payload_bytes} bytes, {hops} hops"
                );
            }
        }
        assert!(
            measure(&mut *subject, 64, 4).is_err(),
            "{kind:?} has three processes"
        );
        assert!(
            measure(&mut *subject, 64, 0).is_err(),
            "{kind:?} has no empty chain"
        );
        assert_eq!(subject.identity(), kind.identity(Place::Packed));
        drop(subject);
        assert!(has_no_children(), "{kind:?}");
    }
}

#[test]
fn baselines_may_be_spread_or_left_to_the_scheduler() {
    let _alone = alone();
    let before = usable_cpus();
    for place in [Place::Floating, Place::Spread] {
        if place == Place::Spread && cores().away.is_none() {
            let refused = baseline::start_with(program(), Kind::Https, place, cores(), 1);
            assert!(refused.is_err());
            continue;
        }
        for kind in [Kind::UnixSocket, Kind::Https] {
            assert_eq!(measure(&mut *start(kind, place, 2), 5000, 2).unwrap(), 3);
            assert_eq!(usable_cpus(), before, "the caller is where it was");
        }
    }
}

#[test]
fn every_floor_is_measured_and_leaves_no_process() {
    let _alone = alone();
    for floor in Floor::ALL {
        let Started::Ready(mut subject) = floor::start_with(program(), floor, cores()).unwrap() else {
            assert!(cores().away.is_none());
            continue;
        };
        // Twice, as a floor may come to rest in between.
        for payload_bytes in [0, 100_000] {
            assert_eq!(measure(&mut *subject, payload_bytes, 1).unwrap(), 3, "{floor:?}");
        }
        assert!(measure(&mut *subject, 0, 2).is_err());
        drop(subject);
        assert!(has_no_children(), "{floor:?}");
    }
}

#[test]
fn what_takes_two_cores_is_left_out_on_one() {
    let _alone = alone();
    let one = Cores {
        home: usable_cpus()[0],
        away: None,
    };
    for floor in [Floor::Spin, Floor::WakeOtherCore] {
        let started = floor::start_with(program(), floor, one).unwrap();
        assert!(matches!(started, Started::LeftOut(_)), "{floor:?}");
    }
}

#[test]
fn a_process_that_dies_is_an_error_and_not_a_hang() {
    let _alone = alone();
    for kind in Kind::ALL {
        let mut subject = start(kind, Place::Floating, 2);
        measure(&mut *subject, 64, 2).unwrap();
        for child in children() {
            kill_process(child, Signal::KILL).unwrap();
        }
        assert!(measure(&mut *subject, 64, 2).is_err(), "{kind:?}");
    }
}

#[test]
fn no_process_outlives_the_thread_that_started_it() {
    let _alone = alone();
    std::thread::spawn(|| std::mem::forget(start(Kind::Http, Place::Floating, 2)))
        .join()
        .unwrap();
    let end = Instant::now() + Duration::from_secs(20);
    while !has_no_children() {
        assert!(Instant::now() < end, "a process is left");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The processes that this one has started.
fn children() -> Vec<Pid> {
    let parent = std::process::id().to_string();
    let is_ours = |pid: i32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // Name in parentheses, state, parent.
        let (_, rest) = stat.rsplit_once(") ")?;
        (rest.split(' ').nth(1) == Some(&parent)).then_some(pid)
    };
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok())
        .filter_map(is_ours)
        .map(|pid| Pid::from_raw(pid).unwrap())
        .collect()
}
