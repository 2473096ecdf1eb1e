//! A hop to a consumer that is awake makes no system call (I8): both processes run under a seccomp program
//! that kills them for any but their own end.
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "test code; forks"
)]

mod topology;

use hacher_in_process::{Draft, Handler, Runner};
use hacher_libos_net::attach::Attachment;
use hacher_libos_net::clock;
use hacher_libos_net::inlet::Step;
use hacher_libos_net::process::lock_down;
use hacher_libos_net::telemetry::Counter;
use hacher_skipped::skipped;
use rustix::process::{Pid, WaitOptions, WaitStatus, waitpid};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use topology::{record, with_headers};

const HOPS: u128 = 2000;
const SIGSYS: i32 = 31;

/// Load the number of the call; allow `exit_group`; kill the process for anything else (linux/filter.h,
/// seccomp(2)).
fn only_exit() -> Vec<u8> {
    const LOAD_WORD: u16 = 0x20;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    let exit_group = libc::SYS_exit_group as u32;
    let program = [
        (LOAD_WORD, 0, 0, 0),
        (JUMP_IF_EQUAL, 0, 1, exit_group),
        (RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
        (RETURN, 0, 0, libc::SECCOMP_RET_KILL_PROCESS),
    ];
    let bytes = program
        .iter()
        .flat_map(|(code, yes, no, value): &(u16, u8, u8, u32)| {
            let mut instruction = [0; 8];
            instruction[..2].copy_from_slice(&code.to_ne_bytes());
            instruction[2..4].copy_from_slice(&[*yes, *no]);
            instruction[4..].copy_from_slice(&value.to_ne_bytes());
            instruction
        });
    bytes.collect()
}

/// Forks a child that gives up every system call but its end, and then acts. It ends with what it holds still
/// mapped, as unmapping would be a call.
fn start(mut act: impl FnMut()) -> Pid {
    let program = only_exit();
    // SAFETY: the child uses its own copy of this process, and ends by `_exit`, which runs nothing of ours.
    let forked = unsafe { libc::fork() };
    assert!(forked >= 0);
    if let Some(child) = Pid::from_raw(forked) {
        return child;
    }
    let code = if rustix::thread::set_no_new_privs(true).is_ok() && lock_down(&program).is_ok() {
        act();
        0
    } else {
        77
    };
    // SAFETY: ends this process.
    unsafe { libc::_exit(code) }
}

fn end_of(child: Pid) -> WaitStatus {
    waitpid(Some(child), WaitOptions::empty()).unwrap().unwrap().1
}

/// Whether this machine can say by system call alone what must be said here; prints why if not.
fn is_skipped() -> bool {
    if end_of(start(|| {})).exit_status() == Some(77) {
        skipped!("no seccomp program can be installed here");
        return true;
    }
    // Finding out how to read the clock takes calls, once.
    let _ = clock::now();
    let reads_clock = || {
        let _ = clock::now();
    };
    if end_of(start(reads_clock)).exit_status() != Some(0) {
        skipped!("this machine's clock needs a system call");
        return true;
    }
    false
}

fn ask(gateway: &mut Attachment, invocation: u128, request: &[u8]) {
    let (own, sender) = (&gateway.own, &mut gateway.sender);
    sender.send(own, 0, &record(invocation), request, true).unwrap();
}

fn hear(gateway: &mut Attachment, plain: &mut Vec<u8>) {
    plain.clear();
    let ring = loop {
        match gateway.receiver.ring_with_news() {
            Some(ring) => break ring,
            None => std::hint::spin_loop(),
        }
    };
    let Step::Opened(opened) = gateway.receiver.step(&gateway.own, ring, plain) else {
        panic!("the answer")
    };
    gateway.receiver.release(&gateway.own, opened.record);
}

/// Both tests change what is mapped, and go through all of it: one at a time.
static MAPPINGS: Mutex<()> = Mutex::new(());

/// Has forked copies of this process find its regions, which they do not by themselves: here they take part,
/// and this process no more.
fn let_copies_have_regions() {
    for line in std::fs::read_to_string("/proc/self/maps").unwrap().lines() {
        let mut words = line.split_whitespace();
        let (range, access) = (words.next().unwrap(), words.next().unwrap());
        if access.ends_with('s') {
            let (from, to) = range.split_once('-').unwrap();
            let [from, to] = [from, to].map(|at| usize::from_str_radix(at, 16).unwrap());
            let at = std::ptr::with_exposed_provenance_mut(from);
            // SAFETY: who inherits a mapping changes nothing for this process.
            let advised = unsafe { libc::madvise(at, to - from, libc::MADV_DOFORK) };
            assert_eq!(advised, 0, "{line}");
        }
    }
}

/// Runs `ingress -> copy -> egress` in two processes; how the one with the function ended.
fn run_two_processes(spin: Duration, mapped: bool) -> WaitStatus {
    let _alone = MAPPINGS.lock().unwrap_or_else(PoisonError::into_inner);
    let mut draft = Draft::new();
    let gateway_node = draft.gateway(&["out"]);
    let copy = draft.function("copy", &["out"]);
    if mapped {
        draft.mapped_edge((gateway_node, "out"), copy);
        draft.mapped_edge((copy, "out"), gateway_node);
    } else {
        draft.edge((gateway_node, "out"), copy);
        draft.edge((copy, "out"), gateway_node);
    }
    draft.limits(copy).spin = spin;
    let mut monitor = draft.define();
    let mut gateway = monitor.attach(gateway_node, 0);
    let handler: Handler = |mut input, output| output.send(input.bytes()?);
    let mut runner = Runner::new(handler, monitor.attach(copy, 0));
    let request = with_headers(&[9; 4096]);
    let mut plain = Vec::with_capacity(8192);
    // The steady state begins after the first records, in which buffers grow.
    for invocation in 0..300 {
        ask(&mut gateway, invocation, &request);
        runner.settle();
        hear(&mut gateway, &mut plain);
    }
    let reader = monitor.reader(copy, 0);
    let_copies_have_regions();
    let function = start(move || {
        runner.serve_until(|| u128::from(reader.counter(Counter::Succeeded)) == 300 + HOPS);
    });
    let client = start(move || {
        for invocation in 0..HOPS {
            ask(&mut gateway, 1000 + invocation, &request);
            hear(&mut gateway, &mut plain);
        }
    });
    let ended = end_of(function);
    if ended.exit_status() == Some(0) {
        assert_eq!(
            end_of(client).exit_status(),
            Some(0),
            "the gateway's side: {ended:?}"
        );
    } else {
        rustix::process::kill_process(client, rustix::process::Signal::KILL).unwrap();
        end_of(client);
    }
    ended
}

#[test]
fn hops_between_processes_that_are_awake_make_no_system_call() {
    if is_skipped() {
        return;
    }
    for mapped in [false, true] {
        let ended = run_two_processes(Duration::from_secs(20), mapped);
        assert_eq!(ended.exit_status(), Some(0), "mapped {mapped}: {ended:?}");
    }
}

#[test]
fn a_trustlet_that_goes_to_sleep_is_caught_by_the_same_program() {
    if is_skipped() {
        return;
    }
    let ended = run_two_processes(Duration::ZERO, false);
    assert_eq!(ended.terminating_signal(), Some(SIGSYS), "{ended:?}");
}
