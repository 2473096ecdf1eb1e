//! What functions print reaches whoever reads standard error; and one who does not read holds up nothing.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use hacher_tests::{Service, function};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::Signal;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Far more than anything here takes, and what a hang is detected by.
const PATIENCE: Duration = Duration::from_secs(60);
const HEAD: &str =
    "chain = \"t\"\nversion = \"1\"\nflow = [\"ingress -> a -> egress\"]\n[ingress]\ndeadline = \"20s\"\n";
/// Bytes of a burst, in lines of 64.
const BURST_BYTES: usize = 1024 * 1024;

fn chain(logs: &str) -> String {
    let more = format!("logs = \"{logs}\"\ntimeout = \"5s\"");
    format!("{HEAD}{}", function("a", "talk", &more))
}

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < end, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A service whose standard error is a file.
struct Heard {
    service: Service,
    messages: PathBuf,
    _folder: TempDir,
}

impl Heard {
    fn start(logs: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let messages = folder.path().join("messages");
        let stdio = Stdio::from(File::create(&messages).unwrap());
        Self {
            service: Service::start_telling(&chain(logs), &[], stdio).unwrap(),
            messages,
            _folder: folder,
        }
    }

    fn count(&self, words: &str) -> usize {
        read(&self.messages).matches(words).count()
    }

    /// Has the function print so many bytes.
    fn print(&self, len_bytes: usize) {
        let reply = self.service.post("t", len_bytes.to_string()).unwrap();
        assert_eq!(
            (reply.status.as_u16(), reply.body.as_ref()),
            (200, &b"printed"[..])
        );
    }
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned()
}

/// A counter of the daemon, over all labels.
fn metric(service: &Service, name: &str) -> usize {
    let text = String::from_utf8(service.operator("/metrics").unwrap().body.to_vec()).unwrap();
    text.lines()
        .filter(|line| line.starts_with(name))
        .filter_map(|line| line.rsplit_once(' ')?.1.parse::<usize>().ok())
        .sum()
}

#[test]
fn lines_are_forwarded_from_the_first_one_on() {
    let heard = Heard::start("forward");
    until("the first line", || {
        heard.count("[t/a#0] before it serves\n") == 1
    });
    heard.print(640);
    until("ten lines", || heard.count("line 00000") == 10);
}

#[test]
fn of_a_burst_each_line_arrives_or_is_counted() {
    let heard = Heard::start("forward");
    heard.print(BURST_BYTES);
    let mut all = (0, 0);
    until("all lines", || {
        all = (
            heard.count("line 00000"),
            metric(&heard.service, "hacher_log_lines_dropped_total"),
        );
        all.0 + all.1 >= BURST_BYTES / 64
    });
    assert_eq!(all.0 + all.1, BURST_BYTES / 64, "{all:?}");
}

#[test]
fn logs_that_are_dropped_are_nowhere() {
    let heard = Heard::start("drop");
    heard.print(BURST_BYTES);
    assert_eq!(heard.service.stop().unwrap(), Some(0));
    assert_eq!(
        read(&heard.messages).matches("line").count(),
        0,
        "{}",
        read(&heard.messages)
    );
}

#[test]
fn logs_outlive_the_daemon_and_the_scribe() {
    let heard = Heard::start("forward");
    for (round, name) in ["hacher-daemon", "hacher-scribe"].into_iter().enumerate() {
        let before = heard.service.process(name).unwrap();
        heard.service.signal(before, Signal::KILL);
        // Printed while nobody reads, or soon after.
        heard.print(6400);
        until(name, || {
            heard.service.process(name).is_some_and(|now| now != before)
        });
        heard.print(6400);
        until("lines of before and after", || {
            heard.count("line 00000") == 200 * (round + 1)
        });
    }
}

#[test]
fn the_last_words_of_a_killed_function_are_there_and_its_replacement_speaks() {
    let heard = Heard::start("forward");
    heard.print(64);
    heard
        .service
        .signal(heard.service.process("a").unwrap(), Signal::KILL);
    until("the part of a line", || heard.count("[t/a#0] printed 64\n") == 1);
    heard.print(64);
    until("its replacement's lines", || {
        heard.count("[t/a#0] before it serves\n") == 2 && heard.count("line 00000") == 2
    });
}

#[test]
fn what_was_printed_last_is_there_when_the_service_has_stopped() {
    let heard = Heard::start("forward");
    heard.print(640);
    let Heard {
        service,
        messages,
        _folder,
    } = heard;
    assert_eq!(service.stop().unwrap(), Some(0));
    let said = read(&messages);
    assert!(said.contains("[t/a#0] printed 640\n"), "{said}");
}

/// Fills the pipe, so that its next writer waits.
fn fill(pipe: &mut File) {
    let flags = fcntl_getfl(&*pipe).unwrap();
    fcntl_setfl(&*pipe, flags | OFlags::NONBLOCK).unwrap();
    while match pipe.write(&[b'x'; 4096]) {
        Ok(_) => true,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    } {}
    fcntl_setfl(&*pipe, flags).unwrap();
}

/// A service whose standard error nobody reads, and its two ends.
fn unheard(logs: &str) -> (Service, File, File) {
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    let stdio = Stdio::from(writer.try_clone().unwrap());
    let service = Service::start_telling(&chain(logs), &[], stdio).unwrap();
    let (reader, mut writer) = (File::from(reader), File::from(writer));
    fill(&mut writer);
    (service, reader, writer)
}

#[test]
fn a_reader_that_does_not_read_holds_up_nothing() {
    for logs in ["forward", "drop"] {
        let (service, mut reader, writer) = unheard(logs);
        let answered = |body: &str| service.post("t", body.to_owned()).unwrap().status.as_u16();
        // More than all pipes on the way hold together.
        for _ in 0..4 {
            assert_eq!(answered(&BURST_BYTES.to_string()), 200, "{logs}");
        }
        assert_ne!(answered("hang"), 200, "{logs}: its timeout is enforced");
        assert_eq!(answered("64"), 200, "{logs}: it was replaced");
        assert_eq!(service.status().unwrap()["chains"][0]["name"], "t");
        let dropped = metric(&service, "hacher_log_lines_dropped_total");
        assert_eq!(dropped > 0, logs == "forward", "{logs}: {dropped}");
        service.signal(service.process("hacher-daemon").unwrap(), Signal::KILL);
        until("the next daemon", || {
            service
                .status()
                .is_ok_and(|status| status["daemon_restarts"] == 1)
        });
        for _ in 0..2 {
            assert_eq!(answered(&BURST_BYTES.to_string()), 200, "{logs}");
        }
        if logs == "forward" {
            // It reads at last.
            let reading = std::thread::spawn(move || {
                let mut said = Vec::new();
                reader.read_to_end(&mut said).unwrap();
                String::from_utf8_lossy(&said).into_owned()
            });
            drop(writer);
            std::thread::sleep(Duration::from_secs(1));
            assert_eq!(answered("64"), 200);
            assert_eq!(service.stop().unwrap(), Some(0));
            let said = reading.join().unwrap();
            assert!(
                said.contains("lines were dropped, because"),
                "{} bytes",
                said.len()
            );
        } else {
            assert_eq!(service.stop().unwrap(), Some(0), "it stops although nobody reads");
        }
    }
}
