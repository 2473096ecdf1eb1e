//! What is put in the place of a function or the daemon to act as a process that was taken over: it writes
//! into all that it can write, rings and watches whatever it holds, tries to have others wait, and goes on or
//! dies.
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "test code; makes system calls that no safe interface offers, as an attacker would"
)]

use hacher_libos_net::attach::{CHANNEL_FD, seqpacket};
use hacher_libos_net::{Failure, Input, Output, serve as serve_function};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::fstat;
use rustix::mm::{MapFlags, ProtFlags, mmap};
use rustix::net::RecvFlags;
use std::process::ExitCode;
use std::time::Duration;

/// Descriptors that are looked at.
const NUMBERS: core::ops::Range<i32> = 4..256;
/// Epolls that watch all of them at most.
const EPOLLS_MAX: usize = 64;

/// The regions that this process writes, mapped once more before its own code knows of them.
pub struct Held {
    /// Addresses and lengths in words.
    regions: Vec<(usize, usize)>,
}

impl Held {
    /// Takes them out of the first message of the channel, without taking that away.
    #[must_use]
    pub fn peek() -> Self {
        // SAFETY: the channel that this process was born with, which nobody closes meanwhile.
        let channel = unsafe { BorrowedFd::borrow_raw(CHANNEL_FD) };
        let mut bytes = vec![0; 16 * 1024];
        let received = seqpacket::receive(channel, &mut bytes, RecvFlags::PEEK).unwrap();
        let (_, fds) = received.unwrap();
        Self::of(&fds)
    }

    /// Those of these descriptors that can be written by mapping them.
    #[must_use]
    pub fn of(fds: &[OwnedFd]) -> Self {
        let regions = fds.iter().filter_map(map).collect();
        Self { regions }
    }

    /// Writes `value` of each word's number everywhere.
    pub fn fill(&self, value: impl Fn(usize) -> u64) {
        for &(address, words) in &self.regions {
            for word in 0..words {
                let at = core::ptr::with_exposed_provenance_mut::<u64>(address).wrapping_add(word);
                // SAFETY: a word of a mapping that is never undone. What else it means to this process may be
                // anything after that, which is what a process that was taken over does.
                unsafe { at.write_volatile(value(word)) };
            }
        }
    }
}

impl Held {
    /// Writes `zeros`, `ones`, `noise` or `figures` everywhere; whether it knows how.
    #[must_use]
    pub fn scribble(&self, with: &[u8]) -> bool {
        match with {
            b"zeros" => self.fill(|_| 0),
            b"ones" => self.fill(|_| u64::MAX),
            b"noise" => self.fill(|at| noise(7, at)),
            b"figures" => self.fill(|at| if at % 2 == 0 { u64::MAX } else { 1 << 63 }),
            _ => return false,
        }
        true
    }
}

fn map(fd: &OwnedFd) -> Option<(usize, usize)> {
    let len = usize::try_from(fstat(fd).ok()?.st_size)
        .ok()
        .filter(|len| *len > 0)?;
    // SAFETY: a new mapping at an address of the kernel's choice.
    let mapped = unsafe {
        mmap(
            core::ptr::null_mut(),
            len,
            ProtFlags::READ | ProtFlags::WRITE,
            MapFlags::SHARED,
            fd,
            0,
        )
    };
    Some((mapped.ok()?.expose_provenance(), len / 8))
}

/// Fills whatever can be filled by writing to it, takes away what others wrote, and watches it all as often
/// as it may.
pub fn abuse_descriptors() {
    for number in NUMBERS {
        // SAFETY: a number of this process; whatever happens to its own descriptors is its own loss.
        let fd = unsafe { BorrowedFd::borrow_raw(number) };
        if rustix::io::fcntl_getfd(fd).is_err() {
            continue;
        }
        // So that it waits for nobody itself: what blocks is left alone.
        let flags = rustix::fs::fcntl_getfl(fd).unwrap_or(rustix::fs::OFlags::empty());
        let _ = rustix::fs::fcntl_setfl(fd, flags - rustix::fs::OFlags::NONBLOCK);
        if flags.contains(rustix::fs::OFlags::NONBLOCK) {
            while rustix::io::write(fd, &[0xff; 4096]).is_ok_and(|written| written > 0) {}
            let _ = rustix::io::read(fd, &mut [0; 4096]);
        }
    }
    // As many epolls as there are numbers left, each of which watches everything; of a process with thousands
    // of numbers some, as they watch each other as well, which takes ever longer.
    for _ in 0..EPOLLS_MAX {
        let Ok(epoll) = rustix::event::epoll::create(rustix::event::epoll::CreateFlags::CLOEXEC) else {
            break;
        };
        for number in NUMBERS {
            // SAFETY: as above.
            let fd = unsafe { BorrowedFd::borrow_raw(number) };
            let data = rustix::event::epoll::EventData::new_u64(0);
            let _ = rustix::event::epoll::add(
                &epoll,
                fd,
                data,
                rustix::event::epoll::EventFlags::IN | rustix::event::epoll::EventFlags::OUT,
            );
        }
        // Kept for as long as the process lives.
        core::mem::forget(epoll);
    }
}

fn noise(seed: u64, at: usize) -> u64 {
    let mut state = seed ^ (at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for _ in 0..3 {
        state = (state ^ (state >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    }
    state
}

/// Does to everything what the first word of its input says, and then dies; echoes anything else.
#[must_use]
pub fn serve() -> ExitCode {
    let held = Held::peek();
    serve_function(move |mut input: Input<'_>, output: &mut Output<'_>| act(&held, input.bytes()?, output))
}

fn act(held: &Held, body: &[u8], output: &mut Output<'_>) -> Result<(), Failure> {
    match body {
        b"attack and live" => {
            abuse_descriptors();
            return output.send(body);
        }
        _ => match body.strip_prefix(b"attack ") {
            Some(with) if held.scribble(with) => {}
            _ => return output.send(body),
        },
    }
    abuse_descriptors();
    std::process::abort()
}

/// In the daemon's place: tries what it can with what it was given, and then does a daemon's work.
pub fn haunt_daemon() {
    for output in [std::io::stdout().as_fd(), std::io::stderr().as_fd()] {
        let _ = rustix::fs::ftruncate(output, 0);
        let _ = rustix::io::read(output, &mut [0; 64]);
        let _ = rustix::fs::fcntl_setfl(output, rustix::fs::OFlags::empty());
        let _ = rustix::io::write(
            output,
            b"\x1b]0;owned\x07\x1b[2Jnot what it seems\r\n\xc2\x9b2J\n",
        );
    }
    let _ = rustix::io::read(std::io::stdin(), &mut [0; 64]);
    // SAFETY: as in `abuse_descriptors`.
    let channel = unsafe { BorrowedFd::borrow_raw(CHANNEL_FD) };
    let _ = rustix::net::sockopt::set_socket_linger(channel, Some(Duration::from_secs(60)));
}
