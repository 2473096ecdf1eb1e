//! The example of `docs/evidence.md`, byte for byte. It was made by another implementation.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use hacher_evidence::emulated::{self, EmulatedError, EmulatedRoot};
use hacher_evidence::manifest::{Edge, Function, Gateway, Layer, Logs, Protection, Purpose, Trust};
use hacher_evidence::{Evidence, EvidenceError, Kind, Manifest, ManifestError, Word, report_data};

const MANIFEST: &[u8] = include_bytes!("data/manifest.txt");
const EVIDENCE: &[u8] = include_bytes!("data/evidence.bin");
const DOCUMENT: &str = include_str!("../../../docs/evidence.md");

/// Bytes 0, 1, 2, ... 63.
fn nonce() -> [u8; 64] {
    core::array::from_fn(|at| u8::try_from(at).unwrap())
}

fn root() -> EmulatedRoot {
    EmulatedRoot::new(&[1; 32])
}

fn word(text: &str) -> Word {
    Word::new(text).unwrap()
}

fn function(image: u8, name: &str, logs: Logs) -> Function {
    Function {
        image: [image; 48],
        name: word(name),
        is_carrier: name == "spool",
        logs,
    }
}

fn edge([from, port, to]: [&str; 3], protection: Protection, across: Option<&str>) -> Edge {
    Edge {
        from: word(from),
        port: word(port),
        to: word(to),
        protection,
        across: across.map(word),
    }
}

fn manifest() -> Manifest {
    let layer = |name, is_enforced| Layer {
        name: word(name),
        is_enforced,
    };
    let gateway = |image, is_own, tls_key| Gateway {
        image: [image; 48],
        is_own,
        logs: Logs::Dropped,
        tls_key,
    };
    let thumbnails = hacher_evidence::manifest::Chain {
        digest: [0xb1; 48],
        version: word("1.2.0"),
        name: word("thumbnails"),
        request_key: Some([0xb2; 32]),
        gateway: gateway(0xb3, true, Some([0xb4; 32])),
        functions: vec![
            function(0xb5, "decode", Logs::Dropped),
            function(0xb6, "pack", Logs::Forwarded),
            function(0xb7, "spool", Logs::Dropped),
        ],
        edges: vec![
            edge(
                ["ingress", "ingress", "decode"],
                Protection::Sealed,
                Some("spool"),
            ),
            edge(["decode", "out", "pack"], Protection::Mapped, None),
            edge(["decode", "reject", "egress"], Protection::Sealed, None),
            edge(["pack", "out", "egress"], Protection::Sealed, None),
        ],
    };
    let echo = hacher_evidence::manifest::Chain {
        digest: [0xc1; 48],
        version: word("0.1.0"),
        name: word("echo"),
        request_key: Some([0xc2; 32]),
        gateway: gateway(0xc3, false, None),
        functions: vec![function(0xc4, "echo", Logs::Dropped)],
        edges: vec![
            edge(["ingress", "ingress", "echo"], Protection::Sealed, None),
            edge(["echo", "out", "egress"], Protection::Sealed, None),
        ],
    };
    Manifest {
        purpose: Purpose::Nonce,
        secret: None,
        platform: word("process"),
        trust: Trust::OperatingSystem,
        layers: vec![layer("landlock", false), layer("user-namespace", true)],
        monitor_version: word("0.1.0"),
        monitor: [0xa1; 48],
        daemon: [0xa2; 48],
        statement_key: [0xa3; 32],
        chains: vec![thumbnails, echo],
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_manifest_is_the_documented_one() {
    assert_eq!(
        String::from_utf8(manifest().encode()).unwrap().as_bytes(),
        MANIFEST
    );
    assert_eq!(Manifest::decode(MANIFEST).unwrap(), manifest());
    let shown = std::str::from_utf8(MANIFEST).unwrap();
    assert!(DOCUMENT.contains(&format!("```text\n{shown}```\n")));
}

#[test]
fn the_evidence_is_the_documented_one() {
    let data = report_data(&nonce(), MANIFEST);
    let report = root().report(&data);
    let evidence = Evidence {
        kind: Kind::Emulated,
        report: report.clone(),
        certificates: Vec::new(),
        service: Vec::new(),
        manifest: MANIFEST.to_vec(),
    };
    assert_eq!(evidence.encode(), EVIDENCE);
    assert_eq!(Evidence::decode(EVIDENCE).unwrap(), evidence);
    assert_eq!(evidence.expected_report_data(&nonce()), data);
    assert_eq!(emulated::verify(&report, &data), Ok(root().public_key()));
    let before_manifest = &EVIDENCE[..EVIDENCE.len() - MANIFEST.len()];
    let document: String = DOCUMENT.split_whitespace().collect();
    for bytes in [&data[..], &report, before_manifest] {
        assert!(document.contains(&hex(bytes)), "{} is documented", hex(bytes));
    }
}

#[test]
fn a_purpose_is_one_of_two_and_part_of_what_is_vouched_for() {
    let session = Manifest {
        purpose: Purpose::Session,
        ..manifest()
    };
    assert_eq!(Manifest::decode(&session.encode()), Ok(session.clone()));
    assert_ne!(
        report_data(&nonce(), &session.encode()),
        report_data(&nonce(), MANIFEST)
    );
}

/// Refused, or over other report data.
fn is_found_out(bytes: &[u8]) -> bool {
    Manifest::decode(bytes).is_err() || report_data(&nonce(), bytes) != report_data(&nonce(), MANIFEST)
}

#[test]
fn a_manifest_that_was_tampered_with_is_refused_or_reported_over_differently() {
    for at in 0..MANIFEST.len() {
        for flip in [1, 0x20, 0x80] {
            let mut changed = MANIFEST.to_vec();
            changed[at] ^= flip;
            assert!(is_found_out(&changed), "byte {at}");
        }
        assert!(is_found_out(&MANIFEST[..at]), "cut after {at} bytes");
    }
    let longer = [MANIFEST, b"edge echo out egress sealed\n"].concat();
    assert!(is_found_out(&longer));
}

#[test]
fn a_manifest_cut_within_a_line_or_with_lines_out_of_order_is_refused() {
    for at in (0..MANIFEST.len()).filter(|&at| at == 0 || MANIFEST[at - 1] != b'\n') {
        let cut = Manifest::decode(&MANIFEST[..at]);
        assert_eq!(cut, Err(ManifestError::CutShort), "cut after {at} bytes");
    }
    let lines: Vec<&str> = std::str::from_utf8(MANIFEST)
        .unwrap()
        .split_inclusive('\n')
        .collect();
    let kind = |line: &str| line.split(' ').next().unwrap().to_owned();
    for at in 1..lines.len() {
        let mut swapped = lines.clone();
        swapped.swap(at - 1, at);
        let swapped = swapped.concat();
        // The order of functions and edges is the chain's: another one says something else.
        let is_a_list = ["function", "carrier", "edge"].contains(&kind(lines[at]).as_str())
            && ["function", "carrier", "edge"].contains(&kind(lines[at - 1]).as_str())
            && (kind(lines[at]) == "edge") == (kind(lines[at - 1]) == "edge");
        assert_eq!(
            Manifest::decode(swapped.as_bytes()).is_ok(),
            is_a_list,
            "line {at}"
        );
        assert!(is_found_out(swapped.as_bytes()));
        let mut dropped = lines.clone();
        dropped.remove(at);
        assert!(is_found_out(dropped.concat().as_bytes()));
    }
}

#[test]
fn no_other_spelling_of_a_line_is_taken() {
    let text = std::str::from_utf8(MANIFEST).unwrap();
    for (line, other) in [
        ("hacher-manifest 1\n", "hacher-manifest 2\n"),
        ("purpose nonce\n", ""),
        ("purpose nonce\n", "purpose Session\n"),
        ("purpose nonce\n", "purpose nonce session\n"),
        ("purpose nonce\n", "purpose nonce\npurpose session\n"),
        ("platform process\n", "platform  process\n"),
        ("platform process\n", "platform process \n"),
        ("platform process\n", "platform process\r\n"),
        ("trust operating-system\n", "trust\n"),
        (
            "layer landlock missing\n",
            "layer landlock missing\nlayer landlock missing\n",
        ),
        ("tls-key none\n", "tls-key none\n\n"),
        ("daemon a2", "daemon A2"),
        ("daemon a2", "daemon 0xa2"),
        (" own logs", " Own logs"),
        (" sealed across spool", " mapped across spool"),
        (" sealed across spool", " sealed across decode"),
        (" sealed across spool", " sealed across spool spool"),
        (" sealed across spool", " sealed across"),
        ("edge decode out pack", "edge nobody out pack"),
        ("edge decode out pack", "edge spool out pack"),
        ("edge decode out pack", "edge ingress out pack"),
        ("edge decode out pack", "edge decode out nobody"),
        (" pack logs", " decode logs"),
        (" pack logs", " egress logs"),
        (" 0.1.0 echo\n", " 0.1.0 thumbnails\n"),
        (" 0.1.0 echo\n", " 0.1.0 \u{e9}cho\n"),
    ] {
        assert!(text.contains(line), "{line}");
        let changed = text.replacen(line, other, 1);
        assert!(Manifest::decode(changed.as_bytes()).is_err(), "{other}");
    }
    let error = Manifest::decode(text.replacen("daemon a2", "daemon A2", 1).as_bytes()).unwrap_err();
    assert_eq!(error.to_string(), "line 8 of the manifest is not `daemon HEX96`");
    let long = Manifest::decode(&vec![b'\n'; 1024 * 1024 + 1]);
    assert_eq!(long, Err(ManifestError::TooLong { len_bytes: 1_048_577 }));
}

#[test]
fn evidence_that_was_cut_or_extended_or_is_of_no_known_kind_is_refused() {
    for len in 0..EVIDENCE.len() {
        assert!(Evidence::decode(&EVIDENCE[..len]).is_err(), "{len} bytes");
    }
    let longer = [EVIDENCE, b"x"].concat();
    assert_eq!(Evidence::decode(&longer), Err(EvidenceError::Surplus(1)));
    let mut other = EVIDENCE.to_vec();
    other[16] = 4;
    assert_eq!(Evidence::decode(&other), Err(EvidenceError::Kind(4)));
    let mut endless = EVIDENCE.to_vec();
    endless[20..24].copy_from_slice(&[0xff; 4]);
    assert!(matches!(
        Evidence::decode(&endless),
        Err(EvidenceError::TooLong { part: "report", .. })
    ));
    assert_eq!(Evidence::decode(b"{}"), Err(EvidenceError::Foreign));
}

#[test]
fn evidence_has_no_part_that_its_kind_does_not_have() {
    let with = |kind, certificates: &[u8], service: &[u8]| {
        let evidence = Evidence {
            kind,
            report: vec![0; 1184],
            certificates: certificates.to_vec(),
            service: service.to_vec(),
            manifest: MANIFEST.to_vec(),
        };
        Evidence::decode(&evidence.encode()).map(|decoded| assert_eq!(decoded, evidence))
    };
    assert_eq!(with(Kind::Snp, b"table", b""), Ok(()));
    assert_eq!(with(Kind::SnpSvsm, b"table", b"services"), Ok(()));
    assert!(matches!(
        with(Kind::Snp, b"", b"services"),
        Err(EvidenceError::Unexpected { .. })
    ));
    assert!(matches!(
        with(Kind::Emulated, b"table", b""),
        Err(EvidenceError::Unexpected { .. })
    ));
}

#[test]
fn an_emulated_report_holds_for_its_data_alone_and_has_a_type_of_its_own() {
    let data = report_data(&nonce(), MANIFEST);
    let report = root().report(&data);
    for at in 0..report.len() {
        let mut changed = report.clone();
        changed[at] ^= 1;
        assert!(emulated::verify(&changed, &data).is_err(), "byte {at}");
        assert_eq!(
            emulated::verify(&report[..at], &data),
            Err(EmulatedError::Malformed)
        );
    }
    let other = report_data(&[0; 64], MANIFEST);
    assert_eq!(emulated::verify(&report, &other), Err(EmulatedError::ReportData));
    // A report of SNP begins with its version, 32 bits below 256, and has 1,184 bytes.
    assert!(report.len() != 1184 && report[..4] == *b"hach");
}

#[test]
fn the_report_of_an_svsm_is_over_the_manifest_of_its_services() {
    let evidence = |kind| Evidence {
        kind,
        report: Vec::new(),
        certificates: Vec::new(),
        service: b"services".to_vec(),
        manifest: MANIFEST.to_vec(),
    };
    let inner = report_data(&nonce(), MANIFEST);
    assert_eq!(evidence(Kind::Snp).expected_report_data(&nonce()), inner);
    let outer = evidence(Kind::SnpSvsm).expected_report_data(&nonce());
    assert_eq!(outer, report_data(&inner, b"services"));
}

#[test]
fn a_manifest_for_a_key_broker_names_a_resource_and_no_gateway() {
    let text = std::str::from_utf8(MANIFEST).unwrap();
    let tls_key = format!("tls-key sha256 {}", "b4".repeat(32));
    let for_broker = text
        .replace(
            "purpose nonce\n",
            "purpose secret\nsecret default db password.v1\n",
        )
        .replace(
            &format!("request-key x25519 {}", "b2".repeat(32)),
            "request-key none",
        )
        .replace(
            &format!("request-key x25519 {}", "c2".repeat(32)),
            "request-key none",
        )
        .replace(&tls_key, "tls-key none");
    let manifest = Manifest::decode(for_broker.as_bytes()).unwrap();
    assert_eq!(manifest.encode(), for_broker.as_bytes());
    assert_eq!(manifest.purpose, Purpose::Secret);
    assert_eq!(manifest.secret.unwrap().tag, *"password.v1");
    assert!(manifest.chains.iter().all(|chain| chain.request_key.is_none()));
    for (from, to) in [
        ("secret default db password.v1\n", ""),
        ("secret default db password.v1\n", "secret default db\n"),
        (
            "secret default db password.v1\n",
            "secret default db password.v1 more\n",
        ),
        ("purpose secret\n", "purpose nonce\n"),
        ("purpose secret\n", "purpose session\n"),
        (
            "request-key none",
            &format!("request-key x25519 {}", "b2".repeat(32)),
        ),
        ("tls-key none", &tls_key),
    ] {
        let changed = for_broker.replacen(from, to, 1);
        assert!(Manifest::decode(changed.as_bytes()).is_err(), "{from} {to}");
    }
    let without_key = text.replacen(
        &format!("request-key x25519 {}", "b2".repeat(32)),
        "request-key none",
        1,
    );
    assert!(Manifest::decode(without_key.as_bytes()).is_err());
}
