//! Forwards what functions print, where their chain file says `logs = "forward"`: line by line to the
//! daemon's standard error, as all lines are written (`lines.rs` of `trustlet-host`), each with its instance,
//! and with the request that this one is at work on. That is what its page says when the line is read, a
//! moment after it was printed: a function that is through with a request meanwhile and has begun with
//! another is taken to speak of that one.
//!
//! Gateways print lines of the access log, which are checked and written anew (`gateway/access.rs`).
//!
//! Two promises meet here. A function never waits long for its output to be taken, so its pipe is always
//! drained. And the daemon never waits for standard error: lines that find no room there are dropped and
//! counted, and a line says how many, once there is room again. Between the two, a function that prints a
//! burst is held up a little, so that nothing of it is lost while standard error is being read.

use super::history::AtWork;
use super::metrics;
use super::printed_level::{level_of, level_of_event};
use super::tables::{Chain, Key, Tables};
use super::tracing::Tracer;
use ::metrics::Counter;
use hacher_http::access::{MARK, Record};
use hacher_trustlet_host::calls::InstanceState;
use hacher_trustlet_host::lines::{self, About, Level, Line, Value, dropped_notice, try_write};
use hacher_trustlet_host::tell;
use hacher_watched::{watch, watch_room};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use std::cell::RefCell;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::task::{JoinHandle, spawn_local, yield_now};
use tokio::time::{Instant, timeout};

/// The longest line; a longer one is cut into several.
const LINE_MAX_BYTES: usize = 8 * 1024;
/// What is read of one function before it is everybody else's turn: some tens of microseconds of work.
const TURN_BYTES: usize = 16 * 1024;
/// How long a function may be held up for lack of room, and which part of its time: not long enough to be
/// noticed.
const HELD_UP_MAX: Duration = Duration::from_millis(200);
const HELD_UP_PART: u32 = 10;
/// A shorter wait is not worth a timer, which counts whole milliseconds: many of them would add up to more
/// than was meant.
const HELD_UP_MIN: Duration = Duration::from_millis(20);
/// What may be written of one function, with what stands around its text: lines beyond are dropped without
/// being looked at, so that one which prints without end costs the daemon little more than reading it.
const BURST_BYTES: u64 = 8 * 1024 * 1024;
const BYTES_PER_SECOND: u64 = 4 * 1024 * 1024;
/// How long the last words of functions that have ended are awaited when the daemon ends.
const FINISH_PATIENCE: Duration = Duration::from_millis(500);
/// How long it is tried to say that lines of a function that has ended were dropped.
const LAST_NOTICE_PATIENCE: Duration = Duration::from_secs(10);

/// Whom a line is about.
pub(super) fn about<'a>(
    chain: &'a str,
    function: &'a str,
    instance: Option<u32>,
    record: Option<AtWork>,
) -> About<'a> {
    About {
        chain,
        function,
        instance,
        invocation: record.map(|record| record.invocation),
        attempt: record.map(|record| record.attempt),
    }
}

/// Who prints.
#[derive(Debug, Clone)]
pub(super) struct Printer {
    chain: String,
    function: String,
    ordinal: Option<u32>,
    /// The instance and its epoch; nothing for a gateway.
    instance: Option<(Key, u32)>,
}

impl Printer {
    /// A process of an instance of a function.
    pub(super) fn function(chain: &str, function: &str, ordinal: u32, instance: (Key, u32)) -> Self {
        Self {
            chain: chain.to_owned(),
            function: function.to_owned(),
            ordinal: Some(ordinal),
            instance: Some(instance),
        }
    }

    /// A gateway: of this chain, or of all (then `chain` is empty).
    pub(super) fn gateway(chain: &str) -> Self {
        Self {
            chain: chain.to_owned(),
            function: "gateway".to_owned(),
            ordinal: None,
            instance: None,
        }
    }

    /// The record that it is at work on, or was last.
    fn record(&self, tables: &Tables) -> Option<AtWork> {
        let ((chain, number), epoch) = self.instance?;
        let instance = tables.instance(chain, number)?;
        if instance.epoch != epoch {
            // The page speaks of its successor.
            return instance.history.last_end?.record;
        }
        // Before a process serves, its page speaks of its predecessor.
        (instance.state != InstanceState::Starting).then(|| instance.last_record())?
    }
}

/// All pipes that are forwarded.
pub(super) struct Logs {
    tables: Rc<RefCell<Tables>>,
    /// Receives the access-log lines of traced requests.
    tracer: Option<Rc<Tracer>>,
    room: Rc<Room>,
    tasks: Vec<JoinHandle<()>>,
}

impl Logs {
    /// Nothing is forwarded yet.
    pub(super) fn new(tables: Rc<RefCell<Tables>>, tracer: Option<Rc<Tracer>>) -> Self {
        Self {
            tables,
            tracer,
            room: Rc::new(Room::new()),
            tasks: Vec::new(),
        }
    }

    /// Forwards until all writers of the pipe are gone.
    pub(super) fn forward(&mut self, printer: Printer, pipe: OwnedFd) {
        self.tasks.retain(|task| !task.is_finished());
        let mut forwarder = Forwarder::new(printer.clone(), Rc::clone(&self.room), Rc::clone(&self.tables));
        forwarder.tracer = self.tracer.clone();
        self.tasks.push(spawn_local(async move {
            if let Err(error) = forwarder.run(pipe).await {
                let about = about(&printer.chain, &printer.function, printer.ordinal, None);
                tell!(Warning, about; "what it prints cannot be read: {error}");
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

    /// What a line that was let through took beyond what it was let through for.
    fn spend(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes as u64);
    }
}

struct Forwarder {
    printer: Printer,
    tables: Rc<RefCell<Tables>>,
    tracer: Option<Rc<Tracer>>,
    /// What it was at work on when it was last read.
    record: Option<AtWork>,
    room: Rc<Room>,
    line: Vec<u8>,
    dropped_total: Counter,
    /// Dropped since a line last told of it.
    dropped: u64,
    patience: Patience,
    allowance: Allowance,
    /// Bytes of a line without text, at least about.
    around_bytes: usize,
}

impl Forwarder {
    fn new(printer: Printer, room: Rc<Room>, tables: Rc<RefCell<Tables>>) -> Self {
        let since = Instant::now();
        let mut new = Self {
            dropped_total: ::metrics::counter!(
                metrics::LOG_LINES_DROPPED.name, "chain" => printer.chain.clone(), "function" => printer.function.clone()
            ),
            printer,
            tables,
            tracer: None,
            record: None,
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
            around_bytes: 0,
        };
        let nobody = AtWork {
            invocation: 0,
            attempt: 0,
        };
        let empty = new.line(Level::Info, "", Some(nobody)).pieces();
        new.around_bytes = empty.iter().map(String::len).sum();
        new
    }

    async fn run(mut self, pipe: OwnedFd) -> io::Result<()> {
        let flags = fcntl_getfl(&pipe)?;
        fcntl_setfl(&pipe, flags | OFlags::NONBLOCK)?;
        let pipe = watch(pipe)?;
        let mut buffer = vec![0; TURN_BYTES];
        loop {
            let count = if self.dropped > 0 {
                let notice = self.notice();
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
            self.record = self.printer.record(&self.tables.borrow());
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
            let notice = self.notice();
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
        let printed =
            line.is_empty() || self.allowance.take(line.len() + self.around_bytes) && self.print(&line).await;
        if !printed {
            self.note_dropped(1);
        }
        // Keeps its memory.
        self.line = line;
        self.line.clear();
    }

    /// A line that says how many were dropped.
    fn notice(&self) -> String {
        let text = dropped_notice(self.dropped);
        self.line(Level::Warning, &text, None).pieces().concat()
    }

    fn line<'a>(&'a self, level: Level, text: &'a str, record: Option<AtWork>) -> Line<'a> {
        let printer = &self.printer;
        Line {
            level,
            source: lines::FUNCTION,
            about: about(&printer.chain, &printer.function, printer.ordinal, record),
            more: &[],
            text,
        }
    }

    async fn print(&mut self, line: &[u8]) -> bool {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let record = self.access_record(line);
        if let Some(record) = &record {
            self.note_dropped(record.dropped);
            if let Some(tracer) = &self.tracer {
                tracer.request(record);
            }
            if !record.is_logged {
                return true;
            }
        }
        if self.dropped > 0 {
            let notice = self.notice();
            if !self.write(&notice).await {
                return false;
            }
            self.dropped = 0;
        }
        let pieces = match record {
            Some(record) => access_line(&record),
            None => {
                let text = String::from_utf8_lossy(line);
                let (level, text) = match self.printer.instance {
                    // It is a program of ours.
                    None => level_of(&text),
                    Some(_) => (level_of_event(&text), &*text),
                };
                // A newline is no part of it.
                self.line(level, text, self.record).pieces()
            }
        };
        // Escapes and further pieces make more of a line than was asked for.
        let bytes = pieces.iter().map(String::len).sum::<usize>();
        self.allowance
            .spend(bytes.saturating_sub(line.len() + self.around_bytes));
        for piece in pieces {
            if !self.write(&piece).await {
                return false;
            }
        }
        true
    }

    /// What a gateway says of a request, if it is one of a chain that this gateway serves, or of none.
    fn access_record(&self, line: &[u8]) -> Option<Record> {
        let record = line
            .strip_prefix(&[MARK])
            .filter(|_| self.printer.instance.is_none())?;
        let record: Record = serde_json::from_slice(record).ok()?;
        if !record.is_bounded() {
            return None;
        }
        let tables = self.tables.borrow();
        let may = |chain: &Chain| {
            let gateway = tables.gateway(chain.gateway);
            let own = gateway.is_some_and(|gateway| gateway.own);
            if own {
                chain.name == self.printer.chain
            } else {
                self.printer.chain.is_empty()
            }
        };
        let is_known = |chain: &&Chain| chain.name == record.chain && may(chain);
        (record.chain.is_empty() || tables.chains.iter().any(|chain| is_known(&chain))).then_some(record)
    }

    /// Counts lines that a gateway has dropped itself; the next line says so.
    fn note_dropped(&mut self, count: u64) {
        self.dropped = self.dropped.saturating_add(count);
        self.dropped_total.increment(count);
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

/// A line of the access log.
fn access_line(record: &Record) -> Vec<String> {
    let status = match record.status {
        0 => "-".to_owned(),
        status => status.to_string(),
    };
    let known = |text: &str| match text.is_empty() {
        true => "-".to_owned(),
        false => text.to_owned(),
    };
    let text = format!("{} {} {status}", known(&record.method), known(&record.path));
    let mut more = vec![
        ("method", Value::Text(&record.method)),
        ("path", Value::Text(&record.path)),
        ("status", Value::Number(record.status.into())),
        ("received_bytes", Value::Number(record.received_bytes)),
        ("sent_bytes", Value::Number(record.sent_bytes)),
        ("duration_us", Value::Number(record.duration_us)),
    ];
    if !record.cause.is_empty() {
        more.push(("cause", Value::Text(&record.cause)));
    }
    if lines::format() != lines::Format::Json {
        // The text has said these.
        more.drain(..3);
    }
    let line = Line {
        level: Level::Info,
        source: lines::ACCESS,
        about: About {
            chain: &record.chain,
            function: "gateway",
            invocation: record.invocation,
            ..About::default()
        },
        more: &more,
        text: &text,
    };
    line.pieces()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hacher_libos_net::clock;

    #[test]
    fn who_prints_without_end_uses_up_its_allowance() {
        let mut allowance = Allowance {
            bytes: 100,
            since: Instant::now() + Duration::from_secs(3600),
        };
        assert!(allowance.take(60));
        assert!(!allowance.take(60));
        assert!(allowance.take(40));
        allowance.spend(1);
        assert_eq!(allowance.bytes, 0);
    }

    #[test]
    fn what_stands_around_a_line_counts_as_well() {
        let tables = Rc::new(RefCell::new(Tables {
            began: clock::now(),
            backend: String::new(),
            snp: false,
            measurements: [[0; 48]; 2],
            isolation_missing: Vec::new(),
            daemon_restarts: 0,
            gateways: Vec::new(),
            chains: Vec::new(),
        }));
        let printer = Printer::function("chain", "function", 0, ((0, 1), 1));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut forwarder = Forwarder::new(printer, Rc::new(Room { stderr: None }), tables);
            let around = forwarder.around_bytes;
            assert!(around > "[chain/function#0] \n".len(), "{around}");
            // As many empty lines as there is room for, and no more.
            forwarder.allowance.bytes = (around as u64 + 1) * 3;
            forwarder.allowance.since = Instant::now() + Duration::from_secs(3600);
            for _ in 0..5 {
                forwarder.take(b"\n").await;
            }
            assert_eq!(forwarder.dropped, 2);
            // A control character is written as an escape.
            forwarder.dropped = 0;
            forwarder.allowance.bytes = (around as u64 + 101) * 4;
            for _ in 0..5 {
                forwarder.take(&[&[1; 100][..], b"\n"].concat()).await;
            }
            assert!(forwarder.dropped > 1, "{}", forwarder.dropped);
        });
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
