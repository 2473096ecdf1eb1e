//! One chain of a function in Rust, one in Python, a Lambda handler and a program that serves HTTP, the last
//! two as they are: each is killed in a request, and gets it again.

use hacher_fabric::http::Connection;
use hacher_tests::{Service, executable, function, instances};
use hacher_trustlet_host::chosen::jail::programs_missing_here;
use hyper::Method;
use rustix::process::Signal;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Only to detect that something never comes.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long each function works.
const WORK_MS: u64 = 1500;
/// The functions, and by what names their processes are known: of the last two, the guests'.
const KINDS: [(&str, &str); 4] = [
    ("rust", "rust"),
    ("python", "python"),
    ("lambda", "/guest/lambda-function"),
    ("http", "/guest/test-function"),
];

/// The chain; `None`, and the reason said, where it cannot be.
fn chain(folder: &Path) -> Option<String> {
    if let Some(missing) = programs_missing_here() {
        println!("skipped: {missing}");
        return None;
    }
    let venv = crate::python::venv()?;
    let app = format!(
        "import time\n\ndef python(input, output):\n    time.sleep({WORK_MS} / 1000)\n    \
         output.send('{{\"do\": \"sleep\", \"millis\": {WORK_MS}}}', content_type='application/json')\n"
    );
    fs::write(folder.join("app.py"), app).unwrap();
    let more = "timeout = \"20s\"\nlogs = \"forward\"\nretry = { attempts = 5, backoff = \"1ms\" }\n";
    let given = |program: &str| {
        let path = executable(program);
        format!(
            "files = [{{ from = \"{}\", to = \"/guest/{program}\" }}]",
            path.display()
        )
    };
    Some(format!(
        "chain = \"t\"\nflow = [\"ingress -> rust -> python -> lambda -> http -> egress\"]\n\
         [ingress]\ndeadline = \"60s\"\n{}\
         [function.python]\npython = \"/app/app.py:python\"\nvenv = \"{}\"\n\
         files = [{{ from = \"{}\", to = \"/app\" }}]\n{more}\
         [function.lambda]\nlambda = \"/guest/lambda-function\"\n{}\n{more}\
         [function.http]\nhttp = {{ command = [\"/guest/test-function\"], path = \"/slow/{WORK_MS}\", ready = \"/ok\" }}\n\
         env = {{ FUNCTION = \"http-server\" }}\n{}\n{more}",
        function("rust", "nap", more),
        venv.display(),
        folder.display(),
        given("lambda-function"),
        given("test-function"),
    ))
}

fn of<'s>(status: &'s Value, name: &str) -> &'s Value {
    let found = instances(status).find(|instance| instance["function"] == name);
    found.unwrap_or(&Value::Null)
}

#[test]
fn each_kind_of_function_is_killed_in_a_request_of_one_chain_and_gets_it_again() {
    let folder = tempfile::tempdir().unwrap();
    let Some(chain) = chain(folder.path()) else { return };
    let service = Service::start(&chain).unwrap();
    let gateway = service.gateway;
    let (answer, answered) = mpsc::channel();
    let request = std::thread::spawn(move || {
        let reply = hacher_tests::runtime().block_on(async {
            let mut connection = Connection::open(gateway).await?;
            let body = WORK_MS.to_string().into();
            let sent = connection.send(Method::POST, "/chains/t", Some("text/plain"), body);
            sent.await
        });
        let _ = answer.send(reply);
    });
    let (begun, mut killed) = (Instant::now(), Vec::new());
    let reply = loop {
        if let Ok(reply) = answered.recv_timeout(Duration::from_millis(50)) {
            break reply.unwrap();
        }
        assert!(begun.elapsed() < PATIENCE);
        let status = service.status().unwrap();
        for (name, process) in KINDS {
            let instance = of(&status, name);
            if instance["running"].is_object() && !killed.contains(&name) {
                let found = service.process(process);
                assert!(found.is_some(), "{name}: {:?}", service.processes());
                service.signal(found.unwrap(), Signal::KILL);
                killed.push(name);
            }
        }
    };
    request.join().unwrap();
    let body = String::from_utf8_lossy(&reply.body).into_owned();
    assert_eq!(reply.status, 200, "{body}");
    assert!(body.ends_with("\r\n\r\n\"awake\""), "{body}");
    let status = service.status().unwrap();
    for (name, _) in KINDS {
        let instance = of(&status, name);
        assert_eq!(
            (&instance["epoch"], &instance["runs_succeeded"]),
            (&2.into(), &1.into()),
            "{instance}"
        );
    }
}
