//! Functions in Python, by the package that `libos-net/python/run` installs; skipped, with the reason, where
//! it was not run.

use super::killed::{Victim, killed_in};
use hacher_skipped::skipped;
use hacher_tests::{Service, ServiceError, executable};
use hacher_trustlet_host::chosen::jail::programs_missing_here;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Only to detect that something never comes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A virtual environment with the package; `None`, and the reason said, where there is none.
pub(crate) fn venv() -> Option<PathBuf> {
    let venv = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/python/venv");
    if venv.join("pyvenv.cfg").is_file() {
        return Some(venv);
    }
    skipped!("there is no `{}`: libos-net/python/run makes it", venv.display());
    None
}

/// A chain of functions in Python, and the folder with their files.
struct App {
    folder: TempDir,
    venv: PathBuf,
}

impl App {
    /// With this as `app.py`.
    fn new(source: &str) -> Option<Self> {
        let venv = venv()?;
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("app.py"), source).unwrap();
        Some(Self { folder, venv })
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// The table of a function whose handler in `app.py` has the function's name.
    fn function(&self, name: &str, more: &str) -> String {
        // Absolute, since the chain file lies elsewhere; in a folder that is given, so that its place is the
        // same wherever that lies.
        format!(
            "[function.{name}]\npython = \"/app/app.py:{name}\"\nvenv = \"{}\"\ntimeout = \"20s\"\nlogs = \"forward\"\n{}\n",
            self.venv.display(),
            if more.contains("files = ") {
                more.to_owned()
            } else {
                format!(
                    "files = [{{ from = \"{}\", to = \"/app\" }}]\n{more}",
                    self.folder.path().display()
                )
            }
        )
    }

    /// A service of one function, `f`.
    fn serve(&self, more: &str) -> Service {
        Service::start(&self.chain(more)).unwrap()
    }

    fn chain(&self, more: &str) -> String {
        chain("ingress -> f -> egress", &self.function("f", more))
    }
}

fn chain(flow: &str, functions: &str) -> String {
    format!("chain = \"t\"\nflow = [\"{flow}\"]\n[ingress]\ndeadline = \"50s\"\n{functions}")
}

fn told(service: &Service, body: impl Into<bytes::Bytes>) -> String {
    let reply = service.post("t", body.into()).unwrap();
    let body = String::from_utf8_lossy(&reply.body).into_owned();
    assert_eq!(reply.status, 200, "{body}");
    body
}

#[test]
fn a_handler_of_bytes_of_a_view_and_of_text_in_one_chain() {
    let source = "
import os, sys

def shout(body: bytes) -> bytes:
    return body.upper()

def double(body: memoryview) -> bytes:
    assert body.readonly
    return b''.join([body, body])

def where(text: str) -> str:
    assert sys.prefix == '/python' and os.getpid() == 1
    return text + ' ' + __file__
";
    let Some(app) = App::new(source) else { return };
    for protection in ["sealed", "mapped"] {
        let functions = ["shout", "double", "where"]
            .map(|name| app.function(name, ""))
            .concat();
        let chain = chain("ingress -> shout -> double -> where -> egress", &functions);
        let service = Service::start(&format!("protection = \"{protection}\"\n{chain}")).unwrap();
        assert_eq!(told(&service, "abc"), "ABCABC /app/app.py");
        // More than one segment.
        let reply = service.post("t", vec![b'x'; 300_000]).unwrap();
        assert_eq!(reply.body.len(), 600_000 + " /app/app.py".len());
    }
}

#[test]
fn modules_beside_the_file_are_found_at_the_root_which_cannot_be_listed() {
    let source = "
import helpers, words.more

def f(body: bytes) -> bytes:
    return body + helpers.END + words.more.END
";
    let Some(app) = App::new(source) else { return };
    fs::write(app.folder.path().join("helpers.py"), "END = b' one'\n").unwrap();
    let words = app.folder.path().join("words");
    fs::create_dir(&words).unwrap();
    fs::write(words.join("__init__.py"), "").unwrap();
    fs::write(words.join("more.py"), "END = b' two'\n").unwrap();
    // Beside the chain file, whose folder is the function's root.
    let function = format!(
        "[function.f]\npython = \"app.py:f\"\nvenv = \"{}\"\nfiles = [\"helpers.py\", \"words\"]\n",
        app.venv.display()
    );
    fs::write(app.path("chain.toml"), chain("ingress -> f -> egress", &function)).unwrap();
    fs::write(app.path("input"), "zero").unwrap();
    let output = Command::new(executable("fabric-under-test"))
        .args(["run", &app.path("chain.toml"), "--input", &app.path("input")])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "zero one two", "{said}");
}

#[test]
fn an_exception_is_a_failed_attempt_with_its_type_and_its_traceback_is_in_the_log() {
    let source = "
import hacher, logging

def f(input, output):
    logging.getLogger('mine').info('attempt %d', input.attempt)
    if input.body == b'literal':
        raise hacher.Permanent('no picture')
    raise KeyError(input.body.decode())
";
    let Some(app) = App::new(source) else { return };
    let log = tempfile::NamedTempFile::new().unwrap();
    let chain = app.chain("retry = { attempts = 2, backoff = \"1ms\" }");
    let service = Service::start_telling(&chain, &[], Stdio::from(log.reopen().unwrap())).unwrap();
    let reply = service.post("t", "payload-1").unwrap();
    let problem = reply.json();
    assert_eq!(reply.status, 502, "{problem}");
    assert_eq!(
        (&problem["attempts"], &problem["cause"]),
        (&2.into(), &"failed".into()),
        "{problem}"
    );
    assert!(
        problem.to_string().contains("the handler raised KeyError"),
        "{problem}"
    );
    assert!(!problem.to_string().contains("payload-1"), "{problem}");
    let problem = service.post("t", "literal").unwrap().json();
    assert_eq!(problem["attempts"], 1, "{problem}");
    assert!(problem.to_string().contains("no picture"), "{problem}");
    let begun = Instant::now();
    loop {
        let log = fs::read_to_string(log.path()).unwrap();
        let has = |text: &str| log.contains(text);
        let awaited = [
            "KeyError: 'payload-1'",
            "/app/app.py",
            " attempt=2}: mine: attempt 2",
            "Traceback (most recent call last)",
            "Permanent: no picture",
        ];
        if awaited.into_iter().all(has) {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{log}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn ports_and_a_join_of_functions() {
    let source = "
def split(input, output):
    digits, rest = output.port('digits'), output.port('rest')
    for byte in input.body:
        (digits if chr(byte).isdigit() else rest).write(bytes([byte]))

def sum(body: bytes) -> str:
    return str(eval('+'.join(chr(byte) for byte in body)))

def merge(input, output):
    assert input.is_join
    total, rest = input.part('sum'), input.part('split', 'rest')
    output.send(total.body + b' ' + bytes(rest.view()), content_type='text/x-merged', status=201)
";
    let Some(app) = App::new(source) else { return };
    let functions = [
        app.function("split", "ports = [\"digits\", \"rest\"]"),
        app.function("sum", ""),
        app.function("merge", ""),
    ];
    let chain = format!(
        "chain = \"t\"\nflow = [\"ingress -> split\", \"split.digits -> sum\", \"sum & split.rest -> merge -> egress\"]\n\
         [ingress]\ndeadline = \"50s\"\n{}",
        functions.concat()
    );
    let service = Service::start(&chain).unwrap();
    let reply = service.post("t", "a1b2c39").unwrap();
    assert_eq!((reply.status.as_u16(), &reply.body[..]), (201, &b"15 abc"[..]));
}

#[test]
fn a_stream_is_read_and_written_as_it_comes() {
    let source = "
def f(input, output):
    out = output.port().stream()
    most = 0
    for chunk in input:
        most = max(most, len(chunk))
        out.write(chunk.upper())
    out.write(str(most <= 65536))
";
    let Some(app) = App::new(source) else { return };
    // Four times as long as the outbox.
    let service = app.serve("stream = true\noutbox = \"1MiB\"");
    let reply = service.post("t", vec![b'x'; 4 << 20]).unwrap();
    assert_eq!(reply.body.len(), (4 << 20) + 4);
    assert!(reply.body.ends_with(b"XTrue") && reply.body.starts_with(b"X"));
}

#[test]
fn a_view_that_was_kept_never_reads_the_next_record() {
    let source = "
kept = []

def f(body: memoryview) -> bytes:
    if body[:4] == b'keep':
        kept.append(body[4:])
        return b'kept'
    return b' '.join(bytes(one) for one in kept)
";
    let Some(app) = App::new(source) else { return };
    let service = app.serve("retry = { attempts = 1 }");
    let reply = service.post("t", "keepONE").unwrap();
    assert_eq!(reply.status, 502);
    assert!(
        reply
            .json()
            .to_string()
            .contains("a view of the body outlives its run")
    );
    // Longer and shorter ones, by the same instance.
    for record in ["xxxxxxxxxxxxx", "yyyyyyy", "z"] {
        assert_eq!(told(&service, record), "ONE");
    }
    assert_eq!(service.post("t", "keepTWO").unwrap().status, 502);
    assert_eq!(told(&service, "xxxxxxx"), "ONE TWO");
}

fn digest_of(app: &App, more: &str) -> Value {
    let file = app.folder.path().join("../").join(format!(
        "{}.toml",
        app.folder.path().file_name().unwrap().to_string_lossy()
    ));
    fs::write(&file, app.chain(more)).unwrap();
    let done = Command::new(executable("fabric-under-test"))
        .args(["measure", "--format", "json"])
        .arg(&file)
        .output()
        .unwrap();
    fs::remove_file(&file).unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    serde_json::from_slice::<Value>(&done.stdout).unwrap()["digest"].clone()
}

#[test]
fn what_a_function_is_made_of_is_in_the_digest() {
    let Some(app) = App::new("def f(body):\n    return body\n") else {
        return;
    };
    fs::write(app.folder.path().join("sibling.py"), "X = 1\n").unwrap();
    let first = digest_of(&app, "");
    assert!(first.as_str().is_some_and(|digest| digest.len() == 96), "{first}");
    assert_eq!(digest_of(&app, ""), first);
    let mut seen = vec![first];
    let mut is_new = |digest: Value| {
        assert!(!seen.contains(&digest), "{digest}");
        seen.push(digest);
    };
    is_new(digest_of(&app, "preload = [\"json\"]"));
    is_new(digest_of(&app, "args = [\"x\"]"));
    fs::write(
        app.folder.path().join("app.py"),
        "def f(body):\n    return body \n",
    )
    .unwrap();
    is_new(digest_of(&app, ""));
    fs::write(app.folder.path().join("sibling.py"), "X = 2\n").unwrap();
    is_new(digest_of(&app, ""));
}

#[test]
fn code_is_loaded_before_a_function_serves_and_not_after() {
    let source = "
def f(body: bytes) -> bytes:
    import _bz2
    return _bz2.BZ2Compressor().compress(body) + b'loaded'
";
    let Some(app) = App::new(source) else { return };
    let log = tempfile::NamedTempFile::new().unwrap();
    let chain = app.chain("retry = { attempts = 1 }");
    let service = Service::start_telling(&chain, &[], Stdio::from(log.reopen().unwrap())).unwrap();
    let reply = service.post("t", "x").unwrap();
    assert_eq!(reply.status, 502);
    assert!(
        reply
            .json()
            .to_string()
            .contains("the handler raised ImportError")
    );
    let status = service
        .status_when("the refused call is counted", |status| {
            !status["chains"][0]["instances"][0]["refused_calls"]["mmap"].is_null()
        })
        .unwrap();
    assert_eq!(status["chains"][0]["instances"][0]["epoch"], 1, "{status}");
    let begun = Instant::now();
    while !fs::read_to_string(log.path())
        .unwrap()
        .contains("name _bz2, or what imports it, in `preload`")
    {
        assert!(begun.elapsed() < PATIENCE, "the log does not say what to do");
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(service);
    let service = app.serve("preload = [\"_bz2\"]");
    assert!(told(&service, "x").ends_with("loaded"));
}

#[test]
fn threads_from_before_a_function_serves_can_load_no_code_either() {
    let source = "
import threading, importlib

asked, answered, told = threading.Event(), threading.Event(), []

def wait():
    asked.wait()
    try:
        importlib.import_module('_bz2')
        told.append('loaded')
    except ImportError as error:
        told.append(str(error))
    answered.set()

threading.Thread(target=wait, daemon=True).start()

def f(body: bytes) -> str:
    asked.set()
    assert answered.wait(10)
    return told[0]
";
    let Some(app) = App::new(source) else { return };
    let service = app.serve("");
    let told = told(&service, "x");
    assert!(told.contains("failed to map"), "{told}");
}

#[test]
fn a_function_that_is_killed_in_a_request_gets_it_again() {
    let source = "
import time, hacher

def f(input, output):
    if input.attempt == 1:
        time.sleep(15)
    output.send('attempt %d' % input.attempt)
";
    let Some(app) = App::new(source) else { return };
    let service = app.serve("retry = { attempts = 5, backoff = \"1ms\" }");
    let victim = Victim {
        function: "f",
        process: "f",
    };
    let reply = killed_in(&service, "/chains/t", None, "x", &[victim]);
    assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
    assert_eq!(reply.body, "attempt 2");
}

#[test]
fn modules_beside_the_file_arguments_and_packages_are_found() {
    let source = "
import sys
import sibling
import hacher

def f(body: bytes) -> str:
    return ' '.join([sibling.NAME, *sys.argv, hacher.__file__])
";
    let Some(app) = App::new(source) else { return };
    fs::write(app.folder.path().join("sibling.py"), "NAME = 'sibling'\n").unwrap();
    let service = app.serve("args = [\"--quality\", \"80\"]");
    assert_eq!(
        told(&service, ""),
        "sibling /app/app.py --quality 80 /python/packages/hacher/__init__.py"
    );
}

#[test]
fn a_function_that_cannot_be_imported_ends_the_start() {
    let Some(app) = App::new("import no_such_module\ndef f(body):\n    return body\n") else {
        return;
    };
    let log = tempfile::NamedTempFile::new().unwrap();
    let started = Service::start_telling(&app.chain(""), &[], Stdio::from(log.reopen().unwrap()));
    assert!(
        matches!(started, Err(ServiceError::NotReady { .. })),
        "{started:?}"
    );
    let log = fs::read_to_string(log.path()).unwrap();
    assert!(
        log.contains("ModuleNotFoundError: No module named 'no_such_module'"),
        "{log}"
    );
}

#[test]
fn what_is_missing_is_a_diagnostic() {
    let Some(app) = App::new("def other(body):\n    return body\n") else {
        return;
    };
    let path = app.path("chain.toml");
    let venv = app.venv.display();
    let check = |lines: &str| {
        let text = chain("ingress -> f -> egress", &format!("[function.f]\n{lines}\n"));
        fs::write(&path, text).unwrap();
        let done = Command::new(executable("fabric-under-test"))
            .arg("check")
            .arg(&path)
            .output()
            .unwrap();
        let told = [done.stdout, done.stderr].concat();
        (done.status.success(), String::from_utf8_lossy(&told).into_owned())
    };
    let (is_right, told) = check(&format!("python = \"app.py:other\"\nvenv = \"{venv}\""));
    assert!(is_right, "{told}");
    for (lines, expected) in [
        (
            format!("python = \"app.py:f\"\nvenv = \"{venv}\""),
            "is called `f`",
        ),
        (
            format!("python = \"app.py:f\"\nvenv = \"{venv}\""),
            "its functions are other",
        ),
        (format!("python = \"gone.py:f\"\nvenv = \"{venv}\""), "gone.py"),
        (
            "python = \"app.py:other\"\nvenv = \".none\"".to_owned(),
            "is no virtual environment",
        ),
        (
            "python = \"app.py:other\"\ninterpreter = \"/no/python3\"".to_owned(),
            "cannot find `/no/python3`",
        ),
        (
            "python = \"app.py:other\"\ninterpreter = \"/usr/bin/env\"".to_owned(),
            "as an interpreter of Python",
        ),
    ] {
        let (is_right, told) = check(&lines);
        assert!(
            !is_right && told.contains("E0506") && told.contains(expected),
            "{lines}: {told}"
        );
    }
}

/// The attack list of `hostile.rs`, and what Python adds to it.
const HOSTILE: &str = r#"
import ctypes, encodings.idna, errno, mmap, os, socket, subprocess

# What a call says that would be allowed, and was asked for something that is not there.
WRONG = (errno.EINVAL, errno.EFAULT, errno.EBADF, errno.ESRCH)
libc = ctypes.CDLL(None, use_errno=True)

def call(function, *arguments):
    if function(*arguments) in (-1, ctypes.c_void_p(-1).value):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

def fork():
    if os.fork() == 0:
        os._exit(0)

def kill():
    os.kill(-1, 9)

libc.mmap.restype = ctypes.c_void_p
WRITABLE_CODE = mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
ANONYMOUS = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS

def code_of_a_file():
    with open('/tmp/code', 'wb') as file:
        file.write(bytes(4096))
    with open('/tmp/code', 'rb') as file:
        mmap.mmap(file.fileno(), 4096, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_EXEC)

ATTEMPTS = {
    'open a file of the machine': lambda: open('/etc/os-release'),
    'open its own memory': lambda: open('/proc/self/mem', 'r+b'),
    'list processes': lambda: os.listdir('/proc'),
    'create a file outside scratch': lambda: open('/hostile', 'w'),
    'change its own file': lambda: open(__file__, 'a'),
    'change a package': lambda: open('/python/packages/hacher/__init__.py', 'a'),
    'reach the network': lambda: socket.create_connection(('192.0.2.1', 80), 1),
    'look up a name': lambda: socket.create_connection(('example.com', 80), 1),
    'run a program of the machine': lambda: subprocess.run(['/bin/true'], check=True),
    'ptrace': lambda: call(libc.ptrace, 16, 2, 0, 0),
    'mount': lambda: call(libc.mount, b'', b'/', b'', 4096, None),
    'make a namespace': lambda: call(libc.unshare, 0x10000000),
    'make a memfd': lambda: os.memfd_create('x'),
    'map executable memory': lambda: call(libc.mmap, None, 4096, WRITABLE_CODE, ANONYMOUS, -1, 0),
    'execute what it wrote': code_of_a_file,
    'set up io_uring': lambda: call(libc.syscall, 425, 8, 0),
    'trace by perf': lambda: call(libc.syscall, 298, 0, 0, -1, -1, 0),
    'load a kernel program': lambda: call(libc.syscall, 321, 0, 0, 0),
    'raise its limits': lambda: call(libc.syscall, 302, 0, 7, ctypes.create_string_buffer(b'\xff' * 16), 0),
}
OF_PROGRAMS = {
    'fork': fork,
    'listen': lambda: socket.create_server(('127.0.0.1', 8000)),
}

def f(text: str) -> str:
    attempts = dict(ATTEMPTS) if text == 'program' else {**ATTEMPTS, **OF_PROGRAMS}
    lines = []
    for what, attempt in attempts.items():
        try:
            attempt()
            lines.append('ALLOWED ' + what)
        except OSError as error:
            word = 'WRONG' if error.errno in WRONG else 'refused'
            lines.append(f'{word} {what}: {error!r}')
        except Exception as error:
            lines.append(f'WRONG {what}: {error!r}')
    return '\n'.join(lines)
"#;

#[test]
fn what_no_function_may_do_is_refused_to_python_too() {
    let Some(app) = App::new(HOSTILE) else { return };
    let program = programs_missing_here().map_or("syscalls = \"program\"", |missing| {
        skipped!("of functions with programs: {missing}");
        ""
    });
    for (profile, words) in [("", "native"), (program, "program")] {
        if profile.is_empty() && words == "program" {
            continue;
        }
        let service = app.serve(profile);
        let told = told(&service, words);
        assert!(
            told.lines().count() >= 19 && told.lines().all(|line| line.starts_with("refused ")),
            "{words}:\n{told}"
        );
    }
}
