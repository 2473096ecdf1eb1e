//! The scribe: a jailed process that copies what the monitor and the daemon say to standard output and
//! standard error. It alone writes there, and may wait there for as long as it likes: a terminal that is
//! stopped, or a reader that does not read, holds up nobody else.
//!
//! ```text
//!    monitor ---- pipe ----+
//!    loader ----- pipe ----+---> scribe ---> standard error, whole lines
//!    daemon ----- pipe ----+        |
//!    both ------- pipe -------------+---> standard output
//! ```
//!
//! It trusts neither of them but the loader, which colours what it says: nothing of the others reaches a
//! terminal that the terminal would obey.

use crate::lines::visible;
use hacher_libos_net::attach::seqpacket;
use hacher_libos_net::process::take_channel;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::{Errno, read, write};
use rustix::net::RecvFlags;
use std::io::{stderr, stdout};
use std::process::ExitCode;
use std::thread;

/// The name that it is started under.
pub const ROLE: &str = "hacher-scribe";
/// Most bytes that are read at once, and of a line that is waited for the end of.
const PIECE_BYTES: usize = 64 * 1024;

/// The reading ends that the scribe is given, in this order, beside one message.
pub(crate) struct Sources<'a> {
    /// What the monitor says, to standard error.
    pub(crate) monitor: BorrowedFd<'a>,
    /// What the loader says, to standard error.
    pub(crate) loader: BorrowedFd<'a>,
    /// What the daemon says, and what it forwards, to standard error.
    pub(crate) daemon: BorrowedFd<'a>,
    /// What the loader and the daemon print, to standard output.
    pub(crate) results: BorrowedFd<'a>,
}

impl Sources<'_> {
    /// Gives them to a scribe.
    pub(crate) fn send(&self, channel: &OwnedFd) -> Result<(), Errno> {
        let files = [self.monitor, self.loader, self.daemon, self.results];
        seqpacket::send(channel, &[0], &files, rustix::net::SendFlags::empty())
    }
}

/// The scribe's life, which ends when all writers are gone.
#[must_use]
pub fn main() -> ExitCode {
    let files = take_channel().and_then(|channel| {
        let received = seqpacket::receive(&channel, &mut [0; 8], RecvFlags::empty()).ok()??;
        <[OwnedFd; 4]>::try_from(received.1).ok()
    });
    let Some([monitor, loader, daemon, results]) = files else {
        // Standard error is somebody's who started this by hand.
        crate::lines::say(
            crate::lines::Level::Error,
            &crate::lines::About::default(),
            format_args!("this process is started by `hacher-fabric serve`"),
        );
        return ExitCode::from(2);
    };
    let printer = thread::Builder::new().spawn(move || copy(vec![(results, Trust::None)], stdout().as_fd()));
    let sources = vec![
        (monitor, Trust::None),
        (loader, Trust::Full),
        (daemon, Trust::None),
    ];
    copy(sources, stderr().as_fd());
    match printer.map(thread::JoinHandle::join) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

/// Whether what comes may be what a terminal obeys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trust {
    Full,
    None,
}

struct Source {
    pipe: OwnedFd,
    trust: Trust,
    /// What was read of a line that has not ended.
    line: Vec<u8>,
}

/// Copies lines until all writers of all pipes are gone.
fn copy(pipes: Vec<(OwnedFd, Trust)>, to: BorrowedFd<'_>) {
    let mut sources: Vec<Source> = pipes
        .into_iter()
        .map(|(pipe, trust)| Source {
            pipe,
            trust,
            line: Vec::new(),
        })
        .collect();
    let mut buffer = vec![0; PIECE_BYTES];
    while !sources.is_empty() {
        let mut polled: Vec<PollFd<'_>> = sources
            .iter()
            .map(|source| PollFd::new(&source.pipe, PollFlags::IN))
            .collect();
        if poll(&mut polled, None).is_err() {
            continue;
        }
        let ready: Vec<bool> = polled.iter().map(|polled| !polled.revents().is_empty()).collect();
        let mut ready = ready.into_iter();
        sources.retain_mut(|source| ready.next() != Some(true) || source.copy_some(&mut buffer, to));
    }
}

impl Source {
    /// Reads once, and writes the lines that are whole; `false` when there is nothing more to come.
    fn copy_some(&mut self, buffer: &mut [u8], to: BorrowedFd<'_>) -> bool {
        let count = match read(&self.pipe, &mut *buffer) {
            Err(Errno::INTR | Errno::AGAIN) => return true,
            Err(_) | Ok(0) => {
                self.write(self.line.len(), to);
                return false;
            }
            Ok(count) => count,
        };
        self.line
            .extend_from_slice(buffer.get(..count).unwrap_or_default());
        let newline = self.line.iter().rposition(|byte| *byte == b'\n');
        let whole = match newline {
            Some(newline) => newline + 1,
            None if self.line.len() >= PIECE_BYTES => self.line.len(),
            None => return true,
        };
        self.write(whole, to);
        self.line.drain(..whole);
        true
    }

    /// Writes so many bytes of what was read.
    fn write(&self, len_bytes: usize, to: BorrowedFd<'_>) {
        let bytes = self.line.get(..len_bytes).unwrap_or_default();
        match self.trust {
            Trust::Full => write_all(to, bytes),
            Trust::None => write_all(to, visible(&String::from_utf8_lossy(bytes)).as_bytes()),
        }
    }
}

/// Writes all of it, however long that takes. What cannot be written is dropped: there is nobody else to
/// tell.
fn write_all(to: BorrowedFd<'_>, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match write(to, bytes) {
            Err(Errno::INTR) => {}
            // Somebody else who has this terminal or pipe wants it so.
            Err(Errno::AGAIN) => {
                let _ = poll(&mut [PollFd::from_borrowed_fd(to, PollFlags::OUT)], None);
            }
            Err(_) => return,
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::pipe::pipe;

    #[test]
    fn lines_of_two_sources_stay_whole_and_the_last_one_needs_no_newline() {
        let (first, first_in) = pipe().unwrap();
        let (second, second_in) = pipe().unwrap();
        let (out, out_in) = pipe().unwrap();
        let sources = vec![(first, Trust::None), (second, Trust::Full)];
        let copying = thread::spawn(move || copy(sources, out_in.as_fd()));
        write(&first_in, b"first ").unwrap();
        write(&second_in, b"second\n").unwrap();
        let mut buffer = [0; 64];
        assert_eq!(read(&out, &mut buffer).unwrap(), 7);
        write(&first_in, b"is \x1b[2Jwhole\nlast \xff").unwrap();
        drop((first_in, second_in));
        copying.join().unwrap();
        let mut rest = Vec::new();
        while let Ok(count @ 1..) = read(&out, &mut buffer) {
            rest.extend_from_slice(&buffer[..count]);
        }
        let rest = String::from_utf8(rest).unwrap();
        assert_eq!(rest, "first is \\u{1b}[2Jwhole\nlast \u{fffd}");
    }
}
