//! Forwards what functions print, where their chain file says `logs = "forward"`: line by line to the daemon's standard error,
//! each with the name of its instance before it.
//!
//! Two promises meet here. A function never waits long for its output to be taken, so its pipe is always drained. And the daemon
//! never waits for standard error: lines that find no room there are dropped and counted, and a line says how many, once there
//! is room again. Between the two, a function that prints a burst is held up a little, so that nothing of it is lost while
//! standard error is being read.

use super::metrics;
use crate::watched::{watch, watch_room};
use ::metrics::Counter;
use hacher_trustlet_host::lines::{dropped_notice, pieces, try_write};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::task::{JoinHandle, spawn_local, yield_now};
use tokio::time::{Instant, timeout};

/// The longest line; a longer one is cut into several.
const LINE_MAX_BYTES: usize = 8 * 1024;
/// The longest piece of a line: with a name and a newline it is written at once.
const PIECE_MAX_BYTES: usize = 3840;
/// What is read of one function before it is everybody else's turn: some tens of microseconds of work.
const TURN_BYTES: usize = 16 * 1024;
/// How long a function may be held up for lack of room, and which part of its time: not long enough to be noticed.
const HELD_UP_MAX: Duration = Duration::from_millis(200);
const HELD_UP_PART: u32 = 10;
/// A shorter wait is not worth a timer, which counts whole milliseconds: many of them would add up to more than was meant.
const HELD_UP_MIN: Duration = Duration::from_millis(20);
/// What a function may print: lines beyond are dropped without being looked at, so that one which prints without end costs the
/// daemon little more than reading it.
const BURST_BYTES: u64 = 8 * 1024 * 1024;
const BYTES_PER_SECOND: u64 = 4 * 1024 * 1024;
/// How long the last words of functions that have ended are awaited when the daemon ends.
const FINISH_PATIENCE: Duration = Duration::from_millis(500);
/// How long it is tried to say that lines of a function that has ended were dropped.
const LAST_NOTICE_PATIENCE: Duration = Duration::from_secs(10);

/// Who prints.
#[derive(Debug, Clone)]
pub(super) struct Printer {
    chain: String,
    function: String,
    /// What stands before each line.
    prefix: String,
}

impl Printer {
    /// An instance of a function.
    pub(super) fn function(chain: &str, function: &str, ordinal: u32) -> Self {
        Self {
            chain: chain.to_owned(),
            function: function.to_owned(),
            prefix: format!("[{chain}/{function}#{ordinal}] "),
        }
    }

    /// A gateway: of this chain, or of all (then `chain` is empty).
    pub(super) fn gateway(chain: &str) -> Self {
        let slash = if chain.is_empty() { "" } else { "/" };
        Self {
            chain: chain.to_owned(),
            function: "gateway".to_owned(),
            prefix: format!("[{chain}{slash}gateway] "),
        }
    }
}

/// All pipes that are forwarded.
pub(super) struct Logs {
    room: Rc<Room>,
    tasks: Vec<JoinHandle<()>>,
}

impl Logs {
    /// Nothing is forwarded yet.
    pub(super) fn new() -> Self {
        Self {
            room: Rc::new(Room::new()),
            tasks: Vec::new(),
        }
    }

    /// Forwards until all writers of the pipe are gone.
    pub(super) fn forward(&mut self, printer: Printer, pipe: OwnedFd) {
        self.tasks.retain(|task| !task.is_finished());
        let room = Rc::clone(&self.room);
        self.tasks.push(spawn_local(async move {
            let name = printer.prefix.clone();
            if let Err(error) = Forwarder::new(printer, room).run(pipe).await {
                tell!("hacher-daemon: {name}what it prints cannot be read: {error}");
            }
        }));
    }

    /// Waits a little for what functions that have ended said last.
    pub(super) async fn finish(&mut self) {
        let all = async {
            for task in self.tasks.drain(..) {
                // Its end is all that matters.
                let _ = task.await;
            }
        };
        // Those that live have more to say, and nobody who takes it.
        let _ = timeout(FINISH_PATIENCE, all).await;
    }
}

/// Room on standard error.
struct Room {
    /// `None` where standard error is nothing that can be waited for.
    stderr: Option<AsyncFd<OwnedFd>>,
}

impl Room {
    fn new() -> Self {
        Self {
            stderr: watch_room(io::stderr()).ok(),
        }
    }

    /// Writes `text` as soon as there is room.
    async fn write(&self, text: &str) {
        let Some(stderr) = &self.stderr else {
            return std::future::pending().await;
        };
        let write = |_: &AsyncFd<OwnedFd>| match try_write(text.as_bytes()) {
            true => Ok(()),
            false => Err(io::ErrorKind::WouldBlock.into()),
        };
        loop {
            let Ok(mut ready) = stderr.writable().await else {
                return std::future::pending().await;
            };
            if ready.try_io(write).is_ok() {
                return;
            }
        }
    }
}

/// How long a function may still be held up.
struct Patience {
    left: Duration,
    since: Instant,
}

impl Patience {
    /// How long to wait now, if at all.
    fn left(&mut self) -> Option<Duration> {
        let now = Instant::now();
        let earned = now.duration_since(self.since) / HELD_UP_PART;
        self.since = now;
        self.left = (self.left + earned).min(HELD_UP_MAX);
        (self.left >= HELD_UP_MIN).then_some(self.left)
    }

    fn spend(&mut self, spent: Duration) {
        self.left = self.left.saturating_sub(spent);
    }
}

/// What a function may print now.
struct Allowance {
    bytes: u64,
    since: Instant,
}

impl Allowance {
    fn take(&mut self, bytes: usize) -> bool {
        let now = Instant::now();
        let elapsed_ms = u64::try_from(now.duration_since(self.since).as_millis()).unwrap_or(u64::MAX);
        if elapsed_ms > 0 {
            let earned = elapsed_ms.saturating_mul(BYTES_PER_SECOND / 1000);
            self.bytes = self.bytes.saturating_add(earned).min(BURST_BYTES);
            self.since = now;
        }
        let left = self.bytes.checked_sub(bytes as u64);
        self.bytes = left.unwrap_or(self.bytes);
        left.is_some()
    }
}

struct Forwarder {
    prefix: String,
    room: Rc<Room>,
    line: Vec<u8>,
    dropped_total: Counter,
    /// Dropped since a line last told of it.
    dropped: u64,
    patience: Patience,
    allowance: Allowance,
}

impl Forwarder {
    fn new(printer: Printer, room: Rc<Room>) -> Self {
        let since = Instant::now();
        Self {
            dropped_total: ::metrics::counter!(
                metrics::LOG_LINES_DROPPED.name, "chain" => printer.chain, "function" => printer.function
            ),
            prefix: printer.prefix,
            room,
            line: Vec::new(),
            dropped: 0,
            patience: Patience {
                left: HELD_UP_MAX,
                since,
            },
            allowance: Allowance {
                bytes: BURST_BYTES,
                since,
            },
        }
    }

    async fn run(mut self, pipe: OwnedFd) -> io::Result<()> {
        let flags = fcntl_getfl(&pipe)?;
        fcntl_setfl(&pipe, flags | OFlags::NONBLOCK)?;
        let pipe = watch(pipe)?;
        let mut buffer = vec![0; TURN_BYTES];
        loop {
            let count = if self.dropped > 0 {
                let notice = dropped_notice(&self.prefix, self.dropped);
                tokio::select! {
                    biased;
                    count = read(&pipe, &mut buffer) => count?,
                    () = self.room.write(&notice) => {
                        self.dropped = 0;
                        continue;
                    }
                }
            } else {
                read(&pipe, &mut buffer).await?
            };
            if count == 0 {
                break;
            }
            for part in buffer
                .get(..count)
                .unwrap_or_default()
                .split_inclusive(|byte| *byte == b'\n')
            {
                self.take(part).await;
            }
            yield_now().await;
        }
        self.end_line().await;
        if self.dropped > 0 {
            let notice = dropped_notice(&self.prefix, self.dropped);
            let _ = timeout(LAST_NOTICE_PATIENCE, self.room.write(&notice)).await;
        }
        Ok(())
    }

    /// Takes a line, or a part of one.
    async fn take(&mut self, mut part: &[u8]) {
        while !part.is_empty() {
            let most = LINE_MAX_BYTES - self.line.len();
            let (taken, rest) = part.split_at(most.min(part.len()));
            part = rest;
            self.line.extend_from_slice(taken);
            if self.line.last() == Some(&b'\n') || self.line.len() >= LINE_MAX_BYTES {
                self.end_line().await;
            }
        }
    }

    /// Prints what there is of a line.
    async fn end_line(&mut self) {
        let line = core::mem::take(&mut self.line);
        let printed = line.is_empty() || self.allowance.take(line.len()) && self.print(&line).await;
        if !printed {
            self.dropped += 1;
            self.dropped_total.increment(1);
        }
        // Keeps its memory.
        self.line = line;
        self.line.clear();
    }

    async fn print(&mut self, line: &[u8]) -> bool {
        if self.dropped > 0 {
            let notice = dropped_notice(&self.prefix, self.dropped);
            if !self.write(&notice).await {
                return false;
            }
            self.dropped = 0;
        }
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let text = harmless(line.strip_suffix(b"\r").unwrap_or(line));
        if text.is_empty() {
            return self.write(&format!("{}\n", self.prefix)).await;
        }
        for piece in pieces(&text, PIECE_MAX_BYTES) {
            if !self.write(&format!("{}{piece}\n", self.prefix)).await {
                return false;
            }
        }
        true
    }

    /// Writes now, or soon, or not.
    async fn write(&mut self, text: &str) -> bool {
        if try_write(text.as_bytes()) {
            return true;
        }
        let Some(left) = self.patience.left() else {
            return false;
        };
        let before = Instant::now();
        let written = timeout(left, self.room.write(text)).await.is_ok();
        self.patience.spend(before.elapsed());
        written
    }
}

async fn read(pipe: &AsyncFd<OwnedFd>, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        let mut ready = pipe.readable().await?;
        let read =
            ready.try_io(|pipe| rustix::io::read(pipe.get_ref(), &mut *buffer).map_err(io::Error::from));
        if let Ok(count) = read {
            return count;
        }
    }
}

/// A line as text that does not steer the operator's terminal: no control characters, and none that reverse what follows.
fn harmless(line: &[u8]) -> String {
    let steers = |c: char| {
        c.is_control() && c != '\t' || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    String::from_utf8_lossy(line)
        .chars()
        .map(|c| if steers(c) { char::REPLACEMENT_CHARACTER } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_cannot_steer_a_terminal() {
        assert_eq!(harmless(b"a\x1b[2Jb\tc\xff"), "a\u{fffd}[2Jb\tc\u{fffd}");
        assert_eq!(harmless("x\u{202e}y\u{9b}z".as_bytes()), "x\u{fffd}y\u{fffd}z");
    }

    #[test]
    fn who_prints_without_end_uses_up_its_allowance() {
        let mut allowance = Allowance {
            bytes: 100,
            since: Instant::now() + Duration::from_secs(3600),
        };
        assert!(allowance.take(60));
        assert!(!allowance.take(60));
        assert!(allowance.take(40));
    }

    #[test]
    fn a_function_is_held_up_for_a_bounded_time() {
        let mut patience = Patience {
            left: Duration::ZERO,
            since: Instant::now() - Duration::from_secs(3600),
        };
        assert_eq!(patience.left(), Some(HELD_UP_MAX));
        patience.spend(Duration::from_secs(1));
        patience.since = Instant::now() + Duration::from_secs(3600);
        assert_eq!(patience.left(), None);
    }
}
