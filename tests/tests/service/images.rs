//! What a function is made of besides its executable: arguments, and files that are measured, copied once and
//! shared, and that nothing on disk changes any more.

use hacher_skipped::skipped;
use hacher_tests::{Service, executable, function};
use hacher_trustlet_host::chosen::layers::{Layer, Layers};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// Only to detect that something never comes.
const PATIENCE: Duration = Duration::from_secs(60);

fn chain(functions: &str) -> String {
    format!("chain = \"t\"\nflow = [\"ingress -> f -> egress\"]\n{functions}")
}

fn told(service: &Service, words: &str) -> String {
    let reply = service.post("t", words.as_bytes().to_vec()).unwrap();
    let body = String::from_utf8(reply.body.to_vec()).unwrap();
    assert_eq!(reply.status, 200, "{body}");
    body
}

/// A folder with one of each kind, and a file beside it.
fn given() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::create_dir_all(path("app/below/empty")).unwrap();
    fs::write(path("app/file"), "content").unwrap();
    fs::write(path("app/below/run"), "#!/bin/true").unwrap();
    fs::set_permissions(path("app/below/run"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::set_permissions(path("app/file"), fs::Permissions::from_mode(0o600)).unwrap();
    symlink("../file", path("app/below/link")).unwrap();
    fs::write(path("labels"), "cat\ndog\n").unwrap();
    folder
}

fn files(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "files = [{{ from = \"{folder}/app\", to = \"/opt/app\" }}, {{ from = \"{folder}/labels\", to = \"/etc/labels\" }}]"
    )
}

const LISTING: &str = "/opt/app/\n/opt/app/below/\n/opt/app/below/empty/\n/opt/app/below/link -> ../file\n\
                       /opt/app/below/run 11 execute\n/opt/app/file 7 read";

/// A service, if this machine gives functions a root of their own; says so if not.
fn start(table: &str) -> Option<Service> {
    let layers = Layers::probe();
    let missing = layers.missing().iter();
    if let Some(missing) = missing
        .into_iter()
        .find(|missing| missing.layer == Layer::MountNamespace)
    {
        skipped!("{missing}");
        return None;
    }
    Some(Service::start(&chain(table)).unwrap())
}

#[test]
fn a_function_gets_its_arguments_as_they_are_written() {
    let args = "args = [\"--quality\", \"80\", \"\", \"with \\\"quotes\\\" and ünïcode\", \"$HOME *\"]\n";
    let service = Service::start(&chain(&function("f", "image", args))).unwrap();
    assert_eq!(
        told(&service, "args"),
        r#"["f", "--quality", "80", "", "with \"quotes\" and ünïcode", "$HOME *"]"#
    );
    // A replacement gets the same.
    comes_back(&service, 2);
    assert!(told(&service, "args").starts_with(r#"["f", "--quality""#));
}

#[test]
fn a_function_finds_its_files_and_nothing_that_happens_on_disk_later_matters() {
    let folder = given();
    let table = function("f", "image", &files(folder.path()));
    let Some(service) = start(&table) else {
        return;
    };
    let check = || {
        assert_eq!(told(&service, "list /opt/app"), LISTING);
        assert_eq!(told(&service, "read /opt/app/file"), "content");
        assert_eq!(told(&service, "read /opt/app/below/link"), "content");
        assert_eq!(told(&service, "read /etc/labels"), "cat\ndog\n");
    };
    check();
    assert!(told(&service, "read /etc/os-release").starts_with("refused"));
    // The content of three files.
    let status = service.status().unwrap();
    assert_eq!(status["chains"][0]["instances"][0]["files_bytes"], 7 + 11 + 8);
    // Written to in place, replaced, and gone.
    fs::write(folder.path().join("labels"), "changed").unwrap();
    fs::write(folder.path().join("app/file"), "other").unwrap();
    check();
    comes_back(&service, 2);
    check();
    fs::remove_dir_all(folder.path().join("app")).unwrap();
    fs::remove_file(folder.path().join("labels")).unwrap();
    comes_back(&service, 3);
    check();
    // The daemon knows nothing of files.
    let daemon = service.process("hacher-daemon").unwrap();
    service.signal(daemon, Signal::KILL);
    let begun = Instant::now();
    while service.process("hacher-daemon").is_none_or(|now| now == daemon) {
        assert!(begun.elapsed() < PATIENCE, "no daemon");
        std::thread::sleep(Duration::from_millis(20));
    }
    comes_back(&service, 4);
    check();
}

#[test]
fn a_function_cannot_change_what_it_shares_with_its_siblings() {
    let folder = given();
    let more = format!("instances = 2\n{}", files(folder.path()));
    let Some(service) = start(&function("f", "image", &more)) else {
        return;
    };
    for _ in 0..6 {
        assert_eq!(told(&service, "change /opt/app"), "read it; ");
        assert_eq!(told(&service, "list /opt/app"), LISTING);
    }
}

fn comes_back(service: &Service, starts: u64) {
    let process = service.process("f").unwrap();
    kill_process(Pid::from_raw(process).unwrap(), Signal::KILL).unwrap();
    let begun = Instant::now();
    loop {
        let status = service.status().unwrap_or(Value::Null);
        let instance = &status["chains"][0]["instances"][0];
        if instance["epoch"] == starts && instance["state"] == "ready" {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{instance}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Runs `command` for a chain file with this function.
fn run(command: &str, folder: &Path, more: &str) -> Output {
    let path = folder.join("chain.toml");
    fs::write(&path, chain(&function("f", "image", more))).unwrap();
    Command::new(executable("fabric-under-test"))
        .args([command, "--format", "json"])
        .arg(&path)
        .output()
        .unwrap()
}

/// What `command` says of a chain file with this function, and whether it is content.
fn said(command: &str, folder: &Path, more: &str) -> (bool, String) {
    let output = run(command, folder, more);
    let all = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(all).unwrap())
}

fn digest(folder: &Path, more: &str) -> String {
    let output = run("measure", folder, more);
    assert!(output.status.success(), "{output:?}");
    // Beside it, standard error tells of files that take their time.
    let data: Value = serde_json::from_slice(&output.stdout).unwrap();
    let chain = data.as_array().map_or(&data, |chains| &chains[0]);
    chain["digest"].as_str().unwrap().to_owned()
}

#[test]
fn the_digest_is_that_of_what_is_in_the_files_wherever_they_lie() {
    let (one, other) = (given(), given());
    let first = digest(one.path(), &files(one.path()));
    assert_eq!(
        first,
        digest(other.path(), &files(other.path())),
        "another folder"
    );
    let mut seen = vec![first.clone()];
    let mut differs = |what: &str| {
        let digest = digest(other.path(), &files(other.path()));
        assert!(!seen.contains(&digest), "{what}");
        seen.push(digest);
    };
    let path = |name: &str| other.path().join("app").join(name);
    fs::write(path("file"), "contenu").unwrap();
    differs("one byte");
    fs::set_permissions(path("file"), fs::Permissions::from_mode(0o755)).unwrap();
    differs("the executable bit");
    fs::rename(path("file"), path("renamed")).unwrap();
    differs("a name");
    fs::remove_file(path("below/link")).unwrap();
    symlink("run", path("below/link")).unwrap();
    differs("where a link leads");
    fs::create_dir(path("below/more")).unwrap();
    differs("an empty folder");
    // And of arguments.
    let with = |args: &str| digest(one.path(), &format!("{}\nargs = [{args}]", files(one.path())));
    let (a, b) = (with("\"a\", \"b\""), with("\"ab\", \"\""));
    assert!(a != b && a != first && b != first);
    // Neither who may read it besides, nor when it was written, is part of it.
    fs::set_permissions(one.path().join("app/file"), fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(first, digest(one.path(), &files(one.path())));
}

#[test]
fn what_cannot_be_given_is_said_by_check_and_by_serve_where_the_file_names_it() {
    let folder = given();
    let path = |name: &str| folder.path().join(name);
    let file = |from: &str, to: &str| format!("files = [{{ from = \"{from}\", to = \"{to}\" }}]\n");
    rustix::fs::mkfifoat(rustix::fs::CWD, path("pipe"), rustix::fs::Mode::RUSR).unwrap();
    fs::create_dir(path("links")).unwrap();
    symlink("/etc/passwd", path("links/out")).unwrap();
    let mut cases = vec![
        (file("none", "/x"), "none", "No such file"),
        (file("pipe", "/x"), "pipe", "is a pipe"),
        (file("/dev/null", "/x"), "/dev/null", "is a device"),
        (file("links", "/x"), "links/out", "leads out of its folder"),
    ];
    if let Some(library) = linked_folder() {
        cases.push((file("app", library), library, "the executable links"));
    }
    for (table, named, why) in cases {
        for command in ["check", "measure", "serve"] {
            let (good, text) = said(command, folder.path(), &table);
            assert!(!good, "{command} {table}");
            for part in ["E0505", named, why] {
                assert!(text.contains(part), "{command} {table}: {text}");
            }
        }
    }
}

/// The folder of the dynamic loader that the test function is linked for, where that is known.
fn linked_folder() -> Option<&'static str> {
    let is_linked =
        fs::read_to_string("/proc/self/maps").is_ok_and(|maps| maps.contains("/ld-linux-x86-64.so"));
    is_linked.then_some("/lib64")
}

#[test]
fn where_secrets_are_bounded_files_do_not_lead_around_that() {
    let (folder, outside) = (given(), given());
    let secrets = folder.path().join("secrets");
    fs::create_dir(&secrets).unwrap();
    symlink(outside.path().join("labels"), folder.path().join("app/away")).unwrap();
    let check = |more: &str, options: &[&str]| {
        let path = folder.path().join("chain.toml");
        fs::write(&path, chain(&function("f", "image", more))).unwrap();
        let mut command = Command::new(executable("fabric-under-test"));
        command.arg("check").args(options).arg(&path);
        let output = command.output().unwrap();
        let all = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(all).unwrap())
    };
    let bounded = ["--secrets-dir", secrets.to_str().unwrap()];
    assert!(check("files = [\"labels\"]", &bounded).0);
    let table = format!(
        "files = [{{ from = \"{}\", to = \"/labels\" }}]",
        outside.path().join("labels").display()
    );
    for more in [table.as_str(), "files = [\"app/away\"]"] {
        assert!(check(more, &[]).0, "{more}");
        let (good, text) = check(more, &bounded);
        assert!(
            !good && text.contains("not beneath the chain file's folder"),
            "{text}"
        );
        let elsewhere = ["--files-dir", folder.path().to_str().unwrap()];
        assert!(check(more, &elsewhere).1.contains("not beneath --files-dir"));
        let both = [&bounded[..], &["--files-dir", outside.path().to_str().unwrap()]].concat();
        assert!(check(more, &both).0, "{more}");
    }
}

#[test]
fn a_folder_of_many_files_is_given_whole() {
    let folder = tempfile::tempdir().unwrap();
    let top = folder.path().join("many");
    let mut bytes = 0;
    for number in 0..3000 {
        let below = top.join(format!("{}", number % 50));
        fs::create_dir_all(&below).unwrap();
        let mut text = String::new();
        let _ = write!(text, "{number}");
        bytes += text.len();
        fs::write(below.join(format!("file-{number}")), text).unwrap();
    }
    let more = format!(
        "files = [{{ from = \"{}\", to = \"/many\" }}]\ninstances = 3\ntimeout = \"5s\"",
        top.display()
    );
    let Some(service) = start(&function("f", "image", &more)) else {
        return;
    };
    let listing = told(&service, "list /many");
    assert_eq!(listing.lines().count(), 3000 + 50 + 1);
    let lengths = listing
        .lines()
        .filter_map(|line| line.split_whitespace().nth(1)?.parse::<usize>().ok());
    assert_eq!(lengths.sum::<usize>(), bytes);
    assert_eq!(told(&service, "read /many/7/file-2957"), "2957");
}
