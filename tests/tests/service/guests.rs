//! Programs that chain files start by the key `http`, in Rust and in Python, friendly and hostile.

use hacher_fabric::http::{Connection, Reply};
use hacher_skipped::skipped;
use hacher_tests::{Service, executable, instances};
use hacher_trustlet_host::chosen::jail::programs_missing_here;
use hyper::Method;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use tempfile::TempDir;

const HEAD: &str = "chain = \"t\"\nflow = [\"ingress -> f -> egress\"]\n[ingress]\nmethods = [\"GET\", \"POST\"]\n\
                    deadline = \"30s\"\n[function.f]\ntimeout = \"20s\"\nlogs = \"forward\"\nretry = { attempts = 1 }\n";

/// Whether functions have programs here, Python among them where it is asked for; else the reason is said.
fn is_possible(python: bool) -> bool {
    if let Some(missing) = programs_missing_here() {
        skipped!("{missing}");
        return false;
    }
    let asked = Command::new("python3")
        .arg("--version")
        .stdout(Stdio::null())
        .status();
    if python && !asked.is_ok_and(|status| status.success()) {
        skipped!("there is no python3");
        return false;
    }
    true
}

fn asked(service: &Service, path: &str, body: impl Into<bytes::Bytes>) -> Reply {
    let (path, body) = (format!("/chains/t{path}"), body.into());
    hacher_tests::runtime().block_on(async {
        let mut connection = Connection::open(service.gateway).await.unwrap();
        let sent = connection.send(Method::POST, &path, Some("text/plain"), body);
        sent.await.unwrap()
    })
}

/// A folder with this server in Python.
fn server(source: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("server.py"), source).unwrap();
    folder
}

/// A chain of it.
fn python_chain(folder: &Path, http: &str, more: &str) -> String {
    format!(
        "{HEAD}http = {{ command = [\"python3\", \"server.py\"]{http} }}\n\
         files = [{{ from = \"{}/server.py\", to = \"/server.py\" }}]\n{more}\n",
        folder.display()
    )
}

#[test]
fn a_program_beside_the_chain_file_is_started_with_its_port_and_arguments() {
    if !is_possible(false) {
        return;
    }
    // A server of its own, which takes its port from the environment; by a path that climbs, as these tests
    // may have been built in /tmp, where no program of a function can be.
    let program = executable("test-function");
    let chain = format!(
        "{HEAD}http = {{ command = [\"../../../../../../../..{}\"], port = 8123, path = \"/app\", ready = \"/ok\" }}\n\
         env = {{ FUNCTION = \"http-server\" }}\n",
        program.display()
    );
    let service = Service::start(&chain).unwrap();
    let reply = asked(&service, "/a?b=c", "the body");
    let head = String::from_utf8_lossy(&reply.body).into_owned();
    assert_eq!(reply.status, 200, "{head}");
    assert!(head.starts_with("POST /app/a?b=c HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("host: 127.0.0.1:8123\r\n"), "{head}");
}

#[test]
fn a_server_in_python_has_its_interpreter_library_and_arguments() {
    if !is_possible(true) {
        return;
    }
    let folder = server(
        "
import json, sys
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def do_GET(self):
        self.answer(b'')

    def do_POST(self):
        self.answer(self.rfile.read(int(self.headers['content-length'])))

    def answer(self, body):
        import sqlite3, ssl  # code that is loaded late, and libraries that the interpreter does not link
        told = {'path': self.path, 'body': body.decode(), 'prefix': sys.prefix, 'args': sys.argv[1:],
                'type': self.headers['content-type'], 'ssl': ssl.OPENSSL_VERSION_INFO[0] > 0}
        text = json.dumps(told).encode()
        self.send_response(200)
        self.send_header('content-type', 'application/json')
        self.send_header('content-length', str(len(text)))
        self.end_headers()
        self.wfile.write(text)

HTTPServer(('127.0.0.1', 8080), Handler).serve_forever()
",
    );
    let more = "args = [\"--own\"]\nmemory = \"256MiB\"";
    let service = Service::start(&python_chain(folder.path(), ", ready = \"/\"", more)).unwrap();
    for _ in 0..2 {
        let reply = asked(&service, "/a?b=c", "text");
        assert_eq!(reply.status, 200, "{}", reply.json());
        let told = reply.json();
        assert_eq!(told["path"], "/a?b=c", "{told}");
        assert_eq!(told["body"], "text", "{told}");
        assert_eq!(told["type"], "text/plain", "{told}");
        assert_eq!(told["prefix"], "/python", "{told}");
        assert_eq!(told["args"], serde_json::json!(["--own"]), "{told}");
        assert_eq!(told["ssl"], true, "{told}");
    }
    let status = service.status().unwrap();
    let instance = instances(&status).next().unwrap();
    assert_eq!(instance["epoch"], 1, "{instance}");
}

#[test]
fn an_answer_that_is_not_one_is_a_failed_attempt_and_the_next_request_is_served() {
    if !is_possible(true) {
        return;
    }
    // Answers by the last word of the path, byte by byte as it likes.
    let folder = server(
        "
import socket, threading

OK = b'HTTP/1.1 200 OK\\r\\n'
ANSWERS = {
    'nonsense': b'220 mail.example ESMTP\\r\\n',
    'long-head': OK + b'x-long: ' + b'a' * 70000 + b'\\r\\ncontent-length: 0\\r\\n\\r\\n',
    'many-headers': OK + b''.join(b'x-%d: 1\\r\\n' % n for n in range(200)) + b'content-length: 0\\r\\n\\r\\n',
    'short-body': OK + b'content-length: 10\\r\\n\\r\\nabc',
    'two-lengths': OK + b'content-length: 3\\r\\ncontent-length: 4\\r\\n\\r\\nabcd',
    'bad-chunk': OK + b'transfer-encoding: chunked\\r\\n\\r\\nzz\\r\\nabc\\r\\n',
    'latin': OK + b'x-name: caf\\xe9\\r\\ncontent-length: 0\\r\\n\\r\\n',
    'informal': b'HTTP/1.1 100 Continue\\r\\n\\r\\n' * 3,
    'teapot': b'HTTP/1.1 099 Low\\r\\ncontent-length: 0\\r\\n\\r\\n',
    'nothing': b'',
}

def converse(connection):
    data = b''
    while b'\\r\\n\\r\\n' not in data:
        more = connection.recv(65536)
        if not more:
            return
        data += more
    name = data.split(b' ')[1].rsplit(b'/', 1)[1].decode()
    if name == 'good':
        connection.sendall(OK + b'hacher-status: 500\\r\\nconnection: close, x-hop\\r\\nx-hop: 1\\r\\nx-own: 1\\r\\ncontent-length: 4\\r\\n\\r\\ngood')
    elif name == 'large':
        connection.sendall(OK + b'content-length: 1073741824\\r\\n\\r\\n')
        piece = b'x' * 65536
        while True:
            connection.sendall(piece)
    elif name == 'ahead':
        # An answer to a request that nobody has sent follows the one that was asked for.
        connection.sendall((OK + b'content-length: 5\\r\\n\\r\\nfirst') + (OK + b'content-length: 5\\r\\n\\r\\nworse'))
    else:
        connection.sendall(ANSWERS[name])
    connection.close()

listener = socket.create_server(('127.0.0.1', 8080))
while True:
    connection, _ = listener.accept()
    threading.Thread(target=converse, args=(connection,), daemon=True).start()
",
    );
    let service = Service::start(&python_chain(folder.path(), "", "memory = \"64MiB\"")).unwrap();
    let good = || {
        let reply = asked(&service, "/good", "x");
        assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
        assert_eq!(&reply.body[..], b"good");
        assert!(!reply.headers.contains_key("x-hop"), "{:?}", reply.headers);
        assert_eq!(reply.headers["x-own"], "1");
    };
    for name in [
        "nonsense",
        "long-head",
        "many-headers",
        "short-body",
        "two-lengths",
        "bad-chunk",
        "latin",
        "informal",
        "teapot",
        "nothing",
    ] {
        let reply = asked(&service, &format!("/{name}"), "payload-1");
        let told = String::from_utf8_lossy(&reply.body).into_owned();
        assert_eq!(reply.status, 502, "{name}: {told}");
        assert!(
            !told.contains("payload-1") && !told.contains("ESMTP"),
            "{name}: {told}"
        );
        good();
    }
    assert_eq!(instances(&service.status().unwrap()).next().unwrap()["epoch"], 1);
    let reply = asked(&service, "/ahead", "x");
    assert_eq!((reply.status.as_u16(), &reply.body[..]), (200, &b"first"[..]));
    good();
    // More than the adaptor can hold.
    let problem = asked(&service, "/large", "x").json();
    assert_eq!(problem["cause"], "out_of_memory", "{problem}");
    good();
}

#[test]
fn a_program_that_cannot_be_started_is_named_before_anything_runs() {
    if !is_possible(false) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let [plain, script] = [("plain", 0o644), ("script", 0o755)].map(|(name, mode)| {
        let path = folder.path().join(name);
        fs::write(&path, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        format!("./{name}")
    });
    for (command, told) in [
        ("./not-there", "there is no program"),
        ("no-such-program-anywhere", "in the folders of PATH"),
        (&*plain, "is not executable"),
        (&*script, "it is a script for `/bin/sh`"),
    ] {
        let chain = format!("{HEAD}http = {{ command = [\"{command}\"] }}\n");
        let path = folder.path().join("chain.toml");
        fs::write(&path, chain).unwrap();
        let checked = Command::new(executable("fabric-under-test"))
            .arg("check")
            .arg(&path)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&checked.stderr);
        assert!(
            !checked.status.success() && said.contains(told),
            "{command}: {said}"
        );
    }
}
