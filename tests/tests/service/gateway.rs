//! The gateway as clients see it: TLS, HTTP/2, limits, disconnections; and what operators are told.

use bytes::Bytes;
use hacher_tests::{Service, function, functions, instances, without_parent};
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_rustls::TlsConnector;

const HEAD: &str = "chain = \"t\"\nversion = \"1\"\n";

fn echo_chain() -> String {
    format!(
        "{HEAD}flow = [\"ingress -> a -> egress\"]\n{}",
        functions(["a"], "echo", "")
    )
}

fn request() -> Request<Full<Bytes>> {
    let builder = Request::post("https://localhost/chains/t")
        .header("host", "localhost")
        .header(
            "traceparent",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        )
        .header("ce-id", "7");
    builder
        .header("content-type", "text/plain")
        .body(Full::new(Bytes::from_static(b"over tls")))
        .unwrap()
}

async fn tls(
    address: SocketAddr,
    certificate: &CertificateDer<'static>,
    protocol: &[u8],
) -> tokio_rustls::client::TlsStream<tokio::net::TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(protocol));
    stream
}

#[test]
fn tls_speaks_http_2_and_http_1_and_headers_travel() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let arguments = [
        "--tls-cert",
        certificate.to_str().unwrap(),
        "--tls-key",
        key.to_str().unwrap(),
    ];
    let service = Service::start_with(&echo_chain(), &arguments).unwrap();
    assert_eq!(service.ready["tls"], true);
    let gateway = service.gateway;
    hacher_tests::runtime().block_on(async {
        let stream = tls(gateway, made.cert.der(), b"h2").await;
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                .await
                .unwrap();
        tokio::spawn(connection);
        // Many streams at once on one connection.
        let replies: Vec<_> = (0..20).map(|_| sender.send_request(request())).collect();
        for reply in replies {
            let reply = reply.await.unwrap();
            assert_eq!(reply.status(), 200);
            let trace = reply.headers()["traceparent"].to_str().unwrap();
            assert_eq!(without_parent(trace), "00-0af7651916cd43dd8448eb211c80319c-*-01");
            assert!(reply.headers().get("ce-id").is_none());
            assert_eq!(reply.headers()["content-type"], "text/plain");
            assert_eq!(reply.into_body().collect().await.unwrap().to_bytes(), "over tls");
        }
        let stream = tls(gateway, made.cert.der(), b"http/1.1").await;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection);
        assert_eq!(sender.send_request(request()).await.unwrap().status(), 200);
    });
    // The gateway is replaced with the same certificate.
    let old = service.process("hacher-gateway").unwrap();
    service.signal(old, rustix::process::Signal::KILL);
    let end = Instant::now() + Duration::from_secs(10);
    while service.process("hacher-gateway").is_none_or(|pid| pid == old) {
        assert!(Instant::now() < end, "the gateway is not replaced");
        std::thread::sleep(Duration::from_millis(20));
    }
    hacher_tests::runtime().block_on(async {
        let stream = tls(gateway, made.cert.der(), b"http/1.1").await;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection);
        assert_eq!(sender.send_request(request()).await.unwrap().status(), 200);
    });
}

#[test]
fn an_operators_connection_ends_some_day_however_busy_it_is() {
    let service = Service::start(&echo_chain()).unwrap();
    let mut stream = TcpStream::connect(service.admin).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let end = Instant::now() + Duration::from_secs(300);
    let mut buffer = [0; 4096];
    // A request as soon as there was a reply to the last one, on one connection.
    while stream
        .write_all(b"GET /nothing HTTP/1.1\r\nhost: x\r\n\r\n")
        .is_ok()
        && stream.read(&mut buffer).is_ok_and(|count| count > 0)
    {
        assert!(Instant::now() < end, "it is never ended");
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(service.operator("/status").unwrap().status, 200);
}

#[test]
fn plain_http_is_for_loopback_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chain.toml");
    std::fs::write(&path, echo_chain()).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_fabric-under-test"))
        .args(["serve", path.to_str().unwrap(), "--listen", "0.0.0.0:0"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("loopback only"));
}

#[test]
fn too_many_requests_are_shed_and_told_when_to_come_back() {
    let chain = format!(
        "{HEAD}flow = [\"ingress -> a -> egress\"]\n[ingress]\nin_flight = 2\n{}",
        function("a", "slow", "timeout = \"4s\"")
    );
    let service = Service::start(&chain).unwrap();
    let gateway = service.gateway;
    let clients: Vec<_> = (0..6)
        .map(|_| {
            std::thread::spawn(move || {
                hacher_tests::runtime().block_on(async {
                    let mut connection = hacher_fabric::http::Connection::open(gateway).await.unwrap();
                    connection
                        .send(hyper::Method::POST, "/chains/t", None, "x".into())
                        .await
                        .unwrap()
                })
            })
        })
        .collect();
    let replies: Vec<_> = clients.into_iter().map(|client| client.join().unwrap()).collect();
    let served = replies.iter().filter(|reply| reply.status == 200).count();
    let shed: Vec<_> = replies.iter().filter(|reply| reply.status == 429).collect();
    assert!(
        served >= 2 && served + shed.len() == 6,
        "{served} served, {} shed",
        shed.len()
    );
    assert!(!shed.is_empty());
    assert!(shed.iter().all(|reply| reply.header("retry-after").is_some()));
}

#[test]
fn a_client_that_goes_away_is_noticed_and_its_request_is_not_run() {
    let chain = format!(
        "{HEAD}flow = [\"ingress -> a -> b -> egress\"]\n[ingress]\ndeadline = \"30s\"\n{}{}",
        function("a", "slower", "timeout = \"20s\""),
        function("b", "echo", "")
    );
    let service = Service::start(&chain).unwrap();
    let mut client = TcpStream::connect(service.gateway).unwrap();
    client
        .write_all(b"POST /chains/t HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\nx")
        .unwrap();
    service
        .status_when("the request is in flight", |status| {
            status["chains"][0]["in_flight"] == 1
        })
        .unwrap();
    // Sooner, it could be a client that has no more to say and waits for the reply.
    std::thread::sleep(Duration::from_millis(200));
    drop(client);
    let b = |status: &serde_json::Value| {
        let found = instances(status).find(|instance| instance["function"] == "b");
        found.unwrap().clone()
    };
    let status = service
        .status_when("the client is missed, and its record dropped", |status| {
            status["chains"][0]["gateway"]["requests_disconnected"] == 1
                && b(status)["records_cancelled"] == 1
        })
        .unwrap();
    assert_eq!(b(&status)["runs_succeeded"], 0);
}

#[test]
fn garbage_in_place_of_http_hurts_nobody() {
    let service = Service::start(&echo_chain()).unwrap();
    for garbage in [
        &b"\0\0\0\0\0\0\0\0"[..],
        b"GET\r\n\r\n\r\n",
        b"POST /chains/t HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        &[0xff; 70_000],
    ] {
        let mut client = TcpStream::connect(service.gateway).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        // The gateway may close before all of it is written.
        let _ = client.write_all(garbage);
        let _ = client.shutdown(std::net::Shutdown::Write);
        let mut reply = Vec::new();
        let _ = client.read_to_end(&mut reply);
        assert!(
            reply.is_empty() || reply.starts_with(b"HTTP/1.1 4"),
            "{:?}",
            String::from_utf8_lossy(&reply)
        );
    }
    assert_eq!(service.post("t", "still here").unwrap().body, "still here");
}

#[test]
fn measure_prints_the_digest_that_serve_reports() {
    let service = Service::start(&echo_chain()).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_fabric-under-test"))
        .args([
            "measure",
            service.chain_file().to_str().unwrap(),
            "--format",
            "json",
        ])
        .output()
        .unwrap();
    let measured: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(measured["digest"], service.ready["chains"][0]["digest"]);
    assert_eq!(measured["digest"].as_str().unwrap().len(), 96);
}
