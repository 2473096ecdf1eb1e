//! Several chains of which one does not start: the others are served, and it is told, tried again, and served
//! in the end.

use hacher_tests::tenants::{Tenants, post};
use hacher_tests::{executable, function, until};
use std::time::SystemTime;

/// A gateway of the chain's own.
const OWN: &str = "listen = \"127.0.0.1:0\"";

fn chain(name: &str, ingress: &str, function: &str) -> String {
    format!(
        "chain = \"{name}\"\nversion = \"1\"\nflow = [\"ingress -> f -> egress\"]\n[ingress]\ndeadline = \"60s\"\n{ingress}\n{function}"
    )
}

#[test]
fn a_chain_that_dies_at_start_leaves_the_others_alone() {
    let folder = tempfile::tempdir().unwrap();
    let dies = || function("f", "die", "");
    let chains = [
        ("good", chain("good", "", &function("f", "echo", ""))),
        ("bad", chain("bad", "", &dies())),
        ("worse", chain("worse", OWN, &dies())),
        ("fine", chain("fine", OWN, &function("f", "echo", ""))),
    ];
    let mut service = Tenants::start(folder.path(), &chains, &["--drain-delay", "0"]).unwrap();
    for name in ["good", "fine"] {
        assert_eq!(post(service.address(name), name, "x").unwrap().body, "x");
    }
    let not_served = service.ready["not_served"].as_object().unwrap();
    let names: Vec<_> = not_served.keys().map(String::as_str).collect();
    assert_eq!(names, ["bad", "worse"]);
    assert!(
        not_served["bad"].as_str().unwrap().contains("exited with code 3"),
        "{not_served:?}"
    );
    let refused = post(service.address("bad"), "bad", "x").unwrap();
    assert_eq!(refused.status, 503);
    assert!(refused.header("retry-after").is_some());
    assert_eq!(refused.json()["title"], "the chain is not ready");
    let messages = service.messages();
    let errors: Vec<_> = messages.lines().filter(|line| line.contains("error:")).collect();
    assert_eq!(errors.len(), 2, "{messages}");
    for chain in ["bad", "worse"] {
        let told = format!("function `f` of chain `{chain}` exited with code 3");
        assert_eq!(
            errors.iter().filter(|line| line.contains(&told)).count(),
            1,
            "{messages}"
        );
    }
    assert!(!messages.contains("it is being replaced"), "{messages}");
    service.signal(service.monitor_pid(), rustix::process::Signal::TERM);
    assert_eq!(service.wait().unwrap(), Some(0));
}

#[test]
fn a_chain_that_starts_late_is_served_from_then_on() {
    let folder = tempfile::tempdir().unwrap();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let late = format!(
        "[function.f]\nexec = \"{}\"\nenv = {{ FUNCTION = \"late\", FROM = \"{}\" }}\n",
        executable("test-function").display(),
        now.as_secs() + 5
    );
    let chains = [
        ("good", chain("good", "", &function("f", "echo", ""))),
        ("late", chain("late", "", &late)),
        ("later", chain("later", OWN, &late)),
    ];
    let service = Tenants::start(folder.path(), &chains, &[]).unwrap();
    assert_eq!(post(service.address("good"), "good", "x").unwrap().body, "x");
    for name in ["late", "later"] {
        until("it is served in the end", || {
            post(service.address(name), name, "x").is_ok_and(|reply| reply.status == 200)
        });
    }
    until("that is told", || {
        service.messages().matches("serves now").count() >= 2 || !service.messages().contains("error:")
    });
}

#[test]
fn a_service_of_which_nothing_starts_ends() {
    let folder = tempfile::tempdir().unwrap();
    let chains = ["a", "b"].map(|name| (name, chain(name, "", &function("f", "die", ""))));
    let (code, said) = Tenants::refused(folder.path(), &chains, &["--listen", "127.0.0.1:0"]).unwrap();
    assert_eq!(code, Some(1), "{said}");
    assert!(!said.contains("ready"), "{said}");
    for name in ["a", "b"] {
        assert!(
            said.contains(&format!("function `f` of chain `{name}` exited with code 3")),
            "{said}"
        );
    }
}
