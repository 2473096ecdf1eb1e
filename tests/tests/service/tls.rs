//! TLS of gateways: pairs that cannot be used are refused before anything is ready, clients without a
//! certificate are refused where one is asked for, and files that are replaced while the service runs are
//! taken if they are good.

use hacher_skipped::skipped;
use hacher_tests::functions;
use hacher_tests::tenants::{Tenants, command, until, write};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustix::process::Signal;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Long enough that what is said "if it stays bad" would have been said, with what files are looked at in
/// between.
const SETTLED: Duration = Duration::from_secs(9);

fn chain(ingress: &str) -> String {
    format!(
        "chain = \"t\"\nversion = \"1\"\nflow = [\"ingress -> f -> egress\"]\n[ingress]\nmax_body = \"1MiB\"\n{ingress}\n{}",
        functions(["f"], "echo", "outbox = \"1MiB\"")
    )
}

/// A chain with TLS of its own from files beside it.
fn own(more: &str) -> String {
    chain(&format!(
        "listen = \"127.0.0.1:0\"\ntls = {{ cert = \"cert.pem\", key = \"key.pem\"{more} }}"
    ))
}

/// A certificate for `localhost`, and its key, both PEM.
struct Pair {
    certificate: String,
    key: String,
}

impl Pair {
    fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        Self {
            certificate: made.cert.pem(),
            key: made.signing_key.serialize_pem(),
        }
    }

    fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap()
    }

    fn write(&self, folder: &Path) {
        write(folder, "cert.pem", &self.certificate).unwrap();
        write(folder, "key.pem", &self.key).unwrap();
    }

    /// Puts both files in place one after the other, each as a whole, as programs that renew certificates do.
    fn replace(&self, folder: &Path) {
        for (name, content) in [("cert.pem", &self.certificate), ("key.pem", &self.key)] {
            let new = write(folder, &format!("{name}.new"), content).unwrap();
            std::fs::rename(new, folder.join(name)).unwrap();
        }
    }
}

type Connection = StreamOwned<ClientConnection, TcpStream>;

/// A connection of a client that trusts these certificates and perhaps shows one of its own.
fn connect(
    address: SocketAddr,
    trusted: &[CertificateDer<'static>],
    identity: Option<(&str, &str)>,
) -> std::io::Result<Connection> {
    let mut roots = RootCertStore::empty();
    for certificate in trusted {
        roots.add(certificate.clone()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
            builder.with_client_auth_cert(vec![certificate], key).unwrap()
        }
    };
    let name = ServerName::try_from("localhost").unwrap();
    let mut connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    while connection.is_handshaking() {
        connection.complete_io(&mut stream)?;
    }
    Ok(StreamOwned::new(connection, stream))
}

/// Asks over an open connection; the first line of the reply.
fn ask(connection: &mut Connection) -> std::io::Result<String> {
    connection.write_all(b"POST /chains/t HTTP/1.1\r\nhost: localhost\r\ncontent-length: 4\r\n\r\nbody")?;
    let mut reply = Vec::new();
    while !reply.ends_with(b"body") {
        let mut bytes = [0; 512];
        match connection.read(&mut bytes)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            count => reply.extend_from_slice(&bytes[..count]),
        }
    }
    let text = String::from_utf8_lossy(&reply).into_owned();
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// The certificate that a new handshake shows.
fn shown(address: SocketAddr, trusted: &[CertificateDer<'static>]) -> Option<CertificateDer<'static>> {
    let connection = connect(address, trusted, None).ok()?;
    Some(connection.conn.peer_certificates()?.first()?.clone().into_owned())
}

/// Ways in which two files are no pair, and words that say so.
fn bad_pairs(folder: &Path) -> Vec<(&'static str, &'static str, Vec<&'static str>)> {
    let pair = Pair::new();
    pair.write(folder);
    write(folder, "other.key", &Pair::new().key).unwrap();
    write(folder, "empty", "").unwrap();
    write(folder, "garbage", "hello\n").unwrap();
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    write(folder, "broken.pem", broken).unwrap();
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    write(folder, "encrypted.key", encrypted).unwrap();
    let public = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n";
    write(folder, "public.key", public).unwrap();
    let strange = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    write(folder, "strange.key", strange).unwrap();
    write(folder, "large", &"x".repeat((1 << 20) + 1)).unwrap();
    std::fs::create_dir_all(folder.join("folder")).unwrap();
    // Nobody writes to it: opening it in the usual way would wait for ever.
    rustix::fs::mkfifoat(rustix::fs::CWD, folder.join("fifo"), rustix::fs::Mode::RUSR).unwrap();
    vec![
        ("cert.pem", "other.key", vec!["other.key", "does not belong"]),
        ("empty", "key.pem", vec!["certificate file", "empty"]),
        ("cert.pem", "empty", vec!["key file", "empty"]),
        ("garbage", "key.pem", vec!["garbage", "no certificate in PEM"]),
        ("broken.pem", "key.pem", vec!["broken.pem", "cannot be read"]),
        ("cert.pem", "encrypted.key", vec!["encrypted.key", "passphrase"]),
        ("cert.pem", "public.key", vec!["public.key", "PUBLIC KEY"]),
        ("cert.pem", "strange.key", vec!["strange.key", "of a kind"]),
        ("key.pem", "cert.pem", vec!["key.pem", "`PRIVATE KEY`"]),
        ("folder", "key.pem", vec!["folder", "a directory"]),
        ("cert.pem", "fifo", vec!["fifo", "a FIFO"]),
        ("large", "key.pem", vec!["large", "more than 1048576 bytes"]),
        (
            "none",
            "none",
            vec!["certificate file", "key file", "No such file"],
        ),
    ]
}

#[test]
fn a_pair_that_cannot_be_used_is_refused_before_ready_for_the_options() {
    let folder = tempfile::tempdir().unwrap();
    for (certificate, key, words) in bad_pairs(folder.path()) {
        let paths = [certificate, key].map(|name| folder.path().join(name));
        let [certificate, key] = paths.each_ref().map(|path| path.to_str().unwrap());
        let arguments = [
            "--listen",
            "127.0.0.1:0",
            "--tls-cert",
            certificate,
            "--tls-key",
            key,
        ];
        let (code, text) = Tenants::refused(folder.path(), &[("t", chain(""))], &arguments).unwrap();
        assert_eq!(code, Some(1), "{certificate}, {key}: {text}");
        assert!(!text.contains("ready"), "{text}");
        for word in words {
            assert!(text.contains(word), "no {word} in {text}");
        }
        assert!(text.contains("--tls-"), "the option is named: {text}");
    }
}

#[test]
fn a_pair_that_cannot_be_used_is_refused_for_a_chains_own_gateway_alike_by_check_and_serve() {
    let folder = tempfile::tempdir().unwrap();
    for (nth, (certificate, key, words)) in bad_pairs(folder.path()).into_iter().enumerate() {
        let ingress =
            format!("listen = \"127.0.0.1:0\"\ntls = {{ cert = \"{certificate}\", key = \"{key}\" }}");
        let path = write(folder.path(), "t.toml", &chain(&ingress)).unwrap();
        let (code, _, checked) = command(&["check", path.to_str().unwrap()]).unwrap();
        assert_eq!(code, Some(1), "{certificate}, {key}");
        for word in words.iter().copied().chain(["E0511", "t.toml:"]) {
            assert!(checked.contains(word), "no {word} in {checked}");
        }
        // The loader goes the same way; a few show it.
        if nth % 5 == 0 {
            let chains = [("t", chain(&ingress))];
            let (code, text) = Tenants::refused(folder.path(), &chains, &[]).unwrap();
            assert_eq!(code, Some(1), "{text}");
            for word in words {
                assert!(text.contains(word), "no {word} in {text}");
            }
        }
    }
}

#[test]
fn a_certificate_that_has_expired_is_served_with_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.not_after = date_time_ymd(2020, 1, 1);
    params.not_before = date_time_ymd(2019, 1, 1);
    let key = KeyPair::generate().unwrap();
    let pair = Pair {
        certificate: params.self_signed(&key).unwrap().pem(),
        key: key.serialize_pem(),
    };
    pair.write(folder.path());
    let path = write(folder.path(), "t.toml", &own("")).unwrap();
    let (code, _, text) = command(&["check", path.to_str().unwrap()]).unwrap();
    assert_eq!(code, Some(0));
    assert!(text.contains("W0611") && text.contains("has expired"), "{text}");
    let service = Tenants::start(folder.path(), &[("t", own(""))], &[]).unwrap();
    assert!(service.has_said("has expired", 1));
    // A client that checks dates refuses it, which is what the warning is for.
    assert!(connect(service.address("t"), &[pair.der()], None).is_err());
}

#[test]
fn a_client_that_stops_in_the_middle_of_its_handshake_is_ended() {
    let folder = tempfile::tempdir().unwrap();
    let pair = Pair::new();
    pair.write(folder.path());
    let service = Tenants::start(folder.path(), &[("t", own(""))], &[]).unwrap();
    let address = service.address("t");
    // A ClientHello of 512 bytes, of which there is the beginning; or not even that.
    let silent = [
        &b""[..],
        b"\x16",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03half of it",
    ]
    .map(|begun| {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(begun).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
        stream
    });
    for mut stream in silent {
        let ended = stream.read(&mut [0; 64]);
        let waits = matches!(&ended, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock);
        assert!(!waits, "the gateway waits for ever");
        assert!(!matches!(ended, Ok(1..)), "{ended:?}");
    }
    let mut connection = connect(address, &[pair.der()], None).unwrap();
    assert!(ask(&mut connection).unwrap().starts_with("HTTP/1.1 200"));
}

/// An authority, and what it signs for clients.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn client(&self) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["client".to_owned()]).unwrap();
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (certificate.pem(), key.serialize_pem())
    }
}

#[test]
fn a_client_without_a_certificate_of_the_right_authority_is_refused_in_the_handshake() {
    let folder = tempfile::tempdir().unwrap();
    let (right, wrong) = (Authority::new(), Authority::new());
    let pair = Pair::new();
    pair.write(folder.path());
    write(folder.path(), "clients.pem", &right.0.pem()).unwrap();
    let chains = [("t", own(", client_ca = \"clients.pem\""))];
    let service = Tenants::start(folder.path(), &chains, &[]).unwrap();
    assert_eq!(service.chain("t")["tls"], true);
    assert_eq!(service.chain("t")["client_certificates"], true);
    let address = service.address("t");
    let trusted = [pair.der()];
    let client = right.client();
    let mut connection = connect(address, &trusted, Some((&client.0, &client.1))).unwrap();
    assert_eq!(ask(&mut connection).unwrap(), "HTTP/1.1 200 OK");
    let stranger = wrong.client();
    for identity in [None, Some((stranger.0.as_str(), stranger.1.as_str()))] {
        // In TLS 1.3 a client learns with its first read that its half of the handshake was refused.
        let refused = connect(address, &trusted, identity).and_then(|mut connection| ask(&mut connection));
        let error = refused.unwrap_err().to_string();
        assert!(
            error.contains("CertificateRequired") || error.contains("UnknownCA") || error.contains("alert"),
            "{error}"
        );
    }
    // Another authority from now on: who was let in is refused.
    write(folder.path(), "clients.pem", &wrong.0.pem()).unwrap();
    service.signal(service.monitor_pid(), Signal::HUP);
    assert!(service.has_said("uses new TLS files", 1));
    let refused = connect(address, &trusted, Some((&client.0, &client.1)));
    assert!(refused.and_then(|mut connection| ask(&mut connection)).is_err());
    let mut let_in = connect(address, &trusted, Some((&stranger.0, &stranger.1))).unwrap();
    assert_eq!(ask(&mut let_in).unwrap(), "HTTP/1.1 200 OK");
    assert_eq!(
        ask(&mut connection).unwrap(),
        "HTTP/1.1 200 OK",
        "what is open stays open"
    );
}

#[test]
fn files_that_are_replaced_are_taken_by_themselves_and_connections_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let pairs = [Pair::new(), Pair::new(), Pair::new()];
    let trusted = pairs.each_ref().map(Pair::der);
    pairs[0].write(folder.path());
    let chains = [("t", own(""))];
    let service = Tenants::start(folder.path(), &chains, &[]).unwrap();
    let address = service.address("t");
    assert_eq!(shown(address, &trusted).as_ref(), Some(&trusted[0]));
    let mut open = connect(address, &trusted, None).unwrap();
    assert_eq!(ask(&mut open).unwrap(), "HTTP/1.1 200 OK");
    pairs[1].replace(folder.path());
    assert!(until(|| shown(address, &trusted).as_ref() == Some(&trusted[1])));
    assert_eq!(ask(&mut open).unwrap(), "HTTP/1.1 200 OK");
    // In place this time, and with a signal.
    pairs[2].write(folder.path());
    service.signal(service.monitor_pid(), Signal::HUP);
    assert!(until(|| shown(address, &trusted).as_ref() == Some(&trusted[2])));
    assert_eq!(ask(&mut open).unwrap(), "HTTP/1.1 200 OK");
    assert!(service.has_said("uses new TLS files", 2));
    // A gateway that is replaced begins with the newest good pair, whatever is there now.
    write(folder.path(), "key.pem", "rubbish").unwrap();
    let old = service.gateway("t").unwrap();
    service.signal(old, Signal::KILL);
    assert!(until(|| service.gateway("t").is_some_and(|pid| pid != old)));
    assert!(until(|| shown(address, &trusted).as_ref() == Some(&trusted[2])));
    assert!(
        !service.messages().contains("PRIVATE KEY"),
        "keys are not printed"
    );
}

#[test]
fn a_bad_replacement_changes_nothing_and_is_said_once_if_it_stays() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (Pair::new(), Pair::new());
    let trusted = [first.der(), second.der()];
    first.write(folder.path());
    let service = Tenants::start(folder.path(), &[("t", own(""))], &[]).unwrap();
    let address = service.address("t");
    let said = "keeps its certificate: the ";
    // The certificate alone: half of a replacement, which is not said at once and then once.
    let new = write(folder.path(), "new", &second.certificate).unwrap();
    std::fs::rename(new, folder.path().join("cert.pem")).unwrap();
    assert!(service.has_said(said, 1));
    assert!(service.messages().contains("does not belong to the certificate"));
    std::thread::sleep(SETTLED);
    assert_eq!(
        service.messages().matches(said).count(),
        1,
        "{}",
        service.messages()
    );
    assert_eq!(shown(address, &trusted).as_ref(), Some(&trusted[0]));
    // And its other half.
    write(folder.path(), "key.pem", &second.key).unwrap();
    assert!(until(|| shown(address, &trusted).as_ref() == Some(&trusted[1])));
    // A file that is gone, and comes back as it was.
    let gone = "keeps its certificate: `";
    std::fs::rename(folder.path().join("key.pem"), folder.path().join("away")).unwrap();
    assert!(service.has_said(gone, 1));
    assert!(
        service
            .messages()
            .contains("key.pem` cannot be used: No such file")
    );
    assert_eq!(shown(address, &trusted).as_ref(), Some(&trusted[1]));
    std::fs::rename(folder.path().join("away"), folder.path().join("key.pem")).unwrap();
    std::thread::sleep(SETTLED);
    assert_eq!(service.messages().matches(gone).count(), 1);
    assert_eq!(shown(address, &trusted).as_ref(), Some(&trusted[1]));
}

#[test]
fn with_a_signal_the_reason_is_said_at_once_and_no_file_can_make_the_monitor_wait() {
    let folder = tempfile::tempdir().unwrap();
    let pair = Pair::new();
    pair.write(folder.path());
    let paths = ["cert.pem", "key.pem"].map(|name| folder.path().join(name));
    let [certificate, key] = paths.each_ref().map(|path| path.to_str().unwrap());
    // The shared gateway, whose files the options name; the links that some programs put there are followed.
    let link = folder.path().join("live.pem");
    std::os::unix::fs::symlink(certificate, &link).unwrap();
    let arguments = ["--tls-cert", link.to_str().unwrap(), "--tls-key", key];
    let service = Tenants::start(folder.path(), &[("t", chain(""))], &arguments).unwrap();
    let address = service.address("t");
    let trusted = [pair.der()];
    let hang_up = || service.signal(service.monitor_pid(), Signal::HUP);
    hang_up();
    assert!(service.has_said("the TLS files of the gateway have not changed", 1));
    write(folder.path(), "key.pem", "rubbish").unwrap();
    hang_up();
    assert!(service.has_said("keeps its certificate: the key file cannot be used", 1));
    std::fs::remove_file(key).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, key, rustix::fs::Mode::RUSR).unwrap();
    hang_up();
    assert!(service.has_said("it is a FIFO, not a file", 1));
    std::fs::remove_file(key).unwrap();
    std::fs::create_dir(key).unwrap();
    hang_up();
    assert!(service.has_said("it is a directory, not a file", 1));
    assert_eq!(
        shown(address, &trusted).as_ref(),
        Some(&trusted[0]),
        "and all the while it serves"
    );
    // The link leads to another pair's certificate, and the key is its key.
    let next = Pair::new();
    std::fs::remove_dir(key).unwrap();
    write(folder.path(), "key.pem", &next.key).unwrap();
    let other = write(folder.path(), "next.pem", &next.certificate).unwrap();
    std::fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(other, &link).unwrap();
    hang_up();
    assert!(until(
        || shown(address, &[next.der()]).as_ref() == Some(&next.der())
    ));
}

#[test]
fn the_daemon_has_no_descriptor_of_a_key() {
    if !rustix::process::geteuid().is_root() {
        skipped!("only root can list the descriptors of processes that are not dumpable");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    Pair::new().write(folder.path());
    let service = Tenants::start(folder.path(), &[("t", own(""))], &[]).unwrap();
    let holds = |pid: i32| {
        let entries = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
        let targets = entries.map(|entry| std::fs::read_link(entry.unwrap().path()).unwrap_or_default());
        targets
            .filter(|target| target.to_string_lossy().starts_with("/memfd:hacher-tls"))
            .count()
    };
    assert_eq!(
        holds(service.monitor_pid()),
        2,
        "the search finds them where they are"
    );
    for (pid, name) in service.processes() {
        assert_eq!(holds(pid), 0, "{name}");
    }
}
