//! Evidence as clients get it: over HTTP and by the command, for fresh nonces, about what is really served.

use hacher_evidence::manifest::{Logs, Purpose, Trust};
use hacher_evidence::{Evidence, Kind, Manifest, emulated};
use hacher_fabric::http::{Connection, Reply};
use hacher_skipped::skipped;
use hacher_tests::tenants::{Tenants, command, get, until, write};
use hacher_tests::{Scrape, Service, functions};
use ring::digest::{SHA256, digest};
use rustix::process::Signal;
use std::path::Path;

/// As a client writes it, and its bytes.
fn nonce(number: u64) -> (String, [u8; 64]) {
    let mut bytes = [0x5a; 64];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    (hex(&bytes), bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn chain(name: &str, more: &str) -> String {
    format!(
        "chain = \"{name}\"\nversion = \"1.0\"\nflow = [\"ingress -> f -> egress\"]\n[ingress]\nmax_body = \"1MiB\"\n{more}\n{}",
        functions(["f"], "echo", "outbox = \"1MiB\"")
    )
}

/// The manifest, if its report holds for this nonce.
fn verified(bytes: &[u8], nonce: &[u8; 64]) -> Option<Manifest> {
    let evidence = Evidence::decode(bytes).unwrap();
    assert_eq!(evidence.kind, Kind::Emulated);
    let data = evidence.expected_report_data(nonce);
    emulated::verify(&evidence.report, &data).ok()?;
    Some(Manifest::decode(&evidence.manifest).unwrap())
}

fn measured(file: &Path) -> String {
    let (code, printed, said) = command(&["measure", file.to_str().unwrap(), "--format", "json"]).unwrap();
    assert_eq!(code, Some(0), "{said}");
    let value: serde_json::Value = serde_json::from_str(&printed).unwrap();
    let one = value.as_array().map_or(&value, |all| &all[0]);
    one["digest"].as_str().unwrap().to_owned()
}

#[test]
fn a_client_gets_evidence_of_what_is_served_for_its_nonce_and_no_other() {
    let service = Service::start(&chain("t", "")).unwrap();
    let (text, bytes) = nonce(1);
    let reply = get(service.gateway, &format!("/evidence?nonce={text}")).unwrap();
    assert_eq!(reply.status.as_u16(), 200, "{:?}", reply.body);
    assert_eq!(
        reply.header("content-type"),
        Some("application/vnd.hacher.evidence")
    );
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    let manifest = verified(&reply.body, &bytes).unwrap();
    assert!(verified(&reply.body, &nonce(2).1).is_none(), "for another nonce");
    assert_eq!(manifest.purpose, Purpose::Nonce);
    assert_eq!(manifest.platform, *"process");
    assert_eq!(manifest.trust, Trust::OperatingSystem);
    assert!(manifest.layers.iter().any(|layer| layer.name == *"landlock"));
    assert!(manifest.monitor != [0; 48] && manifest.daemon != [0; 48]);
    let [said] = manifest.chains.as_slice() else {
        panic!("one chain is served")
    };
    assert_eq!((said.name.as_str(), said.version.as_str()), ("t", "1.0"));
    assert_eq!(hex(&said.digest), measured(&service.chain_file()));
    assert_eq!((said.gateway.is_own, said.gateway.tls_key), (false, None));
    assert_eq!(said.functions.len(), 1);
    assert_eq!(said.functions[0].logs, Logs::Dropped);
    let edges: Vec<_> = said
        .edges
        .iter()
        .map(|edge| format!("{} {}", edge.from, edge.to))
        .collect();
    assert_eq!(edges, ["ingress f", "f egress"]);
    // The same question has the same answer, also with its chain named; another one another.
    let again = get(service.gateway, &format!("/evidence?nonce={text}")).unwrap();
    assert_eq!(again.body, reply.body);
    let named = get(service.gateway, &format!("/evidence?nonce={text}&chain=t")).unwrap();
    assert_eq!(verified(&named.body, &bytes).unwrap(), manifest);
    // Keys are those of this start.
    let other = Service::start(&chain("t", "")).unwrap();
    let reply = get(other.gateway, &format!("/evidence?nonce={text}")).unwrap();
    let of_other = verified(&reply.body, &bytes).unwrap();
    assert_eq!(of_other.chains[0].digest, said.digest);
    assert_ne!(of_other.statement_key, manifest.statement_key);
    assert_ne!(of_other.chains[0].request_key, said.request_key);
}

#[test]
fn what_is_no_question_is_refused_by_name_and_does_no_harm() {
    let service = Service::start(&chain("t", "")).unwrap();
    let good = nonce(3).0;
    for (query, status, word) in [
        (String::new(), 400, "nonce must be 128 hex digits"),
        ("?nonce=".to_owned(), 400, "nonce must be 128 hex digits"),
        (
            format!("?nonce={}", &good[1..]),
            400,
            "nonce must be 128 hex digits",
        ),
        (format!("?nonce={good}00"), 400, "nonce must be 128 hex digits"),
        (
            format!("?nonce={}", good.replace('5', "g")),
            400,
            "nonce must be 128 hex digits",
        ),
        (format!("?nonce={good}&nonce={good}"), 400, "twice"),
        (
            format!("?nonce={good}&report_data={good}"),
            400,
            "only the parameters",
        ),
        (format!("?nonce={good}&chain=other"), 404, "no such chain"),
    ] {
        let reply = get(service.gateway, &format!("/evidence{query}")).unwrap();
        let body = String::from_utf8_lossy(&reply.body);
        assert_eq!(reply.status.as_u16(), status, "{query}: {body}");
        assert!(body.contains(word), "{query}: {body}");
    }
    let post = hacher_tests::runtime().block_on(async {
        let mut connection = Connection::open(service.gateway).await.unwrap();
        let body = bytes::Bytes::from_static(b"x");
        connection
            .send(hyper::Method::POST, "/evidence", None, body)
            .await
            .unwrap()
    });
    assert_eq!(
        (post.status.as_u16(), post.header("allow")),
        (405, Some("GET, HEAD, OPTIONS"))
    );
    assert!(service.post("t", "still here").unwrap().status.is_success());
}

#[test]
fn too_many_questions_are_turned_away_with_a_time_to_wait_and_requests_go_on() {
    let service = Service::start(&chain("t", "")).unwrap();
    let (mut answered, mut turned_away): (usize, Vec<Reply>) = (0, Vec::new());
    hacher_tests::runtime().block_on(async {
        let mut connection = Connection::open(service.gateway).await.unwrap();
        for number in 0..100_000 {
            let (text, bytes) = nonce(number);
            let reply = connection.get(&format!("/evidence?nonce={text}")).await.unwrap();
            if reply.status.is_success() {
                assert!(verified(&reply.body, &bytes).is_some());
                answered += 1;
            } else {
                turned_away.push(reply);
            }
            if turned_away.len() > 3 {
                break;
            }
        }
    });
    assert!(
        answered > 0 && !turned_away.is_empty(),
        "{answered} were answered"
    );
    for reply in turned_away {
        assert_eq!(reply.status.as_u16(), 429);
        assert!(reply.header("retry-after").unwrap().parse::<u32>().unwrap() >= 1);
    }
    assert!(service.post("t", "meanwhile").unwrap().status.is_success());
    // What was turned away has an answer later.
    let (text, bytes) = nonce(u64::MAX);
    assert!(until(|| {
        let reply = get(service.gateway, &format!("/evidence?nonce={text}")).unwrap();
        reply.status.is_success() && verified(&reply.body, &bytes).is_some()
    }));
}

/// What this path is answered to a client that connects from there.
fn get_from(from: &str, gateway: std::net::SocketAddr, path: &str) -> u16 {
    use std::io::{Read, Write};
    let socket = rustix::net::socket(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::STREAM,
        None,
    )
    .unwrap();
    let from = std::net::SocketAddr::new(from.parse().unwrap(), 0);
    rustix::net::bind(&socket, &from).unwrap();
    rustix::net::connect(&socket, &gateway).unwrap();
    let mut stream = std::net::TcpStream::from(socket);
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).unwrap();
    let line = String::from_utf8_lossy(&reply[..reply.len().min(12)]).into_owned();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn a_client_that_asks_without_end_locks_no_other_out() {
    let service = Service::start(&chain("t", "")).unwrap();
    let mut refused = 0;
    hacher_tests::runtime().block_on(async {
        let mut connection = Connection::open(service.gateway).await.unwrap();
        for number in 0..100_000 {
            let path = format!("/evidence?nonce={}", nonce(number).0);
            let reply = connection.get(&path).await.unwrap();
            refused += u64::from(!reply.status.is_success());
            if refused > 20 {
                break;
            }
        }
    });
    assert!(refused > 20);
    // Another address, and not the other's.
    let path = |number| format!("/evidence?nonce={}", nonce(number).0);
    assert_eq!(get_from("127.0.0.2", service.gateway, &path(1 << 40)), 200);
    assert!(until(|| {
        let scrape = Scrape::of(&service, "").unwrap();
        let sum = |outcome: &str| {
            let label = format!("outcome=\"{outcome}\"");
            scrape.sum("hacher_gateway_evidence_total", &[&label])
        };
        sum("too_many") >= Some(20.0) && sum("answered") >= Some(2.0)
    }));
}

#[test]
fn many_clients_at_once_get_the_answers_to_their_own_questions() {
    let service = Service::start(&chain("t", "")).unwrap();
    let gateway = service.gateway;
    let clients: Vec<_> = (0..8)
        .map(|client: u64| {
            std::thread::spawn(move || {
                let mut answered = 0;
                for number in 0..10 {
                    let (text, bytes) = nonce(client << 32 | number);
                    let reply = get(gateway, &format!("/evidence?nonce={text}")).unwrap();
                    match reply.status.as_u16() {
                        200 => {
                            assert!(verified(&reply.body, &bytes).is_some());
                            answered += 1;
                        }
                        status => assert_eq!(status, 429),
                    }
                }
                answered
            })
        })
        .collect();
    let answered: i32 = clients.into_iter().map(|client| client.join().unwrap()).sum();
    assert!(answered > 0);
}

#[test]
fn evidence_goes_on_without_the_daemon_and_after_the_gateway_was_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let tenants = Tenants::start(folder.path(), &[("t", chain("t", ""))], &[]).unwrap();
    let address = tenants.address("t");
    let ask = |number| {
        let (text, bytes) = nonce(number);
        let reply = get(address, &format!("/evidence?nonce={text}")).ok()?;
        reply
            .status
            .is_success()
            .then(|| verified(&reply.body, &bytes).unwrap())
    };
    let before = ask(1).unwrap();
    let processes = tenants.processes().into_iter();
    let daemons: Vec<_> = processes.filter(|(_, name)| name == "hacher-daemon").collect();
    assert_eq!(daemons.len(), 1);
    tenants.signal(daemons[0].0, Signal::STOP);
    assert_eq!(ask(2).unwrap(), before, "no daemon is needed");
    tenants.signal(daemons[0].0, Signal::CONT);
    let old = tenants.gateway("").unwrap();
    tenants.signal(old, Signal::KILL);
    assert!(until(|| tenants.gateway("").is_some_and(|pid| pid != old)));
    let mut number = 2;
    let mut after = None;
    assert!(until(|| {
        number += 1;
        after = ask(number);
        after.is_some()
    }));
    let mut after = after.unwrap();
    let (key, old_key) = (&mut after.chains[0].request_key, before.chains[0].request_key);
    assert_ne!(
        core::mem::replace(key, old_key),
        old_key,
        "request keys live as long as their gateway"
    );
    assert_eq!(after, before, "and all else as long as the monitor");
}

#[test]
fn the_key_of_the_certificate_is_named_and_follows_its_renewal() {
    let folder = tempfile::tempdir().unwrap();
    let pair = || rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let replace = |made: &rcgen::CertifiedKey<rcgen::KeyPair>| {
        for (name, content) in [
            ("cert.pem", made.cert.pem()),
            ("key.pem", made.signing_key.serialize_pem()),
        ] {
            let new = write(folder.path(), &format!("{name}.new"), &content).unwrap();
            std::fs::rename(new, folder.path().join(name)).unwrap();
        }
    };
    let hash = |made: &rcgen::CertifiedKey<rcgen::KeyPair>| {
        let info = rcgen::PublicKeyData::subject_public_key_info(&made.signing_key);
        <[u8; 32]>::try_from(digest(&SHA256, &info).as_ref()).unwrap()
    };
    let first = pair();
    replace(&first);
    let tls = "listen = \"127.0.0.1:0\"\ntls = { cert = \"cert.pem\", key = \"key.pem\" }";
    let tenants = Tenants::start(folder.path(), &[("t", chain("t", tls))], &[]).unwrap();
    let ask = |number: u64, trusted: &rcgen::CertifiedKey<rcgen::KeyPair>| {
        let (text, bytes) = nonce(number);
        let reply = over_tls(tenants.address("t"), trusted, &format!("/evidence?nonce={text}"))?;
        Some(verified(&reply, &bytes).unwrap().chains.remove(0).gateway)
    };
    let gateway = ask(1, &first).unwrap();
    assert!(gateway.is_own);
    assert_eq!(gateway.tls_key, Some(hash(&first)));
    let url = format!("https://{}", tenants.address("t"));
    let file = folder.path().join("evidence");
    let (text, bytes) = nonce(7);
    let arguments = [
        "evidence",
        "--url",
        &url,
        "--nonce",
        &text,
        "--output",
        file.to_str().unwrap(),
    ];
    let (code, _, said) = command(&arguments).unwrap();
    assert_eq!(code, Some(0), "{said}");
    let of_command = verified(&std::fs::read(&file).unwrap(), &bytes).unwrap();
    assert_eq!(of_command.chains[0].gateway.tls_key, Some(hash(&first)));
    let second = pair();
    replace(&second);
    tenants.signal(tenants.monitor_pid(), Signal::HUP);
    let mut number = 1;
    assert!(until(|| {
        number += 1;
        ask(number, &second).is_some_and(|gateway| gateway.tls_key == Some(hash(&second)))
    }));
}

/// The body of a reply over TLS to a client that trusts this certificate alone; `None` if it is not shown.
fn over_tls(
    address: std::net::SocketAddr,
    trusted: &rcgen::CertifiedKey<rcgen::KeyPair>,
    path: &str,
) -> Option<Vec<u8>> {
    use std::io::{Read, Write};
    let mut roots = rustls::RootCertStore::empty();
    roots.add(trusted.cert.der().clone()).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap();
    let config = builder.with_root_certificates(roots).with_no_client_auth();
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    let connection = rustls::ClientConnection::new(std::sync::Arc::new(config), name).unwrap();
    let stream = std::net::TcpStream::connect(address).unwrap();
    let mut stream = rustls::StreamOwned::new(connection, stream);
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).ok()?;
    assert!(
        reply.starts_with(b"HTTP/1.1 200"),
        "{}",
        String::from_utf8_lossy(&reply)
    );
    let end = reply.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
    Some(reply.split_off(end + 4))
}

#[test]
fn the_command_gets_evidence_and_explains_what_is_wrong_with_a_nonce() {
    let service = Service::start(&chain("t", "")).unwrap();
    let gateway = service.gateway.to_string();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("evidence");
    let (text, bytes) = nonce(9);
    let common = ["evidence", "--gateway", &gateway, "--nonce", &text];
    let output = [&common[..], &["--chain", "t", "--output", file.to_str().unwrap()]].concat();
    let (code, printed, said) = command(&output).unwrap();
    assert_eq!(code, Some(0), "{said}");
    let manifest = verified(&std::fs::read(&file).unwrap(), &bytes).unwrap();
    assert!(printed.as_bytes().starts_with(&manifest.encode()), "{printed}");
    assert!(printed.contains("nothing vouches for its machine"), "{printed}");
    let (code, printed, said) = command(&[&common[..], &["--format", "json"]].concat()).unwrap();
    assert_eq!(code, Some(0), "{said}");
    let value: serde_json::Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(
        (value["kind"].as_str(), value["nonce"].as_str()),
        (Some("emulated"), Some(text.as_str()))
    );
    assert_eq!(value["manifest"].as_str().unwrap().as_bytes(), manifest.encode());
    for (wrong, word) in [("abc", "has 3"), (&"xy".repeat(64), "not a hex digit")] {
        let (code, _, said) = command(&["evidence", "--gateway", &gateway, "--nonce", wrong]).unwrap();
        assert_eq!(code, Some(2));
        assert!(said.contains(word), "{said}");
    }
    let (code, _, said) = command(&[&common[..], &["--chain", "other"]].concat()).unwrap();
    assert_eq!(code, Some(1));
    assert!(said.contains("there is no such chain"), "{said}");
}

/// Leaves the monitor so little room in the sockets of its channels that one part of an answer fills it.
fn shrink_channels(monitor: i32) -> std::io::Result<()> {
    use rustix::net::{SocketType, sockopt};
    use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
    // Half of what the kernel makes of it has to hold a part of 8 KiB.
    const BYTES: usize = 4200;
    let pidfd = pidfd_open(Pid::from_raw(monitor).unwrap(), PidfdFlags::empty())?;
    for entry in std::fs::read_dir(format!("/proc/{monitor}/fd"))? {
        let number = entry?.file_name().to_str().unwrap().parse().unwrap();
        let Ok(socket) = pidfd_getfd(&pidfd, number, PidfdGetfdFlags::empty()) else {
            continue;
        };
        if sockopt::socket_type(&socket) == Ok(SocketType::SEQPACKET) {
            sockopt::set_socket_send_buffer_size(&socket, BYTES)?;
        }
    }
    Ok(())
}

#[test]
fn a_long_answer_goes_on_when_its_gateway_has_read_what_there_was_room_for() {
    let folder = tempfile::tempdir().unwrap();
    let names: Vec<String> = (0..16).map(|at| format!("c{at:02}-{}", "n".repeat(59))).collect();
    let chains: Vec<(&str, String)> = names
        .iter()
        .map(|name| (name.as_str(), chain(name, "")))
        .collect();
    let tenants = Tenants::start(folder.path(), &chains, &[]).unwrap();
    if let Err(error) = shrink_channels(tenants.monitor_pid()) {
        skipped!("the sockets of the monitor cannot be reached by this user: {error}");
        return;
    }
    for number in 0..5 {
        let (text, bytes) = nonce(number);
        let reply = get(tenants.address(&names[0]), &format!("/evidence?nonce={text}")).unwrap();
        assert_eq!(reply.status.as_u16(), 200, "{:?}", reply.body);
        assert!(reply.body.len() > 8192, "it has more than one part");
        assert_eq!(verified(&reply.body, &bytes).unwrap().chains.len(), 16);
    }
}

/// A service that answers everything with this evidence; where it is.
fn answering(evidence: Vec<u8>) -> String {
    use std::io::{BufRead, BufReader, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            while lines.next().unwrap().unwrap() != "" {}
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", evidence.len());
            stream.write_all(head.as_bytes()).unwrap();
            stream.write_all(&evidence).unwrap();
        }
    });
    address
}

#[test]
fn the_command_takes_no_evidence_about_other_chains_or_another_purpose() {
    let mut manifest = Manifest::decode(include_bytes!(
        "../../../trustlet-host/evidence/tests/data/manifest.txt"
    ))
    .unwrap();
    let evidence = |manifest: &Manifest| Evidence {
        kind: Kind::Emulated,
        report: Vec::new(),
        certificates: Vec::new(),
        service: Vec::new(),
        manifest: manifest.encode(),
    };
    let ask = |manifest: &Manifest, more: &[&str]| {
        let address = answering(evidence(manifest).encode());
        let text = nonce(1).0;
        let common = ["evidence", "--gateway", &address, "--nonce", &text];
        let (code, _, said) = command(&[&common[..], more].concat()).unwrap();
        (code, said)
    };
    assert_eq!(ask(&manifest, &[]).0, Some(0));
    let (code, said) = ask(&manifest, &["--chain", "echo"]);
    assert_eq!(code, Some(1));
    assert!(
        said.contains("about other chains than `echo` alone: `thumbnails`, `echo`"),
        "{said}"
    );
    manifest.chains.remove(0);
    assert_eq!(ask(&manifest, &["--chain", "echo"]).0, Some(0));
    assert_eq!(ask(&manifest, &["--chain", "thumbnails"]).0, Some(1));
    manifest.purpose = Purpose::Session;
    let (code, said) = ask(&manifest, &[]);
    assert_eq!(code, Some(1));
    assert!(said.contains("not for this nonce"), "{said}");
}
