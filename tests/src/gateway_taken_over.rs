//! What is put in the place of a gateway: one that dies or says nothing before it is ready, and one that was
//! taken over and does its worst. Which of them, the name of its first chain says: `dies`, `silent` or
//! `taken...`. Every second process is a gateway as it should be, so that what is left by one that was taken
//! over meets a clean replacement.
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "test code; makes system calls that no safe interface offers, as an attacker would"
)]

use crate::hostile;
use crate::taken_over::{Held, abuse_descriptors};
use core::mem::MaybeUninit;
use hacher_libos_net::attach::{
    Begin, CHANNEL_FD, MESSAGE_MAX_BYTES, MESSAGE_MAX_DESCRIPTORS, MessageHeader, SAID_MAX_BYTES, kind,
};
use hacher_libos_net::process::lock_down;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::IoSlice;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use std::io::{self, IoSliceMut, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

/// What it answers whoever asks at a path that it does not know.
pub const MARK: &str = "taken over";
/// Ways of speaking to the monitor that no gateway has, by their numbers in `/say/NUMBER`.
pub const NONSENSE: usize = 12;

/// Plays its part; `None`: this process is to be a gateway as it should be.
#[must_use]
pub fn stand_in() -> Option<ExitCode> {
    // SAFETY: the channel that this process was born with, which nobody closes meanwhile.
    let channel = unsafe { BorrowedFd::borrow_raw(CHANNEL_FD) };
    if Heard::next(channel, RecvFlags::PEEK).kind == kind::LOCKDOWN {
        let program = Heard::next(channel, RecvFlags::empty());
        lock_down(&program.payload).unwrap();
    }
    let first = Heard::next(channel, RecvFlags::PEEK);
    assert!(first.payload.len() >= size_of::<Begin>());
    // SAFETY: as many bytes as it has, of a type for which all are valid.
    let begin = unsafe { first.payload.as_ptr().cast::<Begin>().read_unaligned() };
    match begin.chain.as_str() {
        "dies" => Some(ExitCode::from(3)),
        "silent" => loop {
            std::thread::sleep(Duration::from_secs(3600));
        },
        name if name.starts_with("taken") && begin.instance_epoch % 2 == 1 => {
            let gateway = TakenOver::attach(channel);
            gateway.serve()
        }
        _ => None,
    }
}

/// A message of the monitor's.
struct Heard {
    kind: u32,
    payload: Vec<u8>,
    descriptors: Vec<OwnedFd>,
}

impl Heard {
    fn next(channel: BorrowedFd<'_>, flags: RecvFlags) -> Self {
        let mut bytes = vec![0; MESSAGE_MAX_BYTES];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MESSAGE_MAX_DESCRIPTORS))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut slices = [IoSliceMut::new(&mut bytes)];
        let received = recvmsg(
            channel,
            &mut slices,
            &mut ancillary,
            flags | RecvFlags::CMSG_CLOEXEC,
        )
        .unwrap();
        let rights = ancillary.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(rights) => Some(rights),
            _ => None,
        });
        let descriptors = rights.flatten().collect();
        let head = size_of::<MessageHeader>();
        assert!(received.bytes >= head, "the monitor is gone");
        Self {
            kind: u32::from_ne_bytes(bytes[..4].try_into().unwrap()),
            payload: bytes[head..received.bytes].to_vec(),
            descriptors,
        }
    }
}

/// A gateway that was taken over, with all that it was given.
struct TakenOver<'a> {
    channel: BorrowedFd<'a>,
    held: Held,
    listener: TcpListener,
    /// Regions, doorbells, TLS files.
    descriptors: Vec<OwnedFd>,
    /// Connections that are never answered nor closed.
    kept: Vec<TcpStream>,
}

impl<'a> TakenOver<'a> {
    /// Takes everything, and says that it serves, as a gateway does.
    fn attach(channel: BorrowedFd<'a>) -> Self {
        let mut descriptors = Vec::new();
        loop {
            let mut heard = Heard::next(channel, RecvFlags::empty());
            if heard.kind == kind::GO {
                say(channel, kind::READY, &[], &[]).unwrap();
            }
            if heard.kind == kind::LISTEN {
                let listener = heard.descriptors.remove(0).into();
                descriptors.append(&mut heard.descriptors);
                return Self {
                    channel,
                    held: Held::of(&descriptors),
                    listener,
                    descriptors,
                    kept: Vec::new(),
                };
            }
            descriptors.append(&mut heard.descriptors);
        }
    }

    /// Does what each request asks for. Whatever the monitor says from now on, the drain among it, is not
    /// read.
    fn serve(mut self) -> ! {
        loop {
            // The next process may have it not block, as both have the same socket.
            let _ = poll(&mut [PollFd::new(&self.listener, PollFlags::IN)], None);
            let Ok((mut client, _)) = self.listener.accept() else {
                continue;
            };
            let Some(path) = path_of(&mut client) else {
                continue;
            };
            let done = self.act(&path, &client);
            let head = format!(
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                done.len()
            );
            let _ = client.write_all(format!("{head}{done}").as_bytes());
            if path.starts_with("/die/") {
                std::process::abort();
            }
            if path == "/hold" {
                self.kept.push(client);
            }
        }
    }

    fn act(&self, path: &str, client: &TcpStream) -> String {
        let what = path.rsplit('/').next().unwrap_or_default();
        match what {
            "everything" => return hostile::report("/etc/hacher/chains/chain.toml", self.attempts(client)),
            "bells" => abuse_descriptors(),
            "listener" => self.spoil_listener(),
            "files" => self.spoil_files(),
            "log" => spoil_log(),
            number if path.starts_with("/say/") => self.speak_nonsense(number.parse().unwrap(), client),
            with => {
                let _ = self.held.scribble(with.as_bytes());
            }
        }
        MARK.to_owned()
    }

    /// What would hurt others if it were allowed.
    fn attempts(&self, client: &TcpStream) -> Vec<(&'static str, io::Result<()>)> {
        let parent = rustix::process::getppid().map_or(1, |pid| pid.as_raw_nonzero().get());
        let linger = rustix::net::sockopt::set_socket_linger(client, Some(Duration::from_secs(60)));
        let listener = &self.listener;
        let shut = rustix::net::shutdown(listener, rustix::net::Shutdown::Both);
        let size = rustix::net::sockopt::set_socket_recv_buffer_size(listener, 1);
        let timeout = rustix::net::sockopt::set_tcp_user_timeout(listener, 1);
        let truncated = rustix::fs::ftruncate(io::stderr(), 0);
        let nothing_read = |fd: BorrowedFd<'_>| match rustix::io::read(fd, &mut [0; 64]) {
            Ok(0) => Err(io::Error::other("there is nothing")),
            read => read.map(drop).map_err(io::Error::from),
        };
        // SAFETY: a vector that is valid for writing; what is at the other end is what must be refused.
        let read_memory = unsafe {
            let mut byte = 0_u8;
            let own = libc::iovec {
                iov_base: (&raw mut byte).cast(),
                iov_len: 1,
            };
            libc::process_vm_readv(parent, &raw const own, 1, &raw const own, 1, 0)
        };
        // SAFETY: only numbers.
        let opened = unsafe { libc::syscall(libc::SYS_pidfd_open, parent, 0) };
        // SAFETY: as above.
        let traced = unsafe { libc::ptrace(libc::PTRACE_ATTACH, parent, 0, 0) };
        // SAFETY: as above; signal 0 sends nothing.
        let signalled = unsafe { libc::kill(parent, 0) };
        let call = hostile::checked;
        vec![
            ("linger on a client's socket", linger.map_err(io::Error::from)),
            ("shut the listening socket", shut.map_err(io::Error::from)),
            ("size the listening socket", size.map_err(io::Error::from)),
            ("time out its connections", timeout.map_err(io::Error::from)),
            ("truncate the log", truncated.map_err(io::Error::from)),
            ("read the log", nothing_read(io::stderr().as_fd())),
            ("read the terminal", nothing_read(io::stdin().as_fd())),
            ("open a terminal", std::fs::File::open("/dev/tty").map(drop)),
            (
                "read the monitor's memory",
                call(libc::c_long::try_from(read_memory).unwrap()),
            ),
            ("open the monitor", call(opened)),
            ("trace the monitor", call(traced)),
            ("signal the monitor", call(libc::c_long::from(signalled))),
            (
                "open its own memory",
                std::fs::File::open("/proc/self/mem").map(drop),
            ),
        ]
    }

    /// Leaves the socket to its successors in a way that they cannot use.
    fn spoil_listener(&self) {
        use rustix::net::sockopt as options;
        let listener = &self.listener;
        for how in [
            rustix::net::Shutdown::Read,
            rustix::net::Shutdown::Write,
            rustix::net::Shutdown::Both,
        ] {
            let _ = rustix::net::shutdown(listener, how);
        }
        let _ = options::set_socket_linger(listener, Some(Duration::from_secs(60)));
        let _ = options::set_socket_recv_buffer_size(listener, 1);
        let _ = options::set_socket_send_buffer_size(listener, 1);
        let _ = options::set_tcp_user_timeout(listener, 1);
        let _ = rustix::net::listen(listener, 0);
    }

    /// Truncates, writes and moves whatever it was given as a file.
    fn spoil_files(&self) {
        for file in &self.descriptors {
            let _ = rustix::fs::seek(file, rustix::fs::SeekFrom::End(0));
            let _ = rustix::io::pwrite(file, &[0xff; 64], 0);
            let _ = rustix::fs::ftruncate(file, 0);
            let _ = rustix::fs::ftruncate(file, 1 << 40);
        }
    }

    /// Says to the monitor what no gateway says. It ends this process for most of that.
    fn speak_nonsense(&self, number: usize, client: &TcpStream) {
        let channel = self.channel;
        let raw = |bytes: &[u8]| {
            let _ = rustix::net::send(channel, bytes, SendFlags::NOSIGNAL);
        };
        // With bytes that the client has not read, which the last to close would wait for if it could.
        let mut unread = client;
        let beside: Vec<BorrowedFd<'_>> = vec![client.as_fd(), self.listener.as_fd(), channel];
        match number {
            0 => raw(b""),
            1 => raw(b"x"),
            2 => raw(&[0xff; 8]),
            3 => drop(say(channel, kind::READY, b"text", &[])),
            4 => drop(say(channel, kind::DRAINED, &[0xff; 24], &[])),
            5 => drop(say(channel, kind::DRAINED, b"short", &[])),
            6 => drop(say(channel, kind::TLS_TAKEN, b"unasked", &[])),
            7 => drop(say(channel, kind::TLS_REFUSED, &[0x1b; SAID_MAX_BYTES], &[])),
            8 => drop(say(channel, kind::BEGIN, &[0; 4096], &[])),
            9 => {
                let _ = unread.write_all(&[b'x'; 65536]);
                drop(say(channel, kind::READY, &[], &beside));
            }
            10 => while say(channel, kind::READY, &[], &[]).is_ok() {},
            _ => raw(&vec![0; 1 << 16]),
        }
        // It lives on, if it is let.
    }
}

/// Writes what a terminal would obey, lines that are too long, and requests that were never made, as lines of
/// the access log of chains that are not its own.
fn spoil_log() {
    let mut log = io::stderr();
    let forged = |chain: &str, method: &str| {
        format!(
            "\u{1e}{{\"chain\":\"{chain}\",\"invocation\":1,\"method\":\"{method}\",\"path\":\"/forged\",\"status\":200,\
             \"received_bytes\":{max},\"sent_bytes\":{max},\"duration_us\":{max},\"cause\":\"\",\"dropped\":0}}\n",
            max = u64::MAX
        )
    };
    for line in [
        "\u{1b}]0;owned\u{7}\u{1b}[2J\r\u{9b}2J\u{202e}\n".to_owned(),
        forged("own", "POST"),
        forged("shared", "POST"),
        forged("taken", "\\u001b[2J"),
        "x".repeat(1 << 20),
        "\n".repeat(1 << 16),
    ] {
        let _ = log.write_all(line.as_bytes());
    }
}

/// Sends a message with descriptors; waits where there is no room.
fn say(channel: BorrowedFd<'_>, kind: u32, text: &[u8], beside: &[BorrowedFd<'_>]) -> io::Result<()> {
    let count = u32::try_from(text.len()).unwrap();
    let message = [&kind.to_ne_bytes()[..], &count.to_ne_bytes(), text].concat();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(16))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    assert!(beside.is_empty() || ancillary.push(SendAncillaryMessage::ScmRights(beside)));
    sendmsg(
        channel,
        &[IoSlice::new(&message)],
        &mut ancillary,
        SendFlags::NOSIGNAL,
    )?;
    Ok(())
}

/// Reads a head; its path.
fn path_of(client: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut bytes = [0; 1024];
    while !head.windows(4).any(|four| four == b"\r\n\r\n") {
        match client.read(&mut bytes) {
            Ok(0) | Err(_) => return None,
            Ok(count) => head.extend_from_slice(&bytes[..count]),
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    head.split(' ').nth(1).map(str::to_owned)
}
