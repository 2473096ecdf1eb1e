//! `examples/verify-in-python` takes our evidence and a real report of SEV-SNP, and refuses tampered copies,
//! each for its reason. Skipped where there is no `python3` with the package `cryptography`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

#[path = "verify_in_python/copies.rs"]
mod copies;

use copies::{COPIES, forged, line, with};
use hacher_evidence::{Evidence, Kind};
use hacher_skipped::skipped;
use hacher_tests::tenants::get;
use hacher_tests::{Service, functions};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const NONCE: [u8; 64] = [0xa7; 64];

fn tree() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn python() -> Command {
    let mut command = Command::new("python3");
    command.env("PYTHONDONTWRITEBYTECODE", "1").stdin(Stdio::null());
    command
}

/// Whether the example can run; says so if not.
fn can_run() -> bool {
    let tried = python().args(["-c", "import cryptography"]).output();
    let can = tried.is_ok_and(|output| output.status.success());
    if !can {
        skipped!("there is no python3 with the package `cryptography`");
    }
    can
}

/// What the example says of a file: what it printed, or why it refuses.
fn judge(file: &Path, arguments: &[&str]) -> Result<String, String> {
    let output = python()
        .arg(tree().join("examples/verify-in-python/verify.py"))
        .arg(file)
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let (out, err) = (text(output.stdout), text(output.stderr));
    match output.status.code() {
        Some(0) => Ok(out),
        Some(1) if err.lines().count() == 1 && err.starts_with("refused: ") => Err(err),
        code => panic!("{code:?}: {out}{err}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Evidence of a service that runs, for [`NONCE`].
fn served() -> Vec<u8> {
    let text = format!(
        "chain = \"t\"\nflow = [\"ingress -> f -> egress\"]\n[ingress]\nmax_body = \"1MiB\"\n{}",
        functions(["f"], "echo", "outbox = \"1MiB\"")
    );
    let service = Service::start(&text).unwrap();
    let reply = get(service.gateway, &format!("/evidence?nonce={}", hex(&NONCE))).unwrap();
    assert_eq!(reply.status.as_u16(), 200);
    reply.body.to_vec()
}

#[test]
fn evidence_of_a_service_is_taken_and_tampered_copies_are_refused_each_for_its_reason() {
    if !can_run() {
        return;
    }
    let bytes = served();
    let evidence = Evidence::decode(&bytes).unwrap();
    let text = String::from_utf8(evidence.manifest.clone()).unwrap();
    let digest = line(&text, "chain ").split(' ').nth(1).unwrap().to_owned();
    let nonce = hex(&NONCE);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("evidence");
    fs::write(&file, &bytes).unwrap();
    let good = [
        "--nonce",
        &nonce,
        "--chain",
        "t",
        "--expect-digest",
        &digest,
        "--allow-emulated",
    ];
    let said = judge(&file, &good).unwrap();
    assert!(
        said.contains("verified: emulated") && said.contains("function f: "),
        "{said}"
    );
    let refused = judge(&file, &good[..6]).unwrap_err();
    assert!(refused.contains("no hardware vouches for anything"), "{refused}");
    let stale = "00".repeat(64);
    let other = [&["--nonce", &stale], &good[2..]].concat();
    let refused = judge(&file, &other).unwrap_err();
    assert!(refused.contains("which makes this a replay"), "{refused}");
    let mut reasons = BTreeSet::new();
    for (what, tamper, reason) in COPIES {
        fs::write(&file, tamper(&evidence)).unwrap();
        let refused = judge(&file, &good).expect_err(what);
        assert!(refused.contains(reason), "{what}: {refused}");
        assert!(reasons.insert(refused), "{what}: not a reason of its own");
    }
}

#[test]
fn the_evidence_names_the_key_of_the_certificate_that_was_met() {
    if !can_run() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = folder.path().join("certificate.pem");
    fs::write(&certificate, certified.cert.pem()).unwrap();
    let key = ring::digest::digest(&ring::digest::SHA256, &subject_public_key(&certified));
    let evidence = Evidence::decode(&served()).unwrap();
    let file = folder.path().join("evidence");
    let nonce = hex(&NONCE);
    let arguments = [
        "--nonce",
        &nonce,
        "--allow-emulated",
        "--tls-certificate",
        certificate.to_str().unwrap(),
    ];
    fs::write(&file, evidence.encode()).unwrap();
    let refused = judge(&file, &arguments).unwrap_err();
    assert!(
        refused.contains("another TLS key than the certificate"),
        "{refused}"
    );
    let named = format!("tls-key sha256 {}", hex(key.as_ref()));
    fs::write(
        &file,
        forged(&evidence, |text| text.replace("tls-key none", &named)),
    )
    .unwrap();
    judge(&file, &arguments).unwrap();
}

fn subject_public_key(certified: &rcgen::CertifiedKey<rcgen::KeyPair>) -> Vec<u8> {
    use rcgen::PublicKeyData;
    certified.signing_key.subject_public_key_info()
}

/// A file of the verifier's.
fn data(name: &str) -> String {
    let path = tree().join("trustlet-host/verifier").join(name);
    path.to_str().unwrap().to_owned()
}

/// What the example says of a bare report, with these certificates.
fn judge_report(report: &Path, certificates: &[&str], more: &[&str]) -> Result<String, String> {
    let files: Vec<String> = certificates.iter().map(|name| data(name)).collect();
    let mut arguments = vec!["--bare"];
    if !more.contains(&"--at") {
        arguments.extend(["--at", "2026-06-01T00:00:00Z"]);
    }
    for file in &files {
        arguments.extend(["--certificate", file]);
    }
    arguments.extend(more);
    judge(report, &arguments)
}

const GENOA: [&str; 3] = [
    "tests/data/genoa_vcek.der",
    "roots/genoa-ask.der",
    "roots/genoa-ark.der",
];
const MILAN: [&str; 3] = [
    "tests/data/milan_vcek.der",
    "roots/milan-ask.der",
    "roots/milan-ark.der",
];
const MILAN_DEBUG: [&str; 3] = [
    "tests/data/milan_debug_policy_vcek.der",
    "roots/milan-ask.der",
    "roots/milan-ark.der",
];

#[test]
fn a_real_report_of_genoa_is_taken_and_what_is_wrong_with_others_is_said() {
    if !can_run() {
        return;
    }
    let genoa = data("tests/data/genoa_attestation_report.bin");
    let genoa = Path::new(&genoa);
    let launch = hex(&fs::read(genoa).unwrap()[0x90..0xc0]);
    judge_report(
        genoa,
        &GENOA,
        &[
            "--launch",
            &launch,
            "--floor",
            "microcode=84",
            "--generation",
            "Genoa",
        ],
    )
    .unwrap();
    let [vcek, ask, ark] = GENOA;
    let zeros = "00".repeat(48);
    let data_of_others = "11".repeat(64);
    let cases: [(&[&str], &[&str], &str); 10] = [
        (&GENOA, &["--launch", &zeros], "the guest was launched with"),
        (
            &GENOA,
            &["--nonce", &data_of_others],
            "made for other report data",
        ),
        (&GENOA, &["--floor", "snp=24"], "TCB has snp 23, not 24 or later"),
        (&GENOA, &["--vmpl", "1"], "asked for at level 0, not 1"),
        (&GENOA, &["--generation", "Turin"], "Genoa is not accepted"),
        (&GENOA, &["--at", "2036-06-01T00:00:00Z"], "is valid from"),
        (&[ask, ark], &[], "there is no certificate of a VCEK"),
        (
            &[vcek, "roots/milan-ask.der", ark],
            &[],
            "no certificate that was given is of the SEV-Genoa",
        ),
        (&[vcek, ask], &[], "there is no certificate of ARK-Genoa"),
        (
            &[MILAN[0], ask, ark],
            &[],
            "the certified VCEK has not signed this report",
        ),
    ];
    for (certificates, more, reason) in cases {
        let refused = judge_report(genoa, certificates, more).unwrap_err();
        assert!(refused.contains(reason), "{reason}: {refused}");
    }
    let milan = data("tests/data/milan_attestation_report.bin");
    let refused = judge_report(Path::new(&milan), &MILAN, &[]).unwrap_err();
    assert!(
        refused.contains("Milan is not accepted unless it is named"),
        "{refused}"
    );
    judge_report(Path::new(&milan), &MILAN, &["--generation", "Milan"]).unwrap();
    let debug = data("tests/data/milan_debug_policy_report.bin");
    let refused = judge_report(Path::new(&debug), &MILAN_DEBUG, &["--generation", "Milan"]).unwrap_err();
    assert!(refused.contains("the host may debug the guest"), "{refused}");
    let provider = data("tests/data/milan_vlek_vmpl1_report.bin");
    let refused = judge_report(Path::new(&provider), &MILAN, &["--generation", "Milan"]).unwrap_err();
    assert!(refused.contains("signed with VLEK"), "{refused}");
}

#[test]
fn a_real_report_that_was_altered_is_refused_wherever_it_was() {
    if !can_run() {
        return;
    }
    let genoa = fs::read(data("tests/data/genoa_attestation_report.bin")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report");
    for (place, reason) in [
        (0x00, "is of another chip"),
        (0x50, "is of another chip"),
        (0x90, "is of another chip"),
        (0x180, "is of another chip"),
        (0x1a0, "is of another chip"),
        (0x2a0, "is of another chip"),
        (0x2d8, "is of another chip"),
        (0x4c, "reserved bits of the report are set"),
        (0x208, "reserved bits of the report are set"),
        (0x49f, "reserved bits of the report are set"),
        (0x34, "signed with an unknown algorithm"),
    ] {
        let mut altered = genoa.clone();
        altered[place] ^= if place == 0 { 7 } else { 1 };
        fs::write(&file, altered).unwrap();
        let refused = judge_report(&file, &GENOA, &[]).unwrap_err();
        assert!(refused.contains(reason), "{place:#x}: {refused}");
    }
    fs::write(&file, &genoa[1..]).unwrap();
    let refused = judge_report(&file, &GENOA, &[]).unwrap_err();
    assert!(refused.contains("not 1183"), "{refused}");
    // The report under a manifest that it was not made for.
    let evidence = Evidence {
        kind: Kind::Snp,
        report: genoa,
        certificates: table(&GENOA),
        service: Vec::new(),
        manifest: fs::read(tree().join("trustlet-host/evidence/tests/data/manifest.txt")).unwrap(),
    };
    fs::write(&file, evidence.encode()).unwrap();
    let nonce = hex(&NONCE);
    let arguments = ["--nonce", &nonce, "--at", "2026-06-01T00:00:00Z"];
    let refused = judge(&file, &arguments).unwrap_err();
    assert!(refused.contains("or for another manifest"), "{refused}");
    let outside = with(&evidence, |evidence| {
        evidence.certificates.truncate(evidence.certificates.len() - 1);
    });
    fs::write(&file, outside).unwrap();
    let refused = judge(&file, &arguments).unwrap_err();
    assert!(refused.contains("points outside"), "{refused}");
}

/// Certificates as a host gives them to a guest.
fn table(files: &[&str]) -> Vec<u8> {
    let certificates: Vec<Vec<u8>> = files.iter().map(|file| fs::read(data(file)).unwrap()).collect();
    let mut offset = 24 * (certificates.len() + 1);
    let mut bytes = Vec::new();
    for certificate in &certificates {
        bytes.extend([7; 16]);
        bytes.extend(u32::try_from(offset).unwrap().to_le_bytes());
        bytes.extend(u32::try_from(certificate.len()).unwrap().to_le_bytes());
        offset += certificate.len();
    }
    bytes.extend([0; 24]);
    bytes.extend(certificates.concat());
    bytes
}
