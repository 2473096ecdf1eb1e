//! `hacher-fabric verify`: what it prints, what it refuses, and its exit codes; and policies that `measure`
//! writes.

use hacher_tests::tenants::get;
use hacher_tests::{Service, executable, function};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A fixture of the verifier.
fn data(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../trustlet-host/verifier/tests/data");
    folder.join(name).to_str().unwrap().to_owned()
}

/// The evidence of `docs/evidence.md`, and its nonce.
fn example() -> (String, String) {
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../trustlet-host/evidence/tests/data/evidence.bin");
    let nonce: String = (0..64).map(|byte| format!("{byte:02x}")).collect();
    (file.to_str().unwrap().to_owned(), nonce)
}

const DIGEST_1: &str = "b1";
const DIGEST_2: &str = "c1";

fn digest(byte: &str) -> String {
    byte.repeat(48)
}

/// Exit code, standard output, standard error.
fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(executable("fabric-under-test"))
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// The same, with data on standard output.
fn judge(arguments: &[&str]) -> (Option<i32>, Value) {
    let mut all = vec!["verify", "--format", "json"];
    all.extend(arguments);
    let (code, out, err) = run(&all);
    let verdict = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}{err}"));
    (code, verdict)
}

/// Names of the checks that failed.
fn failures(verdict: &Value) -> Vec<&str> {
    let checks = verdict["checks"].as_array().unwrap().iter();
    checks
        .filter(|check| check["outcome"] == "failed")
        .map(|check| check["name"].as_str().unwrap())
        .collect()
}

fn file(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    path
}

#[test]
fn a_bare_report_of_genoa_is_verified() {
    let (report, vcek) = (data("genoa_attestation_report.bin"), data("genoa_vcek.der"));
    let at = ["--at", "2026-06-01T00:00:00Z"];
    let (code, verdict) = judge(&["--report", &report, at[0], at[1], "--certificates", &vcek]);
    assert_eq!(code, Some(0), "{verdict:#}");
    assert_eq!(verdict["passed"], true);
    assert_eq!(verdict["report"]["generation"], "genoa");
    assert_eq!(verdict["report"]["reported_tcb"]["microcode"], 84);
    let (code, out, _) = run(&[
        "verify",
        "--report",
        &report,
        at[0],
        at[1],
        "--certificates",
        &vcek,
    ]);
    assert_eq!(code, Some(0));
    assert!(
        out.contains("verified") && out.contains("the pinned ARK-Genoa"),
        "{out}"
    );
    let (code, verdict) = judge(&[
        "--report",
        &report,
        "--at",
        "2036-06-01T00:00:00Z",
        "--certificates",
        &vcek,
    ]);
    assert_eq!((code, failures(&verdict)), (Some(1), vec!["certificate-dates"]));
    let (code, verdict) = judge(&["--report", &report, at[0], at[1]]);
    assert_eq!((code, failures(&verdict)), (Some(1), vec!["certificate-issuer"]));
}

#[test]
fn a_launch_measurement_is_expected_without_a_policy() {
    let folder = tempfile::tempdir().unwrap();
    let (report, vcek) = (data("genoa_attestation_report.bin"), data("genoa_vcek.der"));
    let at = "2026-06-01T00:00:00Z";
    let common = ["--report", &report, "--at", at, "--certificates", &vcek];
    let (_, verdict) = judge(&common);
    let launch = verdict["report"]["launch_measurement"]
        .as_str()
        .unwrap()
        .to_owned();
    let expecting = |launch: &str| judge(&[&common[..], &["--expect-launch", launch]].concat());
    assert_eq!(expecting(&launch).0, Some(0));
    let (code, verdict) = expecting(&"ab".repeat(48));
    assert_eq!((code, failures(&verdict)), (Some(1), vec!["launch-measurement"]));
    let policy = format!("[snp]\nlaunch = [\"{}\"]\n", "ab".repeat(48));
    let policy = file(folder.path(), "policy.toml", &policy);
    let policy = ["--policy", policy.to_str().unwrap(), "--expect-launch", &launch];
    let (code, _, said) = run(&[&["verify"], &common[..], &policy].concat());
    assert_eq!(code, Some(2));
    assert!(said.contains("among those that the policy accepts"), "{said}");
}

#[test]
fn a_report_of_milan_needs_a_policy_that_names_milan() {
    let folder = tempfile::tempdir().unwrap();
    let (report, vcek) = (data("milan_attestation_report.bin"), data("milan_vcek.der"));
    let common = [
        "--report",
        &report,
        "--at",
        "2026-06-01T00:00:00Z",
        "--certificates",
        &vcek,
    ];
    let (code, verdict) = judge(&common);
    assert_eq!((code, failures(&verdict)), (Some(1), vec!["generation"]));
    let policy = file(folder.path(), "policy.toml", "[snp]\ngenerations = [\"milan\"]\n");
    let with = [&common[..], &["--policy", policy.to_str().unwrap()]].concat();
    let (code, verdict) = judge(&with);
    assert_eq!(code, Some(0), "{verdict:#}");
}

#[test]
fn certificates_come_from_folders_too() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["genoa_vcek.der", "milan_vcek.der", "milan_vlek.der"] {
        fs::copy(data(name), folder.path().join(name)).unwrap();
    }
    let report = data("genoa_attestation_report.bin");
    let path = folder.path().to_str().unwrap();
    let (code, verdict) = judge(&[
        "--report",
        &report,
        "--at",
        "2026-06-01T00:00:00Z",
        "--certificates",
        path,
    ]);
    assert_eq!(code, Some(0), "{verdict:#}");
    let empty = tempfile::tempdir().unwrap();
    let path = empty.path().to_str().unwrap();
    let (code, _, err) = run(&["verify", "--report", &report, "--certificates", path]);
    assert_eq!(code, Some(1));
    assert!(err.contains("there is no certificate in"), "{err}");
}

#[test]
fn emulated_evidence_needs_to_be_allowed_and_all_that_is_wrong_is_shown() {
    let (evidence, nonce) = example();
    let good = [evidence.as_str(), "--nonce", &nonce, "--allow-emulated"];
    let (code, verdict) = judge(&good);
    assert_eq!(code, Some(0), "{verdict:#}");
    assert_eq!(verdict["platform"], "emulated");
    assert_eq!(verdict["manifest"]["chains"][0]["name"], "thumbnails");
    let (code, verdict) = judge(&good[..3]);
    assert_eq!((code, failures(&verdict)), (Some(1), vec!["platform"]));
    let stale = "00".repeat(64);
    let (code, verdict) = judge(&[&evidence, "--nonce", &stale]);
    assert_eq!(
        (code, failures(&verdict)),
        (Some(1), vec!["platform", "report-data"])
    );
    let (code, out, _) = run(&["verify", &evidence, "--nonce", &stale]);
    assert_eq!(code, Some(1));
    assert!(out.contains("refused, 2 of") && out.contains("FAILED"), "{out}");
}

#[test]
fn every_chain_has_to_have_the_digest_that_is_expected() {
    let (evidence, nonce) = example();
    let (first, second) = (digest(DIGEST_1), digest(DIGEST_2));
    let common = [evidence.as_str(), "--nonce", &nonce, "--allow-emulated"];
    let both = [
        &common[..],
        &["--expect-digest", &first, "--expect-digest", &second],
    ]
    .concat();
    let (code, verdict) = judge(&both);
    assert_eq!(code, Some(0), "{verdict:#}");
    let one = [&common[..], &["--expect-digest", &first]].concat();
    let (code, verdict) = judge(&one);
    assert_eq!((code, failures(&verdict)), (Some(1), vec!["chain-digest"]));
    let folder = tempfile::tempdir().unwrap();
    let text = format!("[chain]\ndigests = [\"{second}\"]\n");
    let policy = file(folder.path(), "policy.toml", &text);
    let against = [&one[..], &["--policy", policy.to_str().unwrap()]].concat();
    let (code, _, err) = run(&[&["verify"], &against[..]].concat());
    assert_eq!(code, Some(2));
    assert!(
        err.contains("is not among those that the policy accepts"),
        "{err}"
    );
}

#[test]
fn the_chain_the_certificate_and_the_session_have_to_be_those_that_are_meant() {
    let (evidence, nonce) = example();
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let pem = file(folder.path(), "cert.pem", &made.cert.pem());
    let der = folder.path().join("cert.der");
    fs::write(&der, made.cert.der()).unwrap();
    let key = rcgen::PublicKeyData::subject_public_key_info(&made.signing_key);
    let key = ring::digest::digest(&ring::digest::SHA256, &key);
    let key: String = key.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let common = [evidence.as_str(), "--nonce", &nonce, "--allow-emulated"];
    for (more, failed) in [
        (&["--chain", "echo"][..], "chain"),
        (&["--session"], "purpose"),
        (&["--tls-certificate", pem.to_str().unwrap()], "tls-key"),
        (&["--tls-certificate", der.to_str().unwrap()], "tls-key"),
    ] {
        let (code, verdict) = judge(&[&common[..], more].concat());
        assert_eq!((code, failures(&verdict)), (Some(1), vec![failed]), "{verdict:#}");
        if failed == "tls-key" {
            let (_, out, _) = run(&[&["verify"], &common[..], more].concat());
            assert!(out.contains(&key), "{out}");
        }
    }
    let none = file(folder.path(), "none", "nothing of the kind");
    let wrong = [
        &["verify"],
        &common[..],
        &["--tls-certificate", none.to_str().unwrap()],
    ]
    .concat();
    let (code, _, err) = run(&wrong);
    assert_eq!(code, Some(1));
    assert!(err.contains("has no certificate to compare with"), "{err}");
}

#[test]
fn a_policy_decides_on_layers_logs_and_protections() {
    let (evidence, nonce) = example();
    let folder = tempfile::tempdir().unwrap();
    for (text, failed) in [
        ("[monitor]\nlayers = [\"user-namespace\"]", vec![]),
        ("[monitor]\nlayers = [\"landlock\"]", vec!["layers"]),
        ("[monitor]\ntrust = \"hardware\"", vec!["manifest-platform"]),
        ("[chain]\nlogs = \"dropped\"", vec!["logs"]),
        ("[chain]\nprotection = \"sealed\"", vec!["protections"]),
        ("[chain]\nown_gateway = true", vec!["gateway"]),
        ("platforms = [\"snp\"]", vec!["platform"]),
    ] {
        let policy = file(folder.path(), "policy.toml", text);
        let policy = policy.to_str().unwrap();
        let (_, verdict) = judge(&[
            &evidence,
            "--nonce",
            &nonce,
            "--allow-emulated",
            "--policy",
            policy,
        ]);
        assert_eq!(failures(&verdict), failed, "{text}");
    }
}

#[test]
fn a_bad_policy_and_bad_arguments_are_explained() {
    let (evidence, nonce) = example();
    let folder = tempfile::tempdir().unwrap();
    let policy = file(folder.path(), "policy.toml", "[chain]\ndigets = [\"00\"]\n");
    let policy = policy.to_str().unwrap();
    let (code, _, err) = run(&["verify", &evidence, "--nonce", &nonce, "--policy", policy]);
    assert_eq!(code, Some(1));
    assert!(
        err.contains("did you mean `digests`?") && err.contains("E0201"),
        "{err}"
    );
    for (arguments, words) in [
        (&["--nonce", "00"][..], "it has 2 hexadecimal digits, not 128"),
        (&["--nonce", "xy"], "`x` is not a hexadecimal digit"),
        (&[], "--nonce"),
        (&["--nonce", &nonce, "--at", "tomorrow"], "2026-11-26T10:00:00Z"),
    ] {
        let (code, _, err) = run(&[&["verify", &evidence], arguments].concat());
        assert_eq!(code, Some(2), "{arguments:?}");
        assert!(err.contains(words), "{err}");
    }
}

#[test]
fn measure_writes_a_policy_once_and_verify_takes_it() {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(executable("test-function"), folder.path().join("f")).unwrap();
    let chain = "chain = \"c\"\nflow = [\"ingress -> f -> egress\"]\n[function.f]\nexec = \"f\"\n";
    let chain = file(folder.path(), "chain.toml", chain);
    let policy = folder.path().join("policy.toml");
    let arguments = [
        "measure",
        chain.to_str().unwrap(),
        "--policy",
        policy.to_str().unwrap(),
    ];
    let (code, out, err) = run(&arguments);
    assert_eq!(code, Some(0), "{err}");
    let written = fs::read_to_string(&policy).unwrap();
    let digest = out
        .lines()
        .find_map(|line| line.trim().strip_prefix("digest "))
        .unwrap();
    assert!(written.contains(digest), "{written}");
    let (code, _, err) = run(&arguments);
    assert_eq!(code, Some(1));
    assert!(err.contains("never overwritten"), "{err}");
    assert_eq!(fs::read_to_string(&policy).unwrap(), written);
    let (evidence, nonce) = example();
    let policy = policy.to_str().unwrap();
    let (code, verdict) = judge(&[
        &evidence,
        "--nonce",
        &nonce,
        "--allow-emulated",
        "--policy",
        policy,
    ]);
    assert_eq!(code, Some(1));
    assert_eq!(
        failures(&verdict),
        ["platform", "monitor", "chain-digest", "logs", "protections"]
    );
}

#[test]
fn measurements_that_measure_wrote_are_those_in_evidence() {
    let text = format!(
        "chain = \"c\"\nflow = [\"ingress -> f -> egress\"]\n{}",
        function("f", "echo", "")
    );
    let service = Service::start(&text).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let policy = folder.path().join("policy.toml");
    let chain = service.chain_file();
    let (code, _, err) = run(&[
        "measure",
        chain.to_str().unwrap(),
        "--policy",
        policy.to_str().unwrap(),
    ]);
    assert_eq!(code, Some(0), "{err}");
    let nonce = "5a".repeat(64);
    let reply = get(service.gateway, &format!("/evidence?nonce={nonce}")).unwrap();
    let evidence = folder.path().join("evidence");
    fs::write(&evidence, &reply.body).unwrap();
    let written = fs::read_to_string(&policy).unwrap();
    // As the draft says how.
    let uncommented = written
        .replace(
            "platforms = [\"snp\", \"snp-svsm\"]",
            "platforms = [\"emulated\"]",
        )
        .replace("# functions = [", "functions = [")
        .replace("# gateways = [", "gateways = [")
        .replace("#     ", "    ")
        .replace("# ]", "]");
    let image = uncommented.split("# `f` of chain `c`\n").nth(1).unwrap();
    let image = image.trim_start().get(1..97).unwrap();
    let of_another = uncommented.replace(image, &"0".repeat(96));
    for (text, failed) in [(&uncommented, vec![]), (&of_another, vec!["functions"])] {
        fs::write(&policy, text).unwrap();
        let (_, verdict) = judge(&[
            evidence.to_str().unwrap(),
            "--nonce",
            &nonce,
            "--allow-emulated",
            "--policy",
            policy.to_str().unwrap(),
        ]);
        assert_eq!(failures(&verdict), failed, "{verdict:#}");
    }
}
