//! `call` and `run` as people and programs use them: what they send, what they show, what their exit code
//! says.

use hacher_tests::tenants::{command, write};
use hacher_tests::{Service, function};
use serde_json::Value;
use std::fs;

fn chain(ingress: &str, what: &str) -> String {
    let head = "chain = \"t\"\nversion = \"1\"\nflow = [\"ingress -> a -> egress\"]";
    format!(
        "{head}\n[ingress]\n{ingress}\n{}",
        function("a", what, "retry = { attempts = 1 }")
    )
}

/// Code, standard output and standard error of `call` and of `run` on the same chain and input.
fn both(chain: &str, input: &str, arguments: &[&str]) -> [(Option<i32>, String, String); 2] {
    let service = Service::start(chain).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "chain.toml", chain).unwrap();
    let input = write(folder.path(), "input.txt", input).unwrap();
    let gateway = service.gateway.to_string();
    let (file, input) = (file.to_str().unwrap(), input.to_str().unwrap());
    let call = ["call", "t", "--gateway", &gateway, "--input", input];
    let run = ["run", file, "--input", input];
    [&call[..], &run].map(|words| command(&[words, arguments].concat()).unwrap())
}

#[test]
fn an_answer_is_shown_with_its_status_and_an_error_with_its_body() {
    for (code, out, err) in both(
        &chain("", "reply"),
        "status 201\nset content-type a/b\n\nbody",
        &[],
    ) {
        assert_eq!((code, out.as_str()), (Some(0), "body"), "{err}");
        assert!(err.contains("201 Created"), "{err}");
    }
    for (code, out, err) in both(&chain("", "reply"), "status 422\n\n{\"why\": \"no\"}", &[]) {
        assert_eq!((code, out.as_str()), (Some(1), "{\"why\": \"no\"}"), "{err}");
        assert!(err.contains("error: 422 Unprocessable Entity"), "{err}");
    }
    for (code, out, err) in both(&chain("", "reply"), "status 307\nset location /a\n\n", &[]) {
        assert_eq!((code, out.as_str()), (Some(0), ""), "{err}");
    }
    for (code, out, err) in both(&chain("", "reject"), "x", &[]) {
        let problem: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(
            (code, &problem["function"]),
            (Some(1), &Value::from("a")),
            "{err}"
        );
        assert!(err.contains("error: 502 a function failed"), "{err}");
    }
}

#[test]
fn include_shows_the_head_before_the_body() {
    for (code, out, err) in both(
        &chain("", "reply"),
        "status 404\nset X-Own 1\n\nbody",
        &["--include"],
    ) {
        assert_eq!(code, Some(1), "{err}");
        let (head, body) = out.split_once("\n\n").unwrap();
        assert_eq!(body, "body");
        assert_eq!(head.lines().next(), Some("HTTP/1.1 404 Not Found"));
        assert!(head.lines().any(|line| line == "x-own: 1"), "{head}");
    }
}

#[test]
fn data_is_complete_and_apart_from_the_body() {
    let answer = "status 422\nset x-own 1\nappend set-cookie a=1\nappend set-cookie b=2\n\nbody";
    for (code, out, err) in both(&chain("", "reply"), answer, &["--format", "json"]) {
        assert_eq!((code, out.as_str()), (Some(1), "body"), "{err}");
        let lines = err
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let report = lines.into_iter().find(|line| line["event"] == "reply").unwrap();
        assert_eq!(
            (&report["status"], &report["success"]),
            (&422.into(), &false.into())
        );
        assert_eq!(report["headers"]["x-own"], serde_json::json!(["1"]));
        assert_eq!(report["headers"]["set-cookie"], serde_json::json!(["a=1", "b=2"]));
        assert_eq!(report["bytes"], 4);
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("out");
    let arguments = ["--format", "json", "--output", file.to_str().unwrap()];
    for (code, out, err) in both(&chain("", "reply"), "status 201\n\nbody", &arguments) {
        let report: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(
            (code, &report["status"], &report["success"]),
            (Some(0), &201.into(), &true.into()),
            "{err}"
        );
        assert_eq!(fs::read_to_string(&file).unwrap(), "body");
    }
    fs::remove_file(&file).unwrap();
    for (code, out, err) in both(&chain("", "reject"), "x", &arguments) {
        let report: Value = serde_json::from_str(&out).unwrap();
        assert_eq!((code, &report["status"]), (Some(1), &502.into()), "{err}");
        assert_eq!(report["problem"]["function"], "a");
        assert!(report["body"].as_str().unwrap().contains("\"function\""));
        assert!(!file.exists(), "an error is no output");
    }
}

#[test]
fn any_method_path_query_and_header_can_be_asked_sealed_or_not() {
    let text = chain(
        "methods = [\"GET\", \"PUT\"]\nheaders = [\"x-tenant\"]",
        "headers",
    );
    let asked = [
        "-X",
        "put",
        "--path",
        "/a/b?c=%20",
        "-H",
        "X-Tenant: mine",
        "-H",
        "content-type: a/b",
    ];
    let expected = [
        "hacher-method: PUT",
        "hacher-path: /a/b",
        "hacher-query: c=%20",
        "x-tenant: mine",
        "content-type: a/b",
    ];
    for (code, out, err) in both(&text, "x", &asked) {
        assert_eq!(code, Some(0), "{err}");
        for line in expected {
            assert!(out.lines().any(|found| found == line), "{line}: {out}");
        }
    }
    let service = Service::start(&text).unwrap();
    let gateway = service.gateway.to_string();
    let file = service.chain_file();
    let (_, measured, _) = command(&["measure", file.to_str().unwrap(), "--format", "json"]).unwrap();
    let measured: Value = serde_json::from_str(&measured).unwrap();
    let one = measured.as_array().map_or(&measured, |all| &all[0]);
    let digest = one["digest"].as_str().unwrap();
    let call = [
        "call",
        "t",
        "--gateway",
        &gateway,
        "--expect-digest",
        digest,
        "--allow-emulated",
    ];
    let (code, out, err) = command(&[&call[..], &asked].concat()).unwrap();
    assert_eq!(code, Some(0), "{err}");
    for line in expected.iter().chain(&["x-forwarded-for: 127.0.0.1"]) {
        assert!(out.lines().any(|found| found == *line), "{line}: {out}");
    }
    for (more, status) in [
        (vec!["-X", "GET"], None),
        (vec!["-X", "POST"], Some("405")),
        (vec!["-X", "GET", "--path", "/a/../b"], Some("400")),
    ] {
        let (code, out, err) = command(&[&call[..], &more].concat()).unwrap();
        assert_eq!(code, Some(i32::from(status.is_some())), "{more:?}: {out}{err}");
        assert!(status.is_none_or(|status| err.contains(status)), "{err}");
    }
    // Only --method does without an input.
    assert_eq!(command(&["call", "t", "--gateway", &gateway]).unwrap().0, Some(2));
    assert_eq!(
        command(&["call", "t", "-X", "GET", "--path", "a"]).unwrap().0,
        Some(2)
    );
}
