//! Copies of evidence that were tampered with, each in another way.

use super::NONCE;
use hacher_evidence::emulated::EmulatedRoot;
use hacher_evidence::{Evidence, Kind};

/// A change that is made to the bytes of evidence.
pub(crate) type Tampering = fn(&Evidence) -> Vec<u8>;

pub(crate) fn with(evidence: &Evidence, change: impl FnOnce(&mut Evidence)) -> Vec<u8> {
    let mut changed = evidence.clone();
    change(&mut changed);
    changed.encode()
}

/// With another manifest, which stays under the old report.
fn rewritten(evidence: &Evidence, change: impl FnOnce(String) -> String) -> Vec<u8> {
    let text = String::from_utf8(evidence.manifest.clone()).unwrap();
    let changed = change(text.clone());
    assert_ne!(changed, text, "nothing was changed");
    with(evidence, |evidence| evidence.manifest = changed.into_bytes())
}

/// With another manifest, and a report of a root of one's own over it.
pub(crate) fn forged(evidence: &Evidence, change: impl FnOnce(String) -> String) -> Vec<u8> {
    let mut changed = Evidence::decode(&rewritten(evidence, change)).unwrap();
    let root = EmulatedRoot::new(&[9; 32]);
    changed.report = root.report(&changed.expected_report_data(&NONCE));
    changed.encode()
}

/// The first line that starts so.
pub(crate) fn line<'a>(text: &'a str, start: &str) -> &'a str {
    let found = text.lines().find(|line| line.starts_with(start));
    found.unwrap_or_else(|| panic!("no line `{start}` in {text}"))
}

fn swapped(text: &str, first: &str, second: &str) -> String {
    let (first, second) = (line(text, first).to_owned(), line(text, second).to_owned());
    text.replace(&first, "\0")
        .replace(&second, &first)
        .replace('\0', &second)
}

fn without(text: &str, start: &str) -> String {
    text.replace(&format!("{}\n", line(text, start)), "")
}

/// Another digit in the place of the first one of a hash behind `start`.
fn with_another_hash(text: &str, start: &str) -> String {
    let place = text.find(start).unwrap() + start.len();
    let other = if &text[place..=place] == "0" { "1" } else { "0" };
    format!("{}{other}{}", &text[..place], &text[place + 1..])
}

/// Bytes of evidence before the report: magic, kind, length.
const BEFORE_REPORT: usize = 24;

/// What is changed, and a part of the reason, which no other change has.
pub(crate) const COPIES: [(&str, Tampering, &str); 32] = [
    (
        "another beginning",
        |e| flipped(&e.encode(), 0),
        "does not begin with `hacher-evidence`",
    ),
    (
        "an unknown kind",
        |e| flipped(&e.encode(), 16),
        "evidence of kind 0 is not known",
    ),
    (
        "passed off as SNP",
        |e| with(e, |e| e.kind = Kind::Snp),
        "has 1184 bytes, not 184",
    ),
    (
        "a report that claims to be endless",
        |e| flipped(&e.encode(), 23),
        "bytes of report; 4096 are the most",
    ),
    (
        "cut in its kind",
        |e| e.encode()[..18].to_vec(),
        "cut short in its kind",
    ),
    (
        "cut in its report",
        |e| e.encode()[..BEFORE_REPORT + 9].to_vec(),
        "cut short in its report",
    ),
    (
        "cut in its manifest",
        |e| e.encode()[..e.encode().len() - 1].to_vec(),
        "cut short in its manifest",
    ),
    (
        "a byte behind",
        |e| [e.encode(), vec![0]].concat(),
        "1 bytes follow",
    ),
    (
        "certificates of its own",
        |e| with(e, |e| e.certificates = vec![1; 24]),
        "emulated evidence has no certificates",
    ),
    (
        "a service manifest",
        |e| with(e, |e| e.service = vec![1]),
        "emulated evidence has no service manifest",
    ),
    (
        "a report of another type",
        |e| with(e, |e| e.report[3] ^= 1),
        "not a report of the type hacher-emulated-report-1",
    ),
    (
        "another signature",
        |e| with(e, |e| e.report[130] ^= 1),
        "the signature of the emulated report is wrong",
    ),
    (
        "another function in the manifest",
        |e| rewritten(e, |text| with_another_hash(&text, "function ")),
        "or for another manifest",
    ),
    (
        "a manifest with another digest, signed anew",
        |e| forged(e, |text| with_another_hash(&text, "chain ")),
        "which is not expected",
    ),
    (
        "a claim of hardware, signed anew",
        |e| forged(e, |text| text.replace("trust operating-system", "trust hardware")),
        "no hardware vouches for it",
    ),
    (
        "a question of the gateway's own, signed anew",
        |e| forged(e, |text| text.replace("purpose nonce", "purpose session")),
        "for a question of the gateway's own",
    ),
    (
        "no purpose",
        |e| rewritten(e, |text| without(&text, "purpose ")),
        "is not `purpose nonce|session`",
    ),
    (
        "another chain's name, signed anew",
        |e| forged(e, |text| text.replace(" t\nrequest", " u\nrequest")),
        "the evidence is about u, not t alone",
    ),
    (
        "a manifest of a later form",
        |e| rewritten(e, |text| text.replace("hacher-manifest 1", "hacher-manifest 2")),
        "is not `hacher-manifest 1`",
    ),
    (
        "a line removed",
        |e| rewritten(e, |text| without(&text, "daemon ")),
        "is not `daemon HEX96`",
    ),
    (
        "lines in another order",
        |e| rewritten(e, |text| swapped(&text, "platform ", "trust ")),
        "is not `platform NAME`",
    ),
    (
        "layers in another order",
        |e| rewritten(e, |text| swapped(&text, "layer landlock", "layer seccomp")),
        "is not a layer whose name comes after the last one's",
    ),
    (
        "a function twice",
        |e| {
            rewritten(e, |text| {
                let function = line(&text, "function ");
                text.replace(function, &format!("{function}\n{function}"))
            })
        },
        "is not a function or carrier of a name of its own",
    ),
    (
        "an edge to nobody",
        |e| rewritten(e, |text| format!("{text}edge f out g sealed\n")),
        "is not an edge between functions of this chain",
    ),
    (
        "an edge protected otherwise",
        |e| rewritten(e, |text| text.replace("ingress f sealed", "ingress f open")),
        "is not `edge FROM PORT TO",
    ),
    (
        "an empty line at the end",
        |e| rewritten(e, |text| format!("{text}\n")),
        "is not `chain HEX96 VERSION NAME`",
    ),
    (
        "upper-case digits",
        |e| {
            rewritten(e, |text| {
                let key = line(&text, "statement-key ").replace("statement-key ed25519 ", "");
                text.replace(&key, &key.to_uppercase())
            })
        },
        "is not `statement-key ed25519 HEX64`",
    ),
    (
        "a blank too many",
        |e| rewritten(e, |text| text.replace("monitor ", "monitor  ")),
        "is not `monitor VERSION HEX96`",
    ),
    (
        "no TLS key",
        |e| rewritten(e, |text| without(&text, "tls-key ")),
        "is not `tls-key none`",
    ),
    (
        "a manifest without its last line feed",
        |e| rewritten(e, |text| text.trim_end().to_owned()),
        "does not end with a line feed",
    ),
    (
        "a letter that is not ASCII",
        |e| rewritten(e, |text| text.replace("platform process", "platform pröcess")),
        "is not ASCII text",
    ),
    (
        "a manifest that is too long",
        |e| {
            let most = 1024 * 1024;
            let mut bytes = with(e, |e| e.manifest.resize(most, b'\n'));
            bytes.push(b'\n');
            let place = bytes.len() - most - 5;
            bytes[place..place + 4].copy_from_slice(&1_048_577_u32.to_le_bytes());
            bytes
        },
        "1048577 bytes of manifest; 1048576 are the most",
    ),
];

fn flipped(bytes: &[u8], place: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[place] ^= 1;
    bytes
}
