//! What a sealed hop costs on one core, beside the floors that it cannot go below, all in one run.
//!
//! Two processes on one core. The parent plays the gateway: it seals a record, and sleeps until the answer is there. The
//! child is a trustlet with a handler that copies its input to its output. A round trip is two hops, so a hop is half of
//! it. The floors: an eventfd round trip between the same two processes, halved; AES-256-GCM seal and open of the same
//! bytes, out of place, by the same library.
#![allow(unsafe_code, reason = "forks a process to measure against")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a benchmark stops at what it did not expect"
)]

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use hacher_libos_net::attachment::Attachment;
use hacher_libos_net::clock::Monotonic;
use hacher_libos_net::doorbell::Doorbell;
use hacher_libos_net::invocation::InvocationId;
use hacher_libos_net::peek::Step;
use hacher_libos_net::seal::RecordContext;
use hacher_libos_net::wiring::{Plan, Runner};
use rustix::event::{EventfdFlags, eventfd};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::hint::black_box;
use std::time::Duration;

/// Bytes of plaintext.
const SIZES: [usize; 4] = [64, 4096, 16 * 1024, 60 * 1024];
/// Rounds over all measurements, so that noise hits each alike.
const ROUNDS: usize = 20;
/// Samples of each measurement in a round.
const SAMPLES: usize = 1000;

fn main() {
    let cpu = pin();
    println!(
        "one core (CPU {cpu}), two processes; medians of {} samples, in nanoseconds\n",
        ROUNDS * SAMPLES
    );
    println!(
        "  {:>8}  {:>7}  {:>7}  {:>7}  {:>7}  {:>7}  {:>6}",
        "bytes", "wake", "seal", "open", "sum", "hop", "ratio"
    );
    for size in SIZES {
        let mut pair = Pair::start(size);
        let mut wake = Wake::start();
        let mut aead = Aead::new(size);
        let mut results: [Vec<u64>; 4] = Default::default();
        for _ in 0..ROUNDS {
            for _ in 0..SAMPLES {
                results[0].push(timed(|| wake.round_trip()) / 2);
            }
            for _ in 0..SAMPLES {
                results[1].push(timed(|| aead.seal()));
                results[2].push(timed(|| aead.open()));
            }
            for _ in 0..SAMPLES {
                results[3].push(timed(|| pair.round_trip()) / 2);
            }
        }
        let [wake, seal, open, hop] = results.map(median);
        let sum = wake + seal + open;
        let hundredths = hop * 100 / sum;
        println!(
            "  {size:>8}  {wake:>7}  {seal:>7}  {open:>7}  {sum:>7}  {hop:>7}  {:>3}.{:02}",
            hundredths / 100,
            hundredths % 100
        );
    }
}

/// Stays on one core from here on; children inherit it.
fn pin() -> usize {
    let allowed = sched_getaffinity(None).unwrap();
    let cpu = (0..CpuSet::MAX_CPU)
        .rev()
        .find(|cpu| allowed.is_set(*cpu))
        .unwrap();
    let mut one = CpuSet::new();
    one.set(cpu);
    sched_setaffinity(None, &one).unwrap();
    cpu
}

fn timed(work: impl FnOnce()) -> u64 {
    let start = Monotonic::now();
    work();
    Monotonic::now().ns_since(start)
}

fn median(mut samples: Vec<u64>) -> u64 {
    samples.sort_unstable();
    samples[samples.len() / 2]
}

/// A child process; killed when dropped.
struct Forked(i32);

impl Forked {
    fn start(life: impl FnOnce()) -> Self {
        // SAFETY: this process has one thread, so the child's copy of it is whole.
        let pid = unsafe { libc::fork() };
        assert!(pid >= 0, "fork failed");
        if pid == 0 {
            // SAFETY: asks for a signal when the parent ends.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
            life();
            std::process::abort();
        }
        Self(pid)
    }
}

impl Drop for Forked {
    fn drop(&mut self) {
        // SAFETY: our own child, not reaped yet.
        unsafe { libc::kill(self.0, libc::SIGKILL) };
        // SAFETY: reaps it; the status is not wanted.
        unsafe { libc::waitpid(self.0, core::ptr::null_mut(), 0) };
    }
}

/// A gateway here and a trustlet in another process.
struct Pair {
    gateway: Attachment,
    _child: Forked,
    plain: Vec<u8>,
    opened: Vec<u8>,
    count: u128,
}

impl Pair {
    fn start(size: usize) -> Self {
        let mut plan = Plan::new();
        let gateway = plan.gateway(&["out"]);
        let echo = plan.function("echo", &["out"]);
        plan.edge((gateway, "out"), echo);
        plan.edge((echo, "out"), gateway);
        let mut wiring = plan.wire();
        let place = wiring.attach(echo, 0);
        let gateway = wiring.attach(gateway, 0);
        let child = Forked::start(|| {
            let mut runner = Runner::new(|mut input, output| output.send(input.bytes()?), place);
            runner.serve_until(|| false);
        });
        // No headers, then the body.
        let mut plain = vec![0, 0];
        plan_body(&mut plain, size);
        Self {
            gateway,
            _child: child,
            plain,
            opened: Vec::new(),
            count: 0,
        }
    }

    fn round_trip(&mut self) {
        let Attachment {
            own,
            sender,
            receiver,
            ..
        } = &mut self.gateway;
        let deadline = Monotonic::now().after(Duration::from_secs(10));
        let record = RecordContext {
            invocation: InvocationId::new(self.count),
            deadline,
            attempt: 1,
        };
        self.count += 1;
        sender.send(own, 0, &record, &self.plain, true).unwrap();
        loop {
            if let Some(ring) = receiver.ring_with_news() {
                self.opened.clear();
                match receiver.step(own, ring, &mut self.opened) {
                    Step::Opened(opened) => {
                        assert_eq!(self.opened.len(), self.plain.len());
                        receiver.release(own, opened.record);
                        return;
                    }
                    other => panic!("expected a record, found {other:?}"),
                }
            }
            if receiver.announce(own) {
                own.doorbell().wait(None);
            }
            receiver.awake(own);
        }
    }
}

fn plan_body(plain: &mut Vec<u8>, size: usize) {
    plain.extend((0..size).map(|i| i.to_le_bytes()[0]));
}

/// Two processes that wake each other.
struct Wake {
    there: Doorbell,
    back: Doorbell,
    _child: Forked,
}

impl Wake {
    fn start() -> Self {
        let bell = || Doorbell::new(eventfd(0, EventfdFlags::CLOEXEC).unwrap());
        let (there, back) = (bell(), bell());
        let child = Forked::start(|| {
            loop {
                there.wait(None);
                back.ring();
            }
        });
        Self {
            there,
            back,
            _child: child,
        }
    }

    fn round_trip(&mut self) {
        self.there.ring();
        self.back.wait(None);
    }
}

/// The cipher alone.
struct Aead {
    key: LessSafeKey,
    plain: Vec<u8>,
    sealed: Vec<u8>,
    tag: [u8; 16],
    opened: Vec<u8>,
}

impl Aead {
    fn new(size: usize) -> Self {
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[7; 32]).unwrap());
        let mut plain = vec![0, 0];
        plan_body(&mut plain, size);
        let len = plain.len();
        Self {
            key,
            plain,
            sealed: vec![0; len],
            tag: [0; 16],
            opened: vec![0; len],
        }
    }

    /// Additional data as long as a descriptor's.
    fn context() -> Aad<[u8; 48]> {
        Aad::from([1; 48])
    }

    fn seal(&mut self) {
        let nonce = Nonce::assume_unique_for_key([0; 12]);
        let (sealed, tag) = (&mut self.sealed, &mut self.tag);
        self.key
            .seal_out_of_place_scatter(nonce, Self::context(), &self.plain, sealed, &[], tag)
            .unwrap();
        black_box(&self.sealed);
    }

    fn open(&mut self) {
        let nonce = Nonce::assume_unique_for_key([0; 12]);
        self.key
            .open_separate_gather(nonce, Self::context(), &self.sealed, &self.tag, &mut self.opened)
            .unwrap();
        black_box(&self.opened);
    }
}
