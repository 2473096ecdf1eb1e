//! Files in a file system that does not answer, as one of a network whose server is gone: whoever waits says
//! so, gives up, and can be stopped.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use hacher_tests::silent_file_system::{Ask, SilentFileSystem};
use hacher_tests::{executable, function};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
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
            println!("skipped: {reason}");
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

fn fabric(files: &SilentFileSystem, folder: &TempDir, word: &str) -> Command {
    let mut command = files.command(&folder.path().join("far"), &executable("fabric-under-test"));
    command.arg(word).arg(folder.path().join("chain.toml"));
    if word == "serve" {
        command.args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--tied"]);
    }
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Waits until a service says that it is ready.
fn until_ready(service: &mut Child) {
    let mut lines = BufReader::new(service.stdout.take().unwrap()).lines();
    if !lines.any(|line| line.unwrap().contains("ready")) {
        panic!("it was not ready, and said: {}", said(service, "nothing"));
    }
}

/// What a command says, up to a line with `last` in it, or to its end.
fn said(child: &mut Child, last: &str) -> String {
    let mut text = String::new();
    for line in BufReader::new(child.stderr.take().unwrap()).lines() {
        let line = line.unwrap();
        println!("{line}");
        text += &line;
        text.push('\n');
        if line.contains(last) {
            break;
        }
    }
    text
}

/// Waits until a command has ended; whether that was with success.
fn ended(child: &mut Child) -> bool {
    let since = Instant::now();
    loop {
        match child.try_wait().unwrap() {
            Some(status) => return status.success(),
            None if since.elapsed() > PATIENCE => panic!("it does not end"),
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

const GIVEN_UP: &str = "has not answered for 8 s";

#[test]
fn files_are_taken_from_any_file_system_that_answers() {
    for word in ["check", "serve"] {
        let Some(files) = file_system() else { return };
        let folder = tempfile::tempdir().unwrap();
        chain(&folder, FAR);
        let mut command = fabric(&files, &folder, word).spawn().unwrap();
        if word == "serve" {
            until_ready(&mut command);
            kill_process(Pid::from_child(&command), Signal::TERM).unwrap();
        }
        assert!(ended(&mut command), "{word}");
    }
}

fn is_given_up(ask: Ask, word: &str) {
    let Some(files) = file_system() else { return };
    let folder = tempfile::tempdir().unwrap();
    chain(&folder, FAR);
    files.falls_silent(&[ask]);
    let mut command = fabric(&files, &folder, word).spawn().unwrap();
    let text = said(&mut command, GIVEN_UP);
    assert!(
        text.contains(GIVEN_UP) && text.contains("far"),
        "{ask:?} {word}: {text}"
    );
    if word == "check" {
        // The kernel keeps it as long.
        files.speaks();
    }
    // The loader of a service is kept by the kernel as well, and does not keep the service.
    assert!(!ended(&mut command), "{ask:?} {word}");
    files.speaks();
}

#[test]
fn a_file_that_cannot_be_opened_is_named_and_given_up_by_check_and_serve() {
    std::thread::scope(|scope| {
        for ask in [Ask::Lookup, Ask::GetAttributes, Ask::Open] {
            for word in ["check", "serve"] {
                scope.spawn(move || is_given_up(ask, word));
            }
        }
    });
}

#[test]
fn a_file_that_cannot_be_read_is_named_and_given_up() {
    let Some(files) = file_system() else { return };
    let folder = tempfile::tempdir().unwrap();
    // Opened by the loader; read by the monitor, which copies it.
    chain(&folder, "files = [{ from = \"far/model\", to = \"/model\" }]");
    files.falls_silent(&[Ask::Read]);
    let mut service = fabric(&files, &folder, "serve").spawn().unwrap();
    let text = said(&mut service, GIVEN_UP);
    assert!(text.contains(GIVEN_UP) && text.contains("`/model`"), "{text}");
    files.speaks();
    assert!(!ended(&mut service));
}

#[test]
fn a_service_that_waits_for_a_file_can_be_stopped() {
    for asks in [[Ask::Open], [Ask::Read]] {
        let Some(files) = file_system() else { return };
        let folder = tempfile::tempdir().unwrap();
        chain(&folder, "files = [{ from = \"far/model\", to = \"/model\" }]");
        files.falls_silent(&asks);
        let mut service = fabric(&files, &folder, "serve").spawn().unwrap();
        let text = said(&mut service, " for 2 s");
        assert!(text.contains(" for 2 s"), "{text}");
        kill_process(Pid::from_child(&service), Signal::TERM).unwrap();
        files.speaks();
        assert!(ended(&mut service));
    }
}

#[test]
fn a_service_whose_tls_files_are_silent_goes_on_and_says_so() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let pem = [
        ("cert", made.cert.pem()),
        ("key", made.signing_key.serialize_pem()),
    ];
    let pem = pem.map(|(name, text)| (name.to_owned(), text.into_bytes()));
    let Ok(files) = SilentFileSystem::of(pem.into_iter().collect()) else {
        println!("skipped: see the other tests");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    chain(&folder, "");
    let far = folder.path().join("far");
    let mut service = fabric(&files, &folder, "serve");
    service
        .arg("--tls-cert")
        .arg(far.join("cert"))
        .arg("--tls-key")
        .arg(far.join("key"));
    let mut service = service.spawn().unwrap();
    until_ready(&mut service);
    files.falls_silent(&[Ask::Lookup, Ask::GetAttributes]);
    let text = said(&mut service, "has not answered");
    assert!(
        text.contains("keeps its certificate: the file system of its TLS files has not answered"),
        "{text}"
    );
    // It still sees to the rest: an ordered stop is carried out.
    kill_process(Pid::from_child(&service), Signal::TERM).unwrap();
    files.speaks();
    assert!(ended(&mut service));
}
