//! Files in a file system that does not answer, as one of a network whose server is gone: whoever waits says
//! so, gives up, and can be stopped.

use hacher_skipped::skipped;
use hacher_tests::silent_file_system::{Ask, SilentFileSystem};
use hacher_tests::{executable, function, until};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// To see that something ends, and not how soon.
const PATIENCE: Duration = Duration::from_secs(60);

fn file_system() -> Option<SilentFileSystem> {
    let files = BTreeMap::from([
        ("model".to_owned(), vec![7; 100_000]),
        ("key".to_owned(), b"secret".to_vec()),
    ]);
    match SilentFileSystem::of(files) {
        Ok(found) => Some(found),
        Err(reason) => {
            skipped!("{reason}");
            None
        }
    }
}

/// Lines of a function that is given a file and a secret from there.
const FAR: &str = "files = [{ from = \"far/model\", to = \"/model\" }]\nsecrets = { key = \"file:far/key\" }";

/// A chain of one function with further lines, `far` standing for where the file system is.
fn chain(folder: &TempDir, more: &str) {
    let far = folder.path().join("far");
    std::fs::create_dir_all(&far).unwrap();
    let more = more.replace("far/", &format!("{}/", far.display()));
    let text = format!(
        "chain = \"c\"\nversion = \"1\"\nflow = [\"ingress -> f -> egress\"]\n{}",
        function("f", "echo", &more)
    );
    std::fs::write(folder.path().join("chain.toml"), text).unwrap();
}

/// A command that sees the file system; killed when dropped.
struct Running {
    child: Child,
    lines: Receiver<String>,
}

impl Running {
    fn start(files: &SilentFileSystem, folder: &TempDir, word: &str, more: &[&str]) -> Self {
        let mut command = files.command(&folder.path().join("far"), &executable("fabric-under-test"));
        command.arg(word).arg(folder.path().join("chain.toml")).args(more);
        if word == "serve" {
            command.args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--tied"]);
        }
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let errors = child.stderr.take().unwrap();
        let (tell, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(errors).lines().map_while(Result::ok) {
                println!("{line}");
                let _ = tell.send(line);
            }
        });
        Self { child, lines }
    }

    /// Waits until a service says that it is ready.
    fn until_ready(&mut self) {
        let out: ChildStdout = self.child.stdout.take().unwrap();
        let is_ready = BufReader::new(out)
            .lines()
            .any(|line| line.unwrap().contains("ready"));
        assert!(is_ready, "it ended: {:?}", self.lines.iter().collect::<Vec<_>>());
    }

    /// The next line on standard error that has this in it.
    fn says(&self, words: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("it does not say {words:?}"));
            if line.contains(words) {
                return line;
            }
        }
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    fn is_sent(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Waits until it has ended; whether that was with success.
    fn ended(&mut self) -> bool {
        let since = Instant::now();
        loop {
            match self.child.try_wait().unwrap() {
                Some(status) => return status.success(),
                None if since.elapsed() > PATIENCE => panic!("it does not end"),
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    /// Whether its first thread has ended: the kernel may keep another one.
    fn has_done_all(&self) -> bool {
        let pid = self.pid().as_raw_nonzero();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        status
            .lines()
            .any(|line| line.starts_with("State:") && line.contains('Z'))
    }

    /// Whether its first thread takes no time of a processor for a while: one that is told of something again
    /// and again never does.
    fn sleeps(&self) -> bool {
        let pid = self.pid().as_raw_nonzero();
        let spent = || {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/stat")).unwrap();
            // `utime` and `stime`, in ticks; what stands before the name may have blanks.
            let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
            fields[11..13]
                .iter()
                .map(|ticks| ticks.parse::<u64>().unwrap())
                .sum::<u64>()
        };
        let before = spent();
        std::thread::sleep(Duration::from_millis(300));
        spent() == before
    }

    /// The processes of a service's function.
    fn functions(&self) -> Vec<Pid> {
        let pid = self.pid().as_raw_nonzero();
        let children =
            std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        let is_function = |pid: &i32| {
            let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.split('\0').next() == Some("f")
        };
        let pids = children.split_whitespace().filter_map(|pid| pid.parse().ok());
        pids.filter(is_function).filter_map(Pid::from_raw).collect()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        // After a test that has failed the kernel may keep it, and what failed is to be seen.
        let since = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) && since.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Says that a file is not waited for any longer.
const GIVEN_UP: &str = "cannot read";

#[test]
fn files_are_taken_from_any_file_system_that_answers() {
    for word in ["check", "serve"] {
        let Some(files) = file_system() else { return };
        let folder = tempfile::tempdir().unwrap();
        chain(&folder, FAR);
        let mut command = Running::start(&files, &folder, word, &[]);
        if word == "serve" {
            command.until_ready();
            command.is_sent(Signal::TERM);
        }
        assert!(command.ended(), "{word}");
    }
}

fn is_given_up(asks: &[Ask], word: &str) {
    let Some(files) = file_system() else { return };
    let folder = tempfile::tempdir().unwrap();
    chain(&folder, FAR);
    files.falls_silent(asks);
    let mut command = Running::start(&files, &folder, word, &[]);
    let line = command.says(GIVEN_UP);
    assert!(line.contains("has not answered for"), "{asks:?} {word}: {line}");
    if word == "check" {
        // The kernel keeps it as long.
        files.speaks();
    }
    // The loader of a service is kept by the kernel as well, and does not keep the service.
    assert!(!command.ended(), "{asks:?} {word}");
    files.speaks();
}

#[test]
fn a_file_that_cannot_be_opened_is_named_and_given_up_by_check_and_serve() {
    std::thread::scope(|scope| {
        for asks in [&[Ask::Lookup][..], &[Ask::GetAttributes], &[Ask::Open]] {
            for word in ["check", "serve"] {
                scope.spawn(move || is_given_up(asks, word));
            }
        }
    });
}

/// Opened by the loader; read by the monitor, which copies it.
const COPIED: &str = "files = [{ from = \"far/model\", to = \"/model\" }]";

#[test]
fn a_file_that_cannot_be_read_is_named_and_given_up() {
    let Some(files) = file_system() else { return };
    let folder = tempfile::tempdir().unwrap();
    chain(&folder, COPIED);
    files.falls_silent(&[Ask::Read]);
    let mut service = Running::start(&files, &folder, "serve", &[]);
    service.says("still busy with the file `/model`");
    let line = service.says("refused the file `/model`");
    assert!(line.contains("has not answered for"), "{line}");
    until("the monitor has ended, but for what the kernel keeps", || {
        service.has_done_all()
    });
    files.speaks();
    assert!(!service.ended());
}

#[test]
fn a_service_that_waits_for_a_file_can_be_stopped() {
    for (asks, words) in [([Ask::Open], "waiting for"), ([Ask::Read], "still busy with")] {
        let Some(files) = file_system() else { return };
        let folder = tempfile::tempdir().unwrap();
        chain(&folder, COPIED);
        files.falls_silent(&asks);
        let mut service = Running::start(&files, &folder, "serve", &[]);
        service.says(words);
        service.is_sent(Signal::TERM);
        if asks == [Ask::Open] {
            // It is the loader that the kernel keeps.
            assert!(service.ended());
        } else {
            until("the monitor has ended, but for what the kernel keeps", || {
                service.has_done_all()
            });
        }
        files.speaks();
        assert!(service.ended());
    }
}

#[test]
fn a_service_whose_tls_files_are_silent_goes_on_and_says_so() {
    let made = || rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    for asks in [&[Ask::Lookup, Ask::GetAttributes][..], &[Ask::Read, Ask::Flush]] {
        let made = made();
        let pem = [
            ("cert", made.cert.pem()),
            ("key", made.signing_key.serialize_pem()),
        ];
        let pem = pem.map(|(name, text)| (name.to_owned(), text.into_bytes()));
        let Ok(files) = SilentFileSystem::of(pem.into_iter().collect()) else {
            skipped!("see the other tests");
            return;
        };
        let folder = tempfile::tempdir().unwrap();
        chain(&folder, "");
        let far = |name| folder.path().join("far").join(name).display().to_string();
        let more = ["--tls-cert", &far("cert"), "--tls-key", &far("key")];
        let mut service = Running::start(&files, &folder, "serve", &more);
        service.until_ready();
        files.falls_silent(asks);
        // Has them read, though they have not changed.
        service.is_sent(Signal::HUP);
        let silence = "keeps its certificate: the file system of its TLS files has not answered";
        service.says(silence);
        service.is_sent(Signal::HUP);
        service.says(silence);
        // It sees to the rest.
        let before = service.functions();
        assert_eq!(before.len(), 1);
        kill_process(before[0], Signal::KILL).unwrap();
        until("the function is back", || {
            service
                .functions()
                .first()
                .is_some_and(|found| *found != before[0])
        });
        // The thread that waits keeps nothing of the function that has gone for the kernel to tell of.
        until("the monitor sleeps", || service.sleeps());
        // Who was reading gets an error, and the next look finds them as they were.
        files.speaks();
        service.is_sent(Signal::HUP);
        service.says(if asks.contains(&Ask::Read) {
            "cannot be used"
        } else {
            "have not changed"
        });
        service.is_sent(Signal::HUP);
        service.says("have not changed");
        service.is_sent(Signal::TERM);
        assert!(service.ended());
    }
}
