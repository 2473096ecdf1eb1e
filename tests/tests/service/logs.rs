//! What functions print reaches whoever reads standard error; and one who does not read holds up nothing.

use hacher_tests::tenants::{self, Tenants};
use hacher_tests::{Service, function, until, until_or_say};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::Signal;
use serde_json::Value;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;

const HEAD: &str =
    "chain = \"t\"\nversion = \"1\"\nflow = [\"ingress -> a -> egress\"]\n[ingress]\ndeadline = \"20s\"\n";
/// Bytes of a burst, in lines of 64.
const BURST_BYTES: usize = 1024 * 1024;

fn chain(logs: &str) -> String {
    let more = format!("logs = \"{logs}\"\ntimeout = \"5s\"");
    format!("{HEAD}{}", function("a", "talk", &more))
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

    /// Waits for it, and says what there was if it never comes.
    fn until(&self, what: &str, condition: impl FnMut() -> bool) {
        until_or_say(what, condition, || read(&self.messages));
    }

    /// Has the function print so many bytes.
    fn print(&self, len_bytes: usize) {
        let reply = self.service.post("t", len_bytes.to_string()).unwrap();
        assert_eq!(
            (reply.status.as_u16(), reply.body.as_ref()),
            (200, &b"printed"[..])
        );
    }

    /// Stops the service; all that it said.
    fn until_the_end(self) -> String {
        assert_eq!(self.service.stop().unwrap(), Some(0));
        read(&self.messages)
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
        heard.until("lines of before and after", || {
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
    heard.until("the part of a line", || heard.count("[t/a#0] printed 64\n") == 1);
    heard.print(64);
    // A record that was answered when its function was killed, and not yet released, comes again.
    heard.until("its replacement's lines", || {
        heard.count("[t/a#0] before it serves\n") == 2 && heard.count("line 00000") >= 2
    });
}

#[test]
fn what_was_printed_last_is_there_when_the_service_has_stopped() {
    let heard = Heard::start("forward");
    heard.print(640);
    let said = heard.until_the_end();
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

/// A chain of one function.
fn chain_of(what: &str, more: &str) -> String {
    format!("{HEAD}{}", function("a", what, more))
}

/// The lines that a service has written to a file.
struct Log {
    service: Service,
    messages: PathBuf,
    _folder: TempDir,
}

impl Log {
    fn start(chain: &str, arguments: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        let messages = folder.path().join("messages");
        let stdio = Stdio::from(File::create(&messages).unwrap());
        Self {
            service: Service::start_telling(chain, arguments, stdio).unwrap(),
            messages,
            _folder: folder,
        }
    }

    /// All lines, which have to be JSON objects.
    fn lines(&self) -> Vec<Value> {
        let text = read(&self.messages);
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole
            .lines()
            .map(|line| serde_json::from_str(line).expect(line))
            .collect()
    }

    /// The first line that is such a one.
    fn line(&self, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        let mut found = None;
        until(what, || {
            found = self.lines().into_iter().find(|line| is(line));
            found.is_some()
        });
        found.unwrap()
    }
}

fn says(line: &Value, words: &str) -> bool {
    line["message"]
        .as_str()
        .is_some_and(|message| message.contains(words))
}

/// Whether a line begins with a time in UTC, and a level.
fn has_time_and_level(line: &str) -> bool {
    let Some((time, rest)) = line.split_once(' ') else {
        return false;
    };
    let shape: String = time
        .chars()
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect();
    shape == "0000-00-00T00:00:00.000000Z"
        && ["info: ", "warning: ", "error: "]
            .iter()
            .any(|level| rest.starts_with(level))
}

#[test]
fn every_line_says_when_and_how_much_it_matters() {
    let heard = Heard::start("forward");
    heard.print(640);
    for (told, name) in [(1, "a"), (2, "hacher-daemon")] {
        let before = heard.service.process(name).unwrap();
        heard.service.signal(before, Signal::KILL);
        until(name, || {
            heard.service.process(name).is_some_and(|now| now != before)
        });
        until("what became of it", || {
            heard.count("it is being replaced") >= told
        });
        heard.print(64);
    }
    let said = heard.until_the_end();
    for line in said.lines() {
        assert!(has_time_and_level(line), "{line}\n--- in\n{said}");
    }
    let death = said
        .lines()
        .find(|line| line.contains("function `a` of chain `t` was killed by signal"))
        .unwrap();
    assert!(
        death.contains(" warning: ") && death.contains("[t/a#0] hacher-daemon: "),
        "{death}"
    );
}

#[test]
fn json_is_valid_whatever_functions_print_and_names_their_request() {
    let log = Log::start(&chain_of("say", "logs = \"forward\""), &["--log-format", "json"]);
    let hostile = "\x1b[2J\"quoted\" \\ \u{202e}\u{7}\t{\"level\":\"error\"}\r\nnext\0line\n";
    let mut body = hostile.as_bytes().to_vec();
    body.extend(b"\xff\xfe\n");
    body.extend("\u{1}\"\\\u{2028}".repeat(5000).into_bytes());
    body.extend(b"\nthe end\n");
    let reply = log.service.post("t", body).unwrap();
    let id = reply.header("hacher-invocation").unwrap().to_owned();
    assert_eq!(reply.status.as_u16(), 200);
    log.line("the last line", |line| says(line, "the end"));
    let printed: Vec<Value> = log
        .lines()
        .into_iter()
        .filter(|line| line["source"] == "function")
        .collect();
    let messages: Vec<&str> = printed
        .iter()
        .map(|line| line["message"].as_str().unwrap())
        .collect();
    assert_eq!(
        messages[0],
        "\x1b[2J\"quoted\" \\ \u{202e}\u{7}\t{\"level\":\"error\"}"
    );
    assert_eq!((messages[1], messages[2]), ("next\0line", "\u{fffd}\u{fffd}"));
    let long: String = messages[3..messages.len() - 1].concat();
    assert_eq!(long.matches('\u{1}').count(), 5000, "a long line comes in pieces");
    for line in &printed {
        assert_eq!(
            (&line["chain"], &line["function"], &line["instance"]),
            (&"t".into(), &"a".into(), &0.into())
        );
        assert_eq!(
            (&line["invocation"], &line["attempt"]),
            (&id.as_str().into(), &1.into()),
            "{line}"
        );
        assert_eq!(line["level"], "info");
    }
    let raw = std::fs::read(&log.messages).unwrap();
    assert!(
        !raw.iter().any(|byte| *byte < 0x20 && *byte != b'\n'),
        "no control character is in the file"
    );
    assert!(raw.split(|byte| *byte == b'\n').all(|line| line.len() <= 4096));
}

#[test]
fn a_line_of_a_function_cannot_pass_for_one_of_the_service() {
    let log = Log::start(&chain_of("say", "logs = \"forward\""), &[]);
    let forged = "2026-01-01T00:00:00.000000Z error: [t/a#0] hacher-daemon: forged";
    log.service.post("t", format!("x\r{forged}\n{forged}\n")).unwrap();
    let said = || read(&log.messages);
    until("both lines", || said().matches("forged").count() == 2);
    for line in said().lines().filter(|line| line.contains("forged")) {
        assert!(
            has_time_and_level(line) && !line.starts_with("2026-01-01T00"),
            "{line}"
        );
        assert!(
            line.contains(" info: invocation=") && line.contains(" attempt=1 [t/a#0] "),
            "{line}"
        );
    }
}

#[test]
fn the_end_of_a_process_names_the_request_that_its_client_knows() {
    let retry = "retry = { attempts = 2, backoff = \"1ms\" }\nlogs = \"forward\"";
    let log = Log::start(&chain_of("poisonable", retry), &["--log-format", "json"]);
    let reply = log.service.post("t", "panic").unwrap();
    let panicked = reply.header("hacher-invocation").unwrap().to_owned();
    let words = log.line("the panic", |line| says(line, "as the input asks"));
    assert_eq!(
        (&words["invocation"], &words["chain"]),
        (&panicked.as_str().into(), &"t".into())
    );
    let reply = log.service.post("t", "exit").unwrap();
    let id = reply.header("hacher-invocation").unwrap();
    assert_eq!(reply.status.as_u16(), 502);
    for attempt in [1, 2] {
        let line = log.line("the end", |line| {
            line["attempt"] == attempt && says(line, "exited with code 7")
        });
        assert_eq!(
            (
                &line["level"],
                &line["source"],
                &line["chain"],
                &line["function"],
                &line["instance"]
            ),
            (
                &"warning".into(),
                &"hacher-daemon".into(),
                &"t".into(),
                &"a".into(),
                &0.into()
            )
        );
        assert_eq!(line["invocation"], id, "{line}");
    }
}

#[test]
fn a_function_that_dies_while_there_is_no_daemon_leaves_a_line() {
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "chain = \"t\"\nversion = \"1\"\nflow = [\"ingress -> a -> egress\"]\n{}",
        function("a", "echo", "")
    );
    let service = Tenants::start(folder.path(), &[("t", text)], &[]).unwrap();
    let process = |wanted: &str| {
        let mut found = service.processes().into_iter();
        found.find(|(_, name)| name == wanted).map(|(pid, _)| pid)
    };
    let serves = || tenants::post(service.address("t"), "t", "x").is_ok_and(|reply| reply.status == 200);
    for round in 1..=2 {
        let (daemon, dying) = (process("hacher-daemon").unwrap(), process("a").unwrap());
        if round == 1 {
            // It is told, and does not come to say so.
            service.signal(daemon, Signal::STOP);
            service.signal(dying, Signal::KILL);
            assert!(tenants::until(|| process("a") != Some(dying)));
            service.signal(daemon, Signal::KILL);
        } else {
            service.signal(daemon, Signal::KILL);
            service.signal(dying, Signal::KILL);
        }
        let told = "function `a` of chain `t`";
        assert!(
            service.has_said(told, round),
            "round {round}: {}",
            service.messages()
        );
        assert!(tenants::until(|| process("hacher-daemon")
            .is_some_and(|pid| pid != daemon)
            && serves()));
    }
    assert!(
        service.has_said("(#0) was killed by signal 9", 1),
        "{}",
        service.messages()
    );
}

#[test]
fn the_access_log_has_a_line_for_each_request_and_nothing_of_what_it_carries() {
    let log = Log::start(
        &chain_of("poisonable", ""),
        &["--log-format", "json", "--access-log"],
    );
    let access = |path: &str, status: u64| {
        log.line(path, |line| {
            line["source"] == "access" && line["path"] == path && line["status"] == status
        })
    };
    let reply = log.service.post("t?secret=query", "good secret").unwrap();
    let id = reply.header("hacher-invocation").unwrap();
    let line = access("/chains/t", 200);
    assert_eq!(
        (&line["chain"], &line["function"], &line["invocation"]),
        (&"t".into(), &"gateway".into(), &id.into())
    );
    assert_eq!(
        (&line["method"], &line["level"]),
        (&"POST".into(), &"info".into())
    );
    assert_eq!(
        (&line["received_bytes"], &line["sent_bytes"]),
        (&11.into(), &11.into())
    );
    assert!(
        line["duration_us"].is_u64() && line.get("cause").is_none(),
        "{line}"
    );
    let reply = log.service.post("t", "reject").unwrap();
    let line = access("/chains/t", 502);
    assert_eq!(
        (&line["cause"], line["invocation"].as_str()),
        (&"failed".into(), reply.header("hacher-invocation"))
    );
    log.service.post("nowhere", "x").unwrap();
    let line = access("/chains/nowhere", 404);
    assert_eq!((line.get("chain"), &line["cause"]), (None, &"not found".into()));
    // A head that no method or path is read from.
    let twice = "POST /chains/t HTTP/1.1\r\nhost: t\r\nhost: u\r\ncontent-length: 0\r\n\r\n";
    let mut stream = std::net::TcpStream::connect(log.service.gateway).unwrap();
    stream.write_all(twice.as_bytes()).unwrap();
    let line = access("", 400);
    assert_eq!(
        (&line["method"], &line["message"], &line["cause"]),
        (&"".into(), &"- - 400".into(), &"malformed request".into())
    );
    // A client that goes while the function still works.
    let mut stream = std::net::TcpStream::connect(log.service.gateway).unwrap();
    let head = "POST /chains/t HTTP/1.1\r\nhost: t\r\ncontent-length: 4\r\n\r\n";
    stream.write_all(format!("{head}hang").as_bytes()).unwrap();
    log.service
        .status_when("it is in flight", |status| status["chains"][0]["in_flight"] == 1)
        .unwrap();
    std::thread::sleep(Duration::from_millis(200));
    drop(stream);
    let line = access("/chains/t", 0);
    assert_eq!(
        (&line["cause"], &line["chain"], &line["received_bytes"]),
        (&"the client has gone".into(), &"t".into(), &4.into())
    );
    assert_eq!(line["invocation"].as_str().map(str::len), Some(16), "{line}");
    assert!(!read(&log.messages).contains("secret"));
}

#[test]
fn without_being_asked_nobody_writes_of_requests() {
    let log = Log::start(&chain_of("echo", ""), &["--log-format", "json"]);
    log.service.post("t", "x").unwrap();
    log.service.status_after(1).unwrap();
    assert!(log.lines().iter().all(|line| line["source"] != "access"));
    let log = Log::start(&chain_of("echo", ""), &["--access-log"]);
    let reply = log.service.post("t", "x").unwrap();
    let id = reply.header("hacher-invocation").unwrap();
    let words = format!(
        "info: invocation={id} [t/gateway] POST /chains/t 200 received_bytes=1 sent_bytes=1 duration_us="
    );
    until("the line", || read(&log.messages).contains(&words));
}

#[test]
fn a_service_that_cannot_start_says_so_in_json_too() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("t.toml");
    for (chain, words) in [
        (
            format!("{HEAD}[function.a]\nexec = \"none\"\n"),
            "there is no executable",
        ),
        (chain_of("die", ""), "exited with code 3"),
    ] {
        std::fs::write(&path, chain).unwrap();
        let arguments = [
            "serve",
            path.to_str().unwrap(),
            "--admin",
            "127.0.0.1:0",
            "--listen",
            "127.0.0.1:0",
            "--log-format",
            "json",
        ];
        let (code, _, err) = tenants::command(&arguments).unwrap();
        assert_eq!(code, Some(1), "{err}");
        let lines: Vec<Value> = err
            .lines()
            .map(|line| serde_json::from_str(line).expect(line))
            .collect();
        assert!(lines.iter().any(|line| says(line, words)), "{err}");
    }
}

/// The messages of the service's processes, as their sources have them: level and text, with `…` for what is
/// filled in.
fn messages_of_the_sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut waiting: Vec<PathBuf> = [
        "fabric/daemon/src",
        "fabric/gateway/src",
        "fabric/src/loader.rs",
        "trustlet-host/src/service",
        "trustlet-host/src/service.rs",
    ]
    .map(|path| root.join(path))
    .to_vec();
    let mut found = Vec::new();
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            waiting.extend(
                std::fs::read_dir(path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
            continue;
        }
        let source = std::fs::read_to_string(&path).unwrap();
        for call in source.split("tell!(").skip(1) {
            let level = call.trim_start().split([':', ',']).next().unwrap().to_lowercase();
            let Some((_, rest)) = call
                .split_once('"')
                .filter(|_| ["info", "warning", "error"].contains(&level.as_str()))
            else {
                continue;
            };
            let mut text = String::new();
            let mut rest = rest.chars().peekable();
            while let Some(c) = rest.next().filter(|c| *c != '"') {
                match c {
                    '\\' if rest.peek() == Some(&'\n') => {
                        while rest.next_if(|c| c.is_whitespace()).is_some() {}
                    }
                    '\\' => text.extend(rest.next()),
                    '{' => {
                        let _ = rest.by_ref().find(|c| *c == '}');
                        text.push('…');
                    }
                    c => text.push(c),
                }
            }
            found.push((level, text.replace('`', "")));
        }
    }
    found
}

#[test]
fn the_handbook_lists_every_line_of_the_log_by_its_level() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let handbook = std::fs::read_to_string(root.join("docs/operations.md"))
        .unwrap()
        .replace('`', "");
    let messages = messages_of_the_sources();
    assert!(messages.len() > 15, "{messages:?}");
    for (level, text) in messages {
        // What is filled in altogether is said by others.
        if text.chars().all(|c| matches!(c, '…' | ' ' | ';' | ':')) {
            continue;
        }
        let row = format!("| {level} | {text} |");
        assert!(handbook.contains(&row), "docs/operations.md has no row\n{row}");
    }
}
