//! Services whose monitor and gateway are executables of their own, beside the command, and services without.

use hacher_tests::activation::Activation;
use hacher_tests::tenants::{Tenants, get, post, until};
use hacher_tests::{descendants, executable, function};
use rustix::process::Signal;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use tempfile::TempDir;

const FABRIC: (&str, &str) = ("hacher-fabric", "fabric-under-test");
const MONITOR: (&str, &str) = ("hacher-monitor", "monitor-alone");
const GATEWAY: (&str, &str) = ("hacher-gateway", "gateway-alone");

/// A folder with these executables and no others.
fn installed(what: &[(&str, &str)]) -> TempDir {
    let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    for (name, built_as) in what {
        let from = executable(built_as);
        let to = folder.path().join(name);
        fs::hard_link(&from, &to).unwrap_or_else(|_| copied(&from, &to));
    }
    folder
}

/// Copies an executable by a process of its own: a descriptor of this process through which the copy is
/// written would be inherited by what another test starts at that moment, and what is open for writing does
/// not run (ETXTBSY).
fn copied(from: &Path, to: &Path) {
    let copied = Command::new("cp").args([from, to]).status().unwrap();
    assert!(copied.success(), "{} is not copied", from.display());
}

fn chain() -> String {
    let head = "chain = \"c\"\nversion = \"1\"\nflow = [\"ingress -> a -> egress\"]\n";
    format!("{head}{}", function("a", "echo", ""))
}

fn run(fabric: &Path, arguments: &[&str]) -> Output {
    Command::new(fabric)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn json(output: &Output) -> Value {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What `doctor` finds of an executable.
fn finding(fabric: &Path, name: &str) -> Value {
    let report = json(&run(fabric, &["doctor", "--format", "json"]));
    let findings = report["findings"].as_array().unwrap();
    findings
        .iter()
        .find(|found| found["name"] == name)
        .unwrap()
        .clone()
}

/// SHA-384 as `sha384sum` prints it.
fn sha384(path: &Path) -> String {
    let output = Command::new("sha384sum").arg(path).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.split(' ').next().unwrap().to_owned()
}

/// The gateway's SHA-384 as `measure` prints it, and the chain's digest.
fn measured(fabric: &Path, chain: &Path) -> (String, String) {
    let report = json(&run(
        fabric,
        &["measure", chain.to_str().unwrap(), "--format", "json"],
    ));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    // The gateway is the first function of every chain.
    (text(&report["functions"][0]["sha384"]), text(&report["digest"]))
}

/// Serves a chain with these executables, and checks that these run and that these are measured.
fn serve_with(what: &[(&str, &str)]) {
    let folder = installed(what);
    let has = |name: &str| what.iter().any(|(found, _)| *found == name);
    let fabric = folder.path().join("hacher-fabric");
    let text = chain();
    let mut service =
        Tenants::start_as(fabric.to_str().unwrap(), folder.path(), &[("c", text)], &[]).unwrap();
    let monitor = service.monitor_pid();
    let name = fs::read_to_string(format!("/proc/{monitor}/comm")).unwrap();
    let expected = if has("hacher-monitor") {
        "hacher-monitor"
    } else {
        "hacher-fabric"
    };
    assert_eq!(name.trim(), expected);

    let gateway = if has("hacher-gateway") {
        "hacher-gateway"
    } else {
        "hacher-fabric"
    };
    let (measured_gateway, digest) = measured(&fabric, &folder.path().join("c.toml"));
    assert_eq!(measured_gateway, sha384(&folder.path().join(gateway)));
    assert_eq!(service.chain("c")["digest"], digest, "{:?}", service.ready);
    for companion in ["hacher-monitor", "hacher-gateway"] {
        let found = finding(&fabric, companion);
        let status = if has(companion) { "ok" } else { "info" };
        assert_eq!(found["status"], status, "{found}");
        let detail = found["detail"].as_str().unwrap();
        assert_eq!(detail.contains("plays its part"), !has(companion), "{found}");
    }

    let status = service.status().unwrap();
    assert_eq!(status["monitor_sha384"], sha384(&folder.path().join(expected)));
    assert_eq!(status["daemon_sha384"], sha384(&fabric));

    let address = service.address("c");
    assert_eq!(post(address, "c", "before").unwrap().body, "before");
    let daemon = daemon_of(monitor).unwrap();
    service.signal(daemon, Signal::KILL);
    assert_eq!(
        post(address, "c", "without a daemon").unwrap().body,
        "without a daemon"
    );
    assert!(until(|| daemon_of(monitor).is_some_and(|other| other != daemon)));
    service.signal(monitor, Signal::TERM);
    assert_eq!(service.wait().unwrap(), Some(0));
}

fn daemon_of(monitor: i32) -> Option<i32> {
    let mut processes = descendants(monitor).into_iter();
    processes
        .find(|(_, name)| name == "hacher-daemon")
        .map(|(pid, _)| pid)
}

#[test]
fn a_service_runs_with_both_executables_beside_it() {
    serve_with(&[FABRIC, MONITOR, GATEWAY]);
}

#[test]
fn a_service_runs_with_neither() {
    serve_with(&[FABRIC]);
}

#[test]
fn a_service_runs_with_one_of_them() {
    serve_with(&[FABRIC, MONITOR]);
    serve_with(&[FABRIC, GATEWAY]);
}

#[test]
fn sockets_of_a_service_manager_reach_a_monitor_of_its_own() {
    let folder = installed(&[FABRIC, MONITOR, GATEWAY]);
    let text = chain();
    let activation = Activation::new(&[("c", &text)], &["gateway", "admin"]).unwrap();
    let fabric = folder.path().join("hacher-fabric");
    let mut service = activation
        .start_as(fabric.to_str().unwrap(), &["c"], &[], &[])
        .unwrap();
    let ready = activation.hear("READY=1", Duration::from_secs(60));
    assert!(ready.is_some(), "{}", service.told());
    let reply = post(activation.address("gateway"), "c", "hello").unwrap();
    assert_eq!(reply.body, "hello");
    assert_eq!(get(activation.address("admin"), "/readyz").unwrap().status, 200);
    service.signal(Signal::TERM);
    assert_eq!(
        service.wait(Duration::from_secs(60)),
        Some(0),
        "{}",
        service.told()
    );
}

#[test]
fn what_a_chain_file_lacks_is_said_in_the_same_way() {
    let serve = |what: &[(&str, &str)]| {
        let folder = installed(what);
        let file = folder.path().join("c.toml");
        let flow = "chain = \"c\"\nflow = [\"ingress -> nobody -> egress\"]\n";
        fs::write(
            &file,
            format!("{flow}[function.somebody]\nexec = \"/bin/true\"\n"),
        )
        .unwrap();
        let ports = [
            "--listen",
            "127.0.0.1:0",
            "--admin",
            "127.0.0.1:0",
            "--log-format",
            "bare",
        ];
        let arguments = [&["serve", "c.toml"], &ports[..]].concat();
        let output = Command::new(folder.path().join("hacher-fabric"))
            .args(arguments)
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, said) = serve(&[FABRIC, MONITOR, GATEWAY]);
    assert_eq!(code, Some(1));
    assert!(said.contains("nobody"), "{said}");
    assert_eq!(serve(&[FABRIC]), (code, said));
}

#[test]
fn a_companion_of_another_build_is_refused_and_doctor_says_so() {
    let folder = installed(&[FABRIC, GATEWAY]);
    copied(Path::new("/bin/echo"), &folder.path().join("hacher-monitor"));
    let fabric = folder.path().join("hacher-fabric");
    let file = folder.path().join("c.toml");
    fs::write(&file, chain()).unwrap();
    for words in [
        &["serve", file.to_str().unwrap(), "--listen", "127.0.0.1:0"][..],
        &["doctor"],
    ] {
        let output = run(&fabric, words);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{words:?}: {said}");
        assert!(said.contains("not of this build"), "{words:?}: {said}");
    }
}

#[test]
fn the_executables_say_their_build_and_that_they_are_no_commands() {
    let version = |name: &str| {
        let output = run(&executable(name), &["--version"]);
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let of_fabric = version(FABRIC.1);
    for (name, built_as) in [MONITOR, GATEWAY] {
        assert_eq!(version(built_as), of_fabric.replace("hacher-fabric", name));
        for words in [&[][..], &["serve"], &["0.0.0", "text", "9"]] {
            let output = run(&executable(built_as), words);
            assert_eq!(output.status.code(), Some(2), "{name} {words:?}");
            assert!(
                String::from_utf8_lossy(&output.stderr).contains("is started by"),
                "{name}"
            );
        }
    }
}
