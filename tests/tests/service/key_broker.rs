//! Secrets that a key broker releases: to the chain that it accepts, for the resource that was asked for,
//! sealed for the monitor alone; and brokers, and go-betweens, that are not honest.

mod broker;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use broker::{Behaviour, Broker};
use hacher_evidence::release::{ReleaseKey, base64_url, release_nonce, runtime_data};
use hacher_tests::process_memory::{contains, digest_bytes};
use hacher_tests::tenants::{Tenants, command, get, until};
use hacher_tests::{Service, function};
use hacher_verifier::{Digest, Policy};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;
use tokio_rustls::TlsAcceptor;

const SECRET: &[u8] = b"correct horse battery staple\n";
const PATH: &str = "default/db/password";

/// One function, which tells its secrets.
fn chain(secrets: &str) -> String {
    format!(
        "chain = \"t\"\nflow = [\"ingress -> f -> egress\"]\n[ingress]\nmax_body = \"1MiB\"\n{}",
        function(
            "f",
            "tell-secret",
            &format!("outbox = \"1MiB\"\nsecrets = {{ {secrets} }}")
        )
    )
}

fn with_password() -> String {
    chain("PASSWORD = { from = \"kbs:///default/db/password\", trim = true }")
}

/// What a data owner tells a broker: the digest of the chain that it has measured.
fn policy_for(text: &str) -> Policy {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chain.toml");
    fs::write(&file, text).unwrap();
    let (code, printed, said) = command(&["measure", file.to_str().unwrap(), "--format", "json"]).unwrap();
    assert_eq!(code, Some(0), "{said}");
    let measured: Value = serde_json::from_str(&printed).unwrap();
    let digest = digest_bytes(measured["digest"].as_str().unwrap());
    let mut policy = Policy::default();
    policy.manifest.chains = BTreeSet::from([Digest(digest.try_into().unwrap())]);
    policy
}

fn honest(text: &str) -> Broker {
    Broker::start(policy_for(text), &[(PATH, SECRET)])
}

/// What `serve` says that refuses to start.
fn refused(text: &str, arguments: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let arguments = [&["--listen", "127.0.0.1:0"], arguments].concat();
    let (code, said) = Tenants::refused(folder.path(), &[("t", text.to_owned())], &arguments).unwrap();
    assert_eq!(code, Some(1), "{said}");
    said
}

fn tells(service: &Service, name: &str) -> Vec<u8> {
    let reply = service.post("t", name.to_owned()).unwrap();
    assert!(reply.status.is_success(), "{:?}", reply.body);
    reply.body.to_vec()
}

#[test]
fn a_released_secret_reaches_its_function_and_stays_with_the_monitor() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    fs::write(&file, "of a file").unwrap();
    let text = chain(&format!(
        "PASSWORD = {{ from = \"kbs:///default/db/password\", trim = true }}, RAW = \"kbs:///default/db/raw.v1\", \
         FILE = \"file:{}\"",
        file.display()
    ));
    let resources: [(&str, &[u8]); 2] = [(PATH, SECRET), ("default/db/raw.v1", &[0, 159, 255, b'\n'])];
    let broker = Broker::start(policy_for(&text), &resources);
    let service = Service::start_with(&text, &["--kbs", &broker.url()]).unwrap();
    assert_eq!(tells(&service, "PASSWORD"), SECRET.trim_ascii_end());
    assert_eq!(tells(&service, "RAW"), [0, 159, 255, b'\n']);
    assert_eq!(tells(&service, "FILE"), b"of a file");
    let asked: Vec<String> = broker.state().seen.iter().map(|(line, _)| line.clone()).collect();
    let one = |path: &str| {
        [
            "POST /kbs/v0/auth".to_owned(),
            "POST /kbs/v0/attest".to_owned(),
            format!("GET /kbs/v0/resource/{path}"),
        ]
    };
    assert_eq!(asked, [one(PATH), one("default/db/raw.v1")].concat());
    let on_the_wire = broker.state().sent.clone();
    assert!(!contains(&on_the_wire, SECRET.trim_ascii_end()), "it is sealed");
    drop(broker);
    // A process that replaces another has it from the monitor.
    let before = service.process("t/f").or_else(|| service.process("f"));
    let before = before.unwrap_or_else(|| panic!("{:?}", service.processes()));
    service.signal(before, Signal::KILL);
    assert!(until(|| {
        let reply = service.post("t", "PASSWORD");
        reply.is_ok_and(|reply| reply.status.is_success() && reply.body == SECRET.trim_ascii_end())
    }));
    // What clients are shown afterwards is for their nonces.
    let reply = get(service.gateway, &format!("/evidence?nonce={}", "5a".repeat(64))).unwrap();
    assert!(contains(&reply.body, b"\npurpose nonce\n"));
}

#[test]
fn a_broker_refuses_a_chain_that_it_does_not_accept() {
    let text = with_password();
    let broker = honest(&text);
    let other = text.replace("1MiB", "2MiB");
    let said = refused(&other, &["--kbs", &broker.url()]);
    assert!(
        said.contains("the secret `PASSWORD` of function `f` was not released by"),
        "{said}"
    );
    assert!(said.contains("401") && said.contains("chain-digest"), "{said}");
    // A broker that names no chain cannot say which function gets it.
    let lax = Broker::start(Policy::default(), &[(PATH, SECRET)]);
    let said = refused(&text, &["--kbs", &lax.url()]);
    assert!(said.contains("chain-digest: a secret is for a chain"), "{said}");
    // The same name at another resource is another chain.
    let other = text.replace("db/password", "db/other");
    let said = refused(&other, &["--kbs", &broker.url()]);
    assert!(said.contains("chain-digest"), "{said}");
}

#[test]
fn a_resource_that_is_not_there_is_said() {
    let text = with_password();
    let broker = Broker::start(policy_for(&text), &[]);
    let said = refused(&text, &["--kbs", &broker.url()]);
    assert!(
        said.contains("404") && said.contains("there is no such resource"),
        "{said}"
    );
}

#[test]
fn brokers_that_misbehave_end_the_start_with_a_reason() {
    let text = with_password();
    let elsewhere = honest(&text);
    for (behaviour, reason) in [
        (Behaviour::Redirects(elsewhere.address), "302"),
        (Behaviour::Silent, "within 2s"),
        (Behaviour::Endless, "length limit exceeded"),
        (Behaviour::Garbled, "is not a JSON object"),
        (Behaviour::SealsForAnother, "sealed for another key"),
        (Behaviour::OtherHash, "sha256"),
    ] {
        let broker = honest(&text);
        broker.state().behaviour = behaviour;
        let said = refused(&text, &["--kbs", &broker.url(), "--start-timeout", "2"]);
        assert!(said.contains(reason), "{behaviour:?}: {said}");
        assert!(said.contains("the secret `PASSWORD` of function `f`"), "{said}");
    }
    assert!(elsewhere.state().seen.is_empty(), "no redirect is followed");
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = nobody.local_addr().unwrap();
    drop(nobody);
    let said = refused(&text, &["--kbs", &format!("http://{address}")]);
    assert!(said.contains("cannot connect"), "{said}");
}

#[test]
fn recorded_evidence_and_evidence_for_other_purposes_release_nothing() {
    let text = with_password();
    let broker = honest(&text);
    let service = Service::start_with(&text, &["--kbs", &broker.url()]).unwrap();
    let recorded = broker.state().seen[1].1.clone();
    let recorded: Value = serde_json::from_slice(&recorded).unwrap();
    let begin = json!({ "version": "0.4.0", "tee": "sample", "extra-params": {} }).to_string();
    let challenged = || {
        let (_, challenge) = request(&broker, "POST", "/kbs/v0/auth", 0, begin.as_bytes());
        challenge["nonce"].as_str().unwrap().to_owned()
    };
    let mut tried = Vec::new();
    // As it was recorded: the nonce is stale.
    challenged();
    tried.push((recorded.clone(), "the nonce is not that of the session"));
    // With the nonce of the session: the report is over another one.
    let nonce = challenged();
    let mut renamed = recorded.clone();
    renamed["runtime-data"]["nonce"] = json!(nonce);
    tried.push((renamed, "report-data"));
    // Evidence that anybody may ask for, over a key of the attacker's.
    let nonce = challenged();
    let key = ReleaseKey {
        x: [1; 32],
        y: [2; 32],
    };
    let chosen = release_nonce(runtime_data(&nonce, &key).as_bytes());
    let chosen: String = chosen.iter().map(|byte| format!("{byte:02x}")).collect();
    let reply = get(service.gateway, &format!("/evidence?nonce={chosen}&chain=t")).unwrap();
    assert_eq!(reply.status.as_u16(), 200);
    let mut asked = recorded;
    asked["runtime-data"]["nonce"] = json!(nonce);
    asked["runtime-data"]["tee-pubkey"]["x"] = json!(base64_url(&key.x));
    asked["runtime-data"]["tee-pubkey"]["y"] = json!(base64_url(&key.y));
    asked["tee-evidence"]["primary_evidence"]["evidence"] = json!(BASE64_URL_SAFE_NO_PAD.encode(&reply.body));
    tried.push((asked, "purpose"));
    // The first session is the service's own.
    for (at, (attestation, reason)) in (1..).zip(tried) {
        let (code, answer) = attest(&broker, at, &attestation);
        assert_eq!(code, 401, "{reason}");
        let detail = answer["detail"].as_str().unwrap();
        assert!(detail.contains(reason), "{reason}: {detail}");
        let (code, _) = resource(&broker, at, PATH);
        assert_eq!(code, 401);
    }
    // The service's own session, for another resource.
    broker
        .state()
        .resources
        .insert("default/db/other".to_owned(), b"more".to_vec());
    let (code, answer) = resource(&broker, 0, "default/db/other");
    assert_eq!(code, 403, "{answer}");
    // For the right one there is the same secret again, sealed for a key that is gone.
    let (code, answer) = resource(&broker, 0, PATH);
    assert_eq!(code, 200);
    assert!(!contains(answer.to_string().as_bytes(), b"correct horse"));
}

/// With a session of the broker's, by its number.
fn request(broker: &Broker, method: &str, path: &str, session: usize, body: &[u8]) -> (u16, Value) {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(broker.address).unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: broker\r\ncookie: kbs-session-id=session{session}\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let code = head.split(' ').nth(1).unwrap().parse().unwrap();
    (code, serde_json::from_str(body).unwrap_or(Value::Null))
}

fn attest(broker: &Broker, session: usize, attestation: &Value) -> (u16, Value) {
    let body = attestation.to_string();
    request(broker, "POST", "/kbs/v0/attest", session, body.as_bytes())
}

fn resource(broker: &Broker, session: usize, path: &str) -> (u16, Value) {
    request(broker, "GET", &format!("/kbs/v0/resource/{path}"), session, b"")
}

/// A broker at localhost with a certificate for this name, and a file with it.
fn with_tls(text: &str, folder: &Path, certified: &str) -> (Broker, String, String) {
    let made = rcgen::generate_simple_self_signed([certified.to_owned()]).unwrap();
    let file = folder.join("ca.pem");
    fs::write(&file, made.cert.pem()).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let configuration = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(configuration));
    let broker = Broker::start_with(policy_for(text), &[(PATH, SECRET)], Some(acceptor));
    let url = format!("https://localhost:{}", broker.address.port());
    (broker, url, file.to_str().unwrap().to_owned())
}

#[test]
fn a_broker_elsewhere_has_to_have_a_certificate_of_a_known_authority() {
    let text = with_password();
    let folder: TempDir = tempfile::tempdir().unwrap();
    let (broker, url, authority) = with_tls(&text, folder.path(), "localhost");
    let service = Service::start_with(&text, &["--kbs", &url, "--kbs-ca", &authority]).unwrap();
    assert_eq!(tells(&service, "PASSWORD"), SECRET.trim_ascii_end());
    let asked = broker.state().seen.len();
    let other = tempfile::tempdir().unwrap();
    let (_other, _, of_another) = with_tls(&text, other.path(), "localhost");
    let said = refused(&text, &["--kbs", &url, "--kbs-ca", &of_another]);
    assert!(
        said.contains("cannot connect") && said.contains("certificate"),
        "{said}"
    );
    let third = tempfile::tempdir().unwrap();
    let (misnamed, elsewhere, trusted) = with_tls(&text, third.path(), "kbs.example.org");
    let said = refused(&text, &["--kbs", &elsewhere, "--kbs-ca", &trusted]);
    assert!(
        said.contains("not valid for name") && misnamed.state().seen.is_empty(),
        "{said}"
    );
    let said = refused(&text, &["--kbs", &url]);
    assert!(said.contains("--kbs-ca says who signs"), "{said}");
    assert_eq!(
        broker.state().seen.len(),
        asked,
        "nothing was asked of a stranger"
    );
}

#[test]
fn without_a_broker_a_chain_is_checked_and_measured_and_not_served() {
    let text = with_password();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chain.toml");
    fs::write(&file, &text).unwrap();
    let file = file.to_str().unwrap();
    for arguments in [&["check", file][..], &["explain", file], &["measure", file]] {
        let (code, out, err) = command(arguments).unwrap();
        assert_eq!(code, Some(0), "{arguments:?}: {out}{err}");
    }
    let said = refused(&text, &[]);
    assert!(
        said.contains("secret `PASSWORD` of function `f` is `kbs:///default/db/password`")
            && said.contains("--kbs URL"),
        "{said}"
    );
    // Plain HTTP stays on this machine.
    let (code, _, err) = command(&["serve", file, "--kbs", "http://kbs.example.org"]).unwrap();
    assert_eq!(code, Some(2));
    assert!(err.contains("on this machine only"), "{err}");
}
