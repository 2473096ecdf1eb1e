//! `call` learns what will see its data before it sends any: it refuses chains that are not what is expected,
//! and neither evidence nor requests are worth anything to somebody in between.

use bytes::Bytes;
use hacher_client::caller::{CallError, Caller, Question};
use hacher_client::evidence::{Demands, Digest};
use hacher_client::tls::Trust;
use hacher_evidence::session::{ChannelBinding, EXPORTER_BYTES, EXPORTER_LABEL};
use hacher_evidence::{Evidence, Manifest};
use hacher_sealed_request::problem;
use hacher_skipped::skipped;
use hacher_tests::middle::{Forward, Middle, Pair, Script};
use hacher_tests::tenants::{Tenants, command, get, until, write};
use hacher_tests::{Scrape, Service, executable, function};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use ring::digest::{SHA256, digest};
use rustix::process::{Pid, Signal, kill_process};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// Exit code of a command that has met something else than was demanded, or that is not authentic.
const UNTRUSTED: i32 = 4;
const SECRET: &[u8] = b"what nobody on the way may read";

fn chain(more: &str, tables: &str) -> String {
    format!(
        "chain = \"t\"\nversion = \"1\"\n{more}\n[ingress]\nmax_body = \"2MiB\"\nmax_reply = \"4MiB\"\n{tables}"
    )
}

fn echo() -> String {
    chain(
        "flow = [\"ingress -> a -> egress\"]",
        &function("a", "echo", "outbox = \"8MiB\""),
    )
}

fn measured(file: &Path) -> String {
    let (code, printed, said) = command(&["measure", file.to_str().unwrap(), "--format", "json"]).unwrap();
    assert_eq!(code, Some(0), "{said}");
    let value: Value = serde_json::from_str(&printed).unwrap();
    let one = value.as_array().map_or(&value, |all| &all[0]);
    one["digest"].as_str().unwrap().to_owned()
}

/// What `call` came to.
struct Called {
    code: Option<i32>,
    output: Option<Vec<u8>>,
    said: String,
}

/// Calls chain `t` with further arguments.
fn call(body: &[u8], arguments: &[&str]) -> Called {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in.txt"), folder.path().join("out"));
    fs::write(&input, body).unwrap();
    let files = [
        "--input",
        input.to_str().unwrap(),
        "--output",
        output.to_str().unwrap(),
    ];
    let (code, _, said) = command(&[&["call", "t"], &files[..], arguments].concat()).unwrap();
    Called {
        code,
        output: fs::read(output).ok(),
        said,
    }
}

impl Called {
    fn succeeds(&self, body: &[u8]) {
        assert_eq!(self.code, Some(0), "{}", self.said);
        assert!(self.output.as_deref() == Some(body), "{} bytes", body.len());
    }

    /// Refused for checks, which are shown.
    fn refused(&self, checks: &[&str]) {
        assert_eq!(self.code, Some(UNTRUSTED), "{}", self.said);
        assert_eq!(self.output, None);
        for check in checks {
            let shown = self
                .said
                .lines()
                .any(|line| line.contains("FAILED") && line.contains(check));
            assert!(shown, "{check} in {}", self.said);
        }
        assert!(self.said.contains("nothing was sent"), "{}", self.said);
    }

    fn fails(&self, code: i32, word: &str) {
        assert_eq!((self.code, &self.output), (Some(code), &None), "{}", self.said);
        assert!(self.said.contains(word), "{word} in {}", self.said);
    }
}

fn forwarding() -> Script {
    Box::new(|request, forward: Forward<'_>| Some(forward(&request)))
}

/// Calls through somebody who only watches: refused for these checks, and nothing but a question for evidence
/// was seen.
fn refused_unsent(gateway: SocketAddr, arguments: &[&str], checks: &[&str]) {
    let middle = Middle::start(gateway, None, forwarding()).unwrap();
    let address = middle.address.to_string();
    call(SECRET, &[&["--gateway", &address], arguments].concat()).refused(checks);
    assert!(middle.has_seen(b"GET /evidence?nonce="));
    assert!(!middle.has_seen(b"POST") && !middle.has_seen(SECRET));
}

#[test]
fn a_chain_that_is_what_was_expected_answers() {
    let service = Service::start(&echo()).unwrap();
    let (address, digest) = (service.gateway.to_string(), measured(&service.chain_file()));
    let expected = ["--gateway", &address, "--expect-digest", &digest];
    let allowed = [&expected[..], &["--allow-emulated"]].concat();
    for len in [0, 1, 65_535, 65_536, 65_537, 1 << 20, 2 << 20] {
        let body = vec![b'x'; len];
        call(&body, &allowed).succeeds(&body);
    }
    let large = call(&vec![0; (2 << 20) + 1], &allowed);
    // Said under the key of the request, once that was opened.
    large.fails(1, "413 the body is too large");
    refused_unsent(service.gateway, &expected[2..], &["platform"]);
    // What no evidence is asked for goes as it always went.
    call(b"plain", &expected[..2]).succeeds(b"plain");
    let small = [&allowed[..], &["--max-reply", "10B"]].concat();
    call(b"more than ten", &small).fails(1, "more than 10 bytes");
    let file = service.chain_file();
    let policy = file.with_extension("policy");
    let written = [
        "measure",
        file.to_str().unwrap(),
        "--policy",
        policy.to_str().unwrap(),
    ];
    assert_eq!(command(&written).unwrap().0, Some(0));
    // The draft accepts hardware alone.
    let by_policy = ["--policy", policy.to_str().unwrap(), "--allow-emulated"];
    refused_unsent(service.gateway, &by_policy, &["platform"]);
    let text = fs::read_to_string(&policy)
        .unwrap()
        .replace("[\"snp\", \"snp-svsm\"]", "[\"emulated\"]");
    fs::write(&policy, text).unwrap();
    call(SECRET, &[&expected[..2], &by_policy].concat()).succeeds(SECRET);
}

/// Keys of further requests are made while one is on its way: each serves one request, or the gateway would
/// refuse a repeated one, and none serves what was not verified when it was made.
#[test]
fn a_session_seals_each_request_under_a_key_of_its_own() {
    let service = Service::start(&echo()).unwrap();
    let measured = measured(&service.chain_file());
    let (digits, _) = measured.as_bytes().as_chunks::<2>();
    let byte = |digits: &[u8; 2]| u8::from_str_radix(str::from_utf8(digits).unwrap(), 16).unwrap();
    let digest: Vec<u8> = digits.iter().map(byte).collect();
    let mut demands = Demands {
        allow_emulated: true,
        ..Demands::default()
    };
    demands
        .policy
        .manifest
        .chains
        .insert(Digest(digest.try_into().unwrap()));
    let caller = Caller {
        gateway: format!("http://{}", service.gateway).parse().unwrap(),
        trust: Trust::AnyCertificate,
        identity: None,
        chain: "t".to_owned(),
        demands,
        reply_max_bytes: 1 << 20,
        idle_max: Duration::from_secs(60),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut session = caller.sealed_session().await.unwrap();
        for len in [0, 1, 4_096, 100_000, 3] {
            let body = Bytes::from(vec![b'x'; len]);
            let reply = session.call(&Question::new("text/plain", body.clone())).await;
            assert_eq!(reply.unwrap().body, body);
        }
        let verified = session.verified.chain_digest;
        session.verified.chain_digest = [0; 48];
        let refused = session.call(&Question::new("text/plain", "x")).await;
        assert!(matches!(refused, Err(CallError::Unsealed(_))), "{refused:?}");
        session.verified.chain_digest = verified;
        let reply = session.call(&Question::new("text/plain", "again")).await;
        assert_eq!(reply.unwrap().body, "again");
    });
}

#[test]
fn a_chain_that_is_another_gets_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let expected = measured(&write(folder.path(), "expected.toml", &echo()).unwrap());
    let arguments = ["--expect-digest", &expected, "--allow-emulated"];
    let flow = "flow = [\"ingress -> a -> egress\"]";
    let more_flow = "flow = [\"ingress -> a -> egress\", \"a.more -> egress\"]";
    let table = function("a", "echo", "outbox = \"8MiB\"");
    let original = executable("test-function");
    let other_function = table.replace(
        original.to_str().unwrap(),
        changed(folder.path()).to_str().unwrap(),
    );
    let others = [
        ("one byte of a function", chain(flow, &other_function)),
        (
            "one edge more",
            chain(
                more_flow,
                &table.replace("outbox", "ports = [\"out\", \"more\"]\noutbox"),
            ),
        ),
        (
            "logs forwarded",
            chain(flow, &table.replace("outbox", "logs = \"forward\"\noutbox")),
        ),
        ("another limit", echo().replace("2MiB", "3MiB")),
    ];
    for (what, text) in others {
        let service = Service::start(&text).unwrap();
        assert!(measured(&service.chain_file()) != expected, "{what}");
        refused_unsent(service.gateway, &arguments, &["chain-digest"]);
    }
}

/// A copy of the test function with one byte of a text in it changed.
fn changed(folder: &Path) -> PathBuf {
    let mut bytes = fs::read(executable("test-function")).unwrap();
    let text = b"last words, without a newline";
    let at = bytes
        .windows(text.len())
        .position(|window| window == text)
        .unwrap();
    bytes[at] = b'L';
    let path = folder.join("changed");
    fs::write(&path, bytes).unwrap();
    let executable = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o755);
    fs::set_permissions(&path, executable).unwrap();
    path
}

#[test]
fn a_chain_that_a_policy_does_not_accept_gets_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let two = format!(
        "{}{}",
        function("a", "echo", "outbox = \"8MiB\""),
        function("b", "echo", "outbox = \"8MiB\"")
    );
    let mapped = chain(
        "protection = \"mapped\"\nflow = [\"ingress -> a -> b -> egress\"]",
        &two,
    );
    let service = Service::start(&mapped).unwrap();
    let digest = measured(&service.chain_file());
    let platforms = "platforms = [\"emulated\"]";
    let cases = [
        ("[chain]\nprotection = \"sealed\"", "protections"),
        ("[monitor]\nlayers = [\"a-layer-that-nobody-has\"]", "layers"),
        ("[monitor]\ntrust = \"hardware\"", "manifest-platform"),
    ];
    for (demand, check) in cases {
        let chain = format!("[chain]\ndigests = [\"{digest}\"]");
        let demand = match demand.strip_prefix("[chain]") {
            Some(more) => format!("{chain}{more}"),
            None => format!("{chain}\n{demand}"),
        };
        let policy = write(folder.path(), "policy.toml", &format!("{platforms}\n{demand}\n")).unwrap();
        refused_unsent(
            service.gateway,
            &["--policy", policy.to_str().unwrap(), "--allow-emulated"],
            &[check],
        );
    }
    let all = format!("{platforms}\n[chain]\ndigests = [\"{digest}\"]\n");
    let policy = write(folder.path(), "policy.toml", &all).unwrap();
    let arguments = [
        "--gateway",
        &service.gateway.to_string(),
        "--policy",
        policy.to_str().unwrap(),
        "--allow-emulated",
    ];
    call(SECRET, &arguments).succeeds(SECRET);
}

/// A service over TLS, somebody with a certificate by the same authority, and what clients know.
struct Relayed {
    _service: Tenants,
    folder: TempDir,
    gateway: SocketAddr,
    authority: CertificateDer<'static>,
    other: Pair,
    digest: String,
}

impl Relayed {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // A name of its own: else what it signs looks as if it had signed itself.
        params
            .distinguished_name
            .push(DnType::CommonName, "an authority of a test");
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let issue = || {
            let key = KeyPair::generate().unwrap();
            let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
            (
                CertificateParams::new(names)
                    .unwrap()
                    .signed_by(&key, &authority)
                    .unwrap(),
                key,
            )
        };
        let ((own, key), (other, other_key)) = (issue(), issue());
        write(folder.path(), "cert.pem", &own.pem()).unwrap();
        write(folder.path(), "key.pem", &key.serialize_pem()).unwrap();
        write(folder.path(), "ca.pem", &authority.pem()).unwrap();
        let tls = "[ingress]\nlisten = \"127.0.0.1:0\"\ntls = { cert = \"cert.pem\", key = \"key.pem\" }";
        let text = echo().replace("[ingress]", tls);
        let service = Tenants::start(folder.path(), &[("t", text)], &[]).unwrap();
        Self {
            gateway: service.address("t"),
            digest: measured(&folder.path().join("t.toml")),
            _service: service,
            authority: authority.der().clone(),
            other: Pair {
                certificate: other.der().clone(),
                key: other_key.serialize_der(),
            },
            folder,
        }
    }

    fn in_between(&self, script: Script) -> Middle {
        Middle::start(self.gateway, Some((&self.other, &self.authority)), script).unwrap()
    }

    fn call(&self, address: SocketAddr, more: &[&str]) -> Called {
        let url = format!("https://{address}");
        let ca = self.folder.path().join("ca.pem");
        let common = [
            "--url",
            &url,
            "--ca",
            ca.to_str().unwrap(),
            "--expect-digest",
            &self.digest,
            "--allow-emulated",
        ];
        call(SECRET, &[&common[..], more].concat())
    }

    /// A connection of a client of its own, and what it is told from others by.
    fn connect(&self) -> (StreamOwned<ClientConnection, TcpStream>, ChannelBinding) {
        self.connect_with(&[&rustls::version::TLS13])
    }

    fn connect_with(
        &self,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> (StreamOwned<ClientConnection, TcpStream>, ChannelBinding) {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions);
        let config = builder
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        let mut connection = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut stream = TcpStream::connect(self.gateway).unwrap();
        while connection.is_handshaking() {
            connection.complete_io(&mut stream).unwrap();
        }
        let binding = binding_of(&connection);
        (StreamOwned::new(connection, stream), binding)
    }
}

fn binding_of(connection: &ClientConnection) -> ChannelBinding {
    let exporter = [0; EXPORTER_BYTES];
    let exporter = connection
        .export_keying_material(exporter, EXPORTER_LABEL, Some(&[]))
        .unwrap();
    let leaf = digest(&SHA256, &connection.peer_certificates().unwrap()[0]);
    ChannelBinding {
        exporter,
        leaf: leaf.as_ref().try_into().unwrap(),
    }
}

fn is_evidence(request: &[u8]) -> bool {
    request.starts_with(b"GET /evidence")
}

#[test]
fn a_bound_session_ends_at_the_gateway_itself_or_nothing_is_sent() {
    let relayed = Relayed::new();
    relayed.call(relayed.gateway, &["--bound"]).succeeds(SECRET);
    relayed.call(relayed.gateway, &[]).succeeds(SECRET);
    // No authority is needed where evidence names the key.
    let url = format!("https://{}", relayed.gateway);
    let known = [
        "--url",
        &url,
        "--expect-digest",
        &relayed.digest,
        "--allow-emulated",
    ];
    call(SECRET, &[&known[..], &["--bound"]].concat()).succeeds(SECRET);

    let relay = relayed.in_between(forwarding());
    relayed
        .call(relay.address, &["--bound"])
        .refused(&["report-data", "tls-key"]);
    assert!(!relay.has_seen(SECRET) && !relay.has_seen(b"POST"));
}

#[test]
fn evidence_of_another_connection_is_refused() {
    let relayed = Relayed::new();
    // Asked for by the relay, of its own connection to the gateway, with any random bytes.
    let own_random = "ab".repeat(32);
    let relay = relayed.in_between(Box::new(move |request, forward: Forward<'_>| {
        let text = String::from_utf8_lossy(&request).into_owned();
        let at = text.find("session=").unwrap() + 8;
        let own = text.replace(&text[at..at + 64], &own_random);
        Some(forward(own.as_bytes()))
    }));
    relayed
        .call(relay.address, &["--bound"])
        .refused(&["report-data", "tls-key"]);
    // Kept, and given to whoever comes next.
    let mut kept = None;
    let relay = relayed.in_between(Box::new(move |request, forward: Forward<'_>| {
        Some(kept.get_or_insert_with(|| forward(&request)).clone())
    }));
    for _ in 0..2 {
        relayed
            .call(relay.address, &["--bound"])
            .refused(&["report-data"]);
    }
    // Of an honest client, directly, and then of another connection of it.
    let (mut stream, binding) = relayed.connect();
    let random = [0x0c; 32];
    let ask = format!(
        "GET /evidence?session={}&chain=t HTTP/1.1\r\nhost: localhost\r\n\r\n",
        "0c".repeat(32)
    );
    let evidence = |stream: &mut StreamOwned<ClientConnection, TcpStream>| {
        stream.write_all(ask.as_bytes()).unwrap();
        let (mut reply, mut piece) = (Vec::new(), [0; 4096]);
        loop {
            let len = stream.read(&mut piece).unwrap();
            reply.extend_from_slice(&piece[..len]);
            let end = reply
                .windows(4)
                .position(|bytes| bytes == b"\r\n\r\n")
                .map(|at| at + 4);
            if let Some(Ok(evidence)) = end.map(|end| Evidence::decode(&reply[end..])) {
                return evidence;
            }
        }
    };
    let over_first = evidence(&mut stream);
    let expected = over_first.expected_report_data(&binding.nonce(&random));
    hacher_evidence::emulated::verify(&over_first.report, &expected).unwrap();
    let manifest = Manifest::decode(&over_first.manifest).unwrap();
    assert_eq!(manifest.purpose.word(), "session");
    let (mut second, other_binding) = relayed.connect();
    let over_second = evidence(&mut second);
    assert!(other_binding != binding && over_second.report != over_first.report);
    let expected = over_second.expected_report_data(&binding.nonce(&random));
    assert!(hacher_evidence::emulated::verify(&over_second.report, &expected).is_err());
}

#[test]
fn evidence_for_a_nonce_is_none_for_a_session() {
    // The relay has evidence made for the very nonce that its client will compute: it knows its own end of
    // that connection, but the real gateway says that the nonce was sent.
    let relayed = Relayed::new();
    let (mut stream, binding) = relayed.connect();
    let nonce: String = binding
        .nonce(&[0x0c; 32])
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let ask = format!(
        "GET /evidence?nonce={nonce}&chain=t HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(ask.as_bytes()).unwrap();
    let mut reply = Vec::new();
    let _ = stream.read_to_end(&mut reply);
    let at = reply.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap() + 4;
    let evidence = Evidence::decode(&reply[at..]).unwrap();
    let expected = evidence.expected_report_data(&binding.nonce(&[0x0c; 32]));
    hacher_evidence::emulated::verify(&evidence.report, &expected).unwrap();
    assert_eq!(
        Manifest::decode(&evidence.manifest).unwrap().purpose.word(),
        "nonce"
    );
    // And a command that is given such evidence says so.
    let (text, file) = (&relayed.digest, relayed.folder.path().join("evidence"));
    fs::write(&file, &reply[at..]).unwrap();
    let arguments = [
        "verify",
        file.to_str().unwrap(),
        "--nonce",
        &nonce,
        "--session",
        "--expect-digest",
        text,
        "--allow-emulated",
    ];
    let (code, printed, _) = command(&arguments).unwrap();
    assert_eq!(code, Some(1));
    assert!(
        printed
            .lines()
            .any(|line| line.contains("FAILED") && line.contains("purpose")),
        "{printed}"
    );
}

#[test]
fn a_session_needs_tls_1_3_to_the_gateway() {
    let service = Service::start(&echo()).unwrap();
    let reply = get(service.gateway, &format!("/evidence?session={}", "0c".repeat(32))).unwrap();
    assert_eq!(reply.status.as_u16(), 400);
    let problem = reply.json();
    assert!(
        problem["detail"].as_str().unwrap().contains("TLS 1.3"),
        "{problem}"
    );
    // TLS 1.2 has an exporter, too, but not one that is unique by itself.
    let relayed = Relayed::new();
    let (mut stream, _) = relayed.connect_with(&[&rustls::version::TLS12]);
    let ask = format!(
        "GET /evidence?session={} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
        "0c".repeat(32)
    );
    stream.write_all(ask.as_bytes()).unwrap();
    let mut reply = Vec::new();
    let _ = stream.read_to_end(&mut reply);
    assert!(
        reply.starts_with(b"HTTP/1.1 400"),
        "{}",
        String::from_utf8_lossy(&reply)
    );
    for (arguments, word) in [
        (
            vec![
                "--bound",
                "--url",
                "http://127.0.0.1:1",
                "--expect-digest",
                &"ab".repeat(48),
            ],
            "https",
        ),
        (vec!["--bound", "--url", "https://127.0.0.1:1"], "demands nothing"),
        (vec!["--allow-emulated"], "demands nothing"),
        (vec!["--expect-launch", &"ab".repeat(48)], "demands nothing"),
        (vec!["--url", "https://127.0.0.1:1"], "--ca"),
        // What is given for TLS would come to nothing without it.
        (
            vec!["--url", "http://127.0.0.1:1", "--ca", "ca.pem"],
            "--ca needs a URL with https",
        ),
        (
            vec![
                "--url",
                "http://127.0.0.1:1",
                "--ca",
                "ca.pem",
                "--expect-digest",
                &"ab".repeat(48),
            ],
            "--ca needs a URL with https",
        ),
        // Shown to nobody who is not known.
        (
            vec![
                "--url",
                "https://127.0.0.1:1",
                "--client-cert",
                "a.pem",
                "--client-key",
                "a.key",
            ],
            "--ca",
        ),
    ] {
        let called = call(SECRET, &arguments);
        assert_eq!(called.code, Some(2), "{arguments:?}: {}", called.said);
        assert!(called.said.contains(word), "{word} in {}", called.said);
    }
}

#[test]
fn a_policy_that_names_no_chain_is_refused_before_anything_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(&echo()).unwrap();
    let hex = format!("[\"{}\"]", "ab".repeat(48));
    for text in [
        format!("platforms = [\"emulated\"]\n[snp]\nlaunch = {hex}\n"),
        format!("[chain]\nfunctions = {hex}\n"),
        format!("[chain]\ngateways = {hex}\nown_gateway = true\n"),
        "[monitor]\ntrust = \"hardware\"\n".to_owned(),
    ] {
        let policy = write(folder.path(), "policy.toml", &text).unwrap();
        let middle = Middle::start(service.gateway, None, forwarding()).unwrap();
        let arguments = [
            "--gateway",
            &middle.address.to_string(),
            "--policy",
            policy.to_str().unwrap(),
            "--allow-emulated",
        ];
        let called = call(SECRET, &arguments);
        assert_eq!(
            (called.code, &called.output),
            (Some(2), &None),
            "{text}: {}",
            called.said
        );
        assert!(called.said.contains("names no chain"), "{}", called.said);
        assert!(middle.seen().is_empty(), "{text}");
        // A digest beside it says which.
        let digest = measured(&service.chain_file());
        let named = [&arguments[..], &["--expect-digest", &digest]].concat();
        assert!(call(SECRET, &named).code != Some(2), "{text}");
    }
}

#[test]
fn programs_and_people_are_told_that_no_hardware_vouches() {
    let service = Service::start(&echo()).unwrap();
    let (address, digest) = (service.gateway.to_string(), measured(&service.chain_file()));
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in"), folder.path().join("out"));
    fs::write(&input, SECRET).unwrap();
    let arguments = [
        "call",
        "t",
        "--gateway",
        &address,
        "--input",
        input.to_str().unwrap(),
        "--output",
        output.to_str().unwrap(),
    ];
    let verified = [&arguments[..], &["--expect-digest", &digest, "--allow-emulated"]].concat();
    let (code, _, said) = command(&verified).unwrap();
    assert!(
        code == Some(0) && said.contains("warning: the evidence was emulated"),
        "{said}"
    );
    for (arguments, platform) in [
        (&verified[..], Value::from("emulated")),
        (&arguments[..], Value::Null),
    ] {
        let (_, printed, said) = command(&[arguments, &["--format", "json"]].concat()).unwrap();
        let printed: Value = serde_json::from_str(&printed).unwrap();
        assert_eq!(printed["platform"], platform, "{said}");
    }
}

/// Calls chain `t` of `service` through somebody in between, for a digest.
fn call_through(service: &Service, digest: &str, script: Script) -> (Middle, Called) {
    let middle = Middle::start(service.gateway, None, script).unwrap();
    let address = middle.address.to_string();
    let arguments = [
        "--gateway",
        &address,
        "--expect-digest",
        digest,
        "--allow-emulated",
    ];
    let called = call(SECRET, &arguments);
    (middle, called)
}

fn posts(middle: &Middle) -> usize {
    let seen = middle.seen();
    seen.iter().filter(|message| message.starts_with(b"POST")).count()
}

#[test]
fn whoever_keeps_a_reply_back_cannot_have_its_request_executed_again() {
    let text = chain(
        "flow = [\"ingress -> a -> egress\"]",
        &function("a", "headers", "outbox = \"8MiB\""),
    );
    let service = Service::start(&text).unwrap();
    let digest = measured(&service.chain_file());
    let (_, called) = call_through(&service, &digest, forwarding());
    let seen = String::from_utf8(called.output.unwrap()).unwrap();
    let key = seen
        .lines()
        .find_map(|line| line.strip_prefix("idempotency-key: "))
        .unwrap();
    assert!(
        key.len() == 32 && key.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{seen}"
    );
    let forged = format!(
        "{{\"type\":\"{}\",\"title\":\"sealed to another key\"}}",
        problem::KEY
    );
    let forged = format!(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\n\r\n{forged}",
        forged.len()
    );
    let (middle, called) = call_through(
        &service,
        &digest,
        Box::new(move |request, forward: Forward<'_>| {
            let answer = forward(&request);
            Some(if is_evidence(&request) {
                answer
            } else {
                forged.clone().into_bytes()
            })
        }),
    );
    called.fails(UNTRUSTED, "not authenticated: 400 sealed to another key");
    assert_eq!(posts(&middle), 1);
    Scrape::when(&service, "each of two calls ran once", |scrape| {
        scrape.sum("hacher_requests_total", &["outcome=\"2xx\""]) == Some(2.0)
    })
    .unwrap();
}

#[test]
fn what_is_not_sealed_is_read_as_a_short_problem_or_not_at_all() {
    let service = Service::start(&echo()).unwrap();
    let digest = measured(&service.chain_file());
    let long = format!("{{\"title\":\"{}\"}}", "x".repeat(100 << 10));
    let steering = "{\"title\":\"\\u001b[2Jgone\\nerror: none\",\"detail\":\"DETAIL\"}";
    let steering = steering.replace("DETAIL", &"y".repeat(5000));
    for (content_type, body, word) in [
        (
            "application/octet-stream",
            "{\"title\":\"believe me\"}",
            "the chain answered with an error",
        ),
        (
            "application/problem+json",
            &long,
            "the chain answered with an error",
        ),
        (
            "application/problem+json",
            &steering,
            "\\u{1b}[2Jgone\\u{a}error: none: yyy",
        ),
    ] {
        let answer = format!(
            "HTTP/1.1 403 Forbidden\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let (_, called) = call_through(
            &service,
            &digest,
            Box::new(move |request, forward: Forward<'_>| {
                Some(if is_evidence(&request) {
                    forward(&request)
                } else {
                    answer.clone().into_bytes()
                })
            }),
        );
        called.fails(UNTRUSTED, word);
        assert!(
            called.said.len() < 2000 && !called.said.contains('\x1b'),
            "{}",
            called.said
        );
    }
}

#[test]
fn a_gateway_that_is_asked_too_much_is_asked_again_when_it_says() {
    let service = Service::start(&echo()).unwrap();
    let digest = measured(&service.chain_file());
    let mut is_first = true;
    let (middle, called) = call_through(
        &service,
        &digest,
        Box::new(move |request, forward: Forward<'_>| {
            if std::mem::take(&mut is_first) {
                let busy = b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n";
                return Some(busy.to_vec());
            }
            Some(forward(&request))
        }),
    );
    called.succeeds(SECRET);
    assert_eq!(posts(&middle), 1);
}

#[test]
fn a_gateway_that_goes_silent_is_given_up() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    // The kernel accepts, and nobody answers.
    call(SECRET, &["--gateway", &address, "--timeout", "1"]).fails(1, "sent nothing for too long");
    drop(silent);
}

#[test]
fn a_sealed_request_through_a_relay_arrives_unread_and_unaltered() {
    let relayed = Relayed::new();
    let relay = relayed.in_between(forwarding());
    relayed.call(relay.address, &[]).succeeds(SECRET);
    assert!(relay.has_seen(b"POST /chains/t") && relay.has_seen(b"vnd.hacher.sealed-reply"));
    assert!(
        !relay.has_seen(SECRET) && !relay.has_seen(b"text/plain"),
        "nothing was read"
    );
    // What was recorded is of no use later.
    let recorded = relay
        .seen()
        .into_iter()
        .find(|message| message.starts_with(b"POST"))
        .unwrap();
    let replayed = Arc::new(std::sync::Mutex::new(Vec::new()));
    let answers = Arc::clone(&replayed);
    let relay = relayed.in_between(Box::new(move |request, forward: Forward<'_>| {
        if !is_evidence(&request) {
            answers.lock().unwrap().push(forward(&recorded));
        }
        Some(forward(&request))
    }));
    relayed.call(relay.address, &[]).succeeds(SECRET);
    let answers = replayed.lock().unwrap();
    let text = String::from_utf8_lossy(&answers[0]);
    assert!(
        text.starts_with("HTTP/1.1 409") && text.contains(problem::REPLAYED),
        "{text}"
    );
}

#[test]
fn what_a_relay_does_to_requests_and_replies_is_found_out() {
    let relayed = Relayed::new();
    type Change = fn(Vec<u8>) -> Vec<u8>;
    let flip: Change = |mut message| {
        let last = message.len() - 1;
        message[last] ^= 1;
        message
    };
    let flip_early: Change = |mut message| {
        let body = message.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap() + 4;
        message[body + 60] ^= 1;
        message
    };
    let cut: Change = |message| {
        let text = String::from_utf8_lossy(&message).into_owned();
        let at = text.to_ascii_lowercase().find("content-length: ").unwrap() + 16;
        let end = at + text[at..].find('\r').unwrap();
        let length: usize = text[at..end].parse().unwrap();
        let mut cut = [
            &message[..at],
            (length - 1).to_string().as_bytes(),
            &message[end..],
        ]
        .concat();
        cut.pop();
        cut
    };
    let keep: Change = |message| message;
    let plain: Change =
        |_| b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 4\r\n\r\nfake".to_vec();
    let sealed_fake: Change = |_| {
        let body = [&b"hacherr1"[..], &[7; 60]].concat();
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/vnd.hacher.sealed-reply\r\ncontent-length: 68\r\n\r\n";
        [head.as_bytes(), &body].concat()
    };
    for (what, of_request, of_reply, word) in [
        (
            "the last byte of the request",
            flip,
            keep,
            "not authenticated: 400",
        ),
        ("its first segment", flip_early, keep, "not authenticated: 400"),
        ("a shorter request", cut, keep, "not authenticated: 400"),
        ("the last byte of the reply", keep, flip, "cannot be relied on"),
        ("its first segment", keep, flip_early, "cannot be relied on"),
        ("a shorter reply", keep, cut, "cannot be relied on"),
        ("a reply of its own", keep, plain, "not authenticated: 200"),
        (
            "a sealed one of its own",
            keep,
            sealed_fake,
            "cannot be relied on",
        ),
    ] {
        let relay = relayed.in_between(Box::new(move |request, forward: Forward<'_>| {
            if is_evidence(&request) {
                return Some(forward(&request));
            }
            Some(of_reply(forward(&of_request(request))))
        }));
        relayed.call(relay.address, &[]).fails(UNTRUSTED, word);
        assert!(!relay.has_seen(SECRET), "{what}");
    }
    // What a client has sent comes back to it.
    let relay = relayed.in_between(Box::new(|request, forward: Forward<'_>| {
        if is_evidence(&request) {
            return Some(forward(&request));
        }
        let body = request.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap() + 4;
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/vnd.hacher.sealed-reply\r\ncontent-length: {}\r\n\r\n",
            request.len() - body
        );
        Some([head.as_bytes(), &request[body..]].concat())
    }));
    relayed
        .call(relay.address, &[])
        .fails(UNTRUSTED, "cannot be relied on");
    let relay = relayed.in_between(Box::new(|request, _: Forward<'_>| {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", request.len());
        Some([head.as_bytes(), &request].concat())
    }));
    relayed
        .call(relay.address, &["--bound"])
        .refused(&["evidence-form"]);
}

#[test]
fn a_gateway_that_is_started_anew_meanwhile_is_asked_for_evidence_again() {
    let service = Service::start(&echo()).unwrap();
    let (digest, gateway) = (measured(&service.chain_file()), service.gateway);
    let old = service.process("hacher-gateway").unwrap();
    let mut is_first = true;
    let middle = Middle::start(
        gateway,
        None,
        Box::new(move |request, forward: Forward<'_>| {
            if !is_evidence(&request) && std::mem::take(&mut is_first) {
                kill_process(Pid::from_raw(old).unwrap(), Signal::KILL).unwrap();
                // Until the next one answers.
                assert!(until(
                    || forward(b"GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n").starts_with(b"HTTP/1.1 200")
                ));
            }
            Some(forward(&request))
        }),
    )
    .unwrap();
    let address = middle.address.to_string();
    call(
        SECRET,
        &[
            "--gateway",
            &address,
            "--expect-digest",
            &digest,
            "--allow-emulated",
        ],
    )
    .succeeds(SECRET);
    assert!(middle.has_seen(problem::KEY.as_bytes()));
    assert_eq!(posts(&middle), 2, "once more, to the key in new evidence");
}

/// Whether a program is there; says so if it is not.
fn has(program: &str) -> bool {
    let is_there = Command::new(program).arg("version").output().is_ok();
    if !is_there {
        skipped!("there is no `{program}` here");
    }
    is_there
}

#[test]
fn clients_that_know_nothing_of_all_this_connect_as_to_any_server() {
    let relayed = Relayed::new();
    let ca = relayed.folder.path().join("ca.pem");
    let ca = ca.to_str().unwrap();
    if has("curl") {
        let url = format!("https://{}/chains/t", relayed.gateway);
        let output = Command::new("curl")
            .args(["-fsS", "--cacert", ca, "--data-binary", "as ever", &url])
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert_eq!(output.stdout, b"as ever");
    }
    if has("openssl") {
        let address = relayed.gateway.to_string();
        let arguments = [
            "s_client",
            "-connect",
            &address,
            "-CAfile",
            ca,
            "-verify_return_error",
            "-tls1_3",
            "-brief",
        ];
        let output = Command::new("openssl")
            .args(arguments)
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        let said =
            String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && said.contains("Verification: OK"),
            "{said}"
        );
    }
}
