//! One chain of a function in Rust, one in Python, a Lambda handler and a program that serves HTTP, the last
//! two as they are: each is killed in a request, and gets it again.

use super::killed::{Victim, killed_in};
use hacher_skipped::skipped;
use hacher_tests::{Service, executable, function};
use hacher_trustlet_host::chosen::jail::programs_missing_here;
use std::fs;
use std::path::Path;

/// How long each function works.
const WORK_MS: u64 = 1500;
/// The functions, and the names of the processes to kill: of the last two, the guests'.
const KINDS: [(&str, &str); 4] = [
    ("rust", "rust"),
    ("python", "python"),
    ("lambda", "/guest/lambda-function"),
    ("http", "/guest/test-function"),
];

/// The chain; `None`, and the reason said, where it cannot be.
fn chain(folder: &Path) -> Option<String> {
    if let Some(missing) = programs_missing_here() {
        skipped!("{missing}");
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

#[test]
fn each_kind_of_function_is_killed_in_a_request_of_one_chain_and_gets_it_again() {
    let folder = tempfile::tempdir().unwrap();
    let Some(chain) = chain(folder.path()) else { return };
    let service = Service::start(&chain).unwrap();
    let reply = killed_in(
        &service,
        "/chains/t",
        Some("text/plain"),
        WORK_MS.to_string(),
        &KINDS.map(|(function, process)| Victim { function, process }),
    );
    let body = String::from_utf8_lossy(&reply.body).into_owned();
    assert_eq!(reply.status, 200, "{body}");
    assert!(body.ends_with("\r\n\r\n\"awake\""), "{body}");
    service.status_after(1).unwrap();
}
