//! A gateway that was taken over: its clean replacement serves, chains with a gateway of their own do not
//! notice, operators see it, and nobody waits for it. And gateways that never start.

use hacher_tests::ServiceError;
use hacher_tests::function;
use hacher_tests::gateway_taken_over::{MARK, NONSENSE};
use hacher_tests::tenants::{Tenants, get, post, until};
use rustix::process::Signal;
use serde_json::Value;
use std::net::SocketAddr;
use std::path::Path;

const PROGRAM: &str = "fabric-gateway-taken-over";
const OWN: &str = "listen = \"127.0.0.1:0\"";

fn chain<'a>(name: &'a str, ingress: &str) -> (&'a str, String) {
    let text = format!(
        "chain = \"{name}\"\nversion = \"1\"\nflow = [\"ingress -> a -> egress\"]\n[ingress]\n{ingress}\n{}",
        function("a", "echo", "outbox = \"1MiB\"")
    );
    (name, text)
}

fn start(folder: &Path, chains: &[(&str, String)], more: &[&str]) -> Result<Tenants, ServiceError> {
    Tenants::start_as(PROGRAM, folder, chains, more)
}

/// A chain whose gateway is taken over again and again, and two that others serve.
struct Victim {
    service: Tenants,
    /// What its gateway's process is started under.
    gateway: &'static str,
    others: &'static [&'static str],
}

impl Victim {
    fn address(&self) -> SocketAddr {
        self.service.address("taken")
    }

    fn gateway_entry(&self) -> Value {
        let status = self.service.status().unwrap();
        let chains = status["chains"].as_array().unwrap();
        let chain = chains.iter().find(|chain| chain["name"] == "taken").unwrap();
        chain["gateway"].clone()
    }

    fn end(&self) {
        if let Some(pid) = self.service.gateway(self.gateway) {
            self.service.signal(pid, Signal::KILL);
        }
    }

    fn is_taken_over(&self) -> bool {
        get(self.address(), "/who").is_ok_and(|reply| reply.body == MARK)
    }

    fn serves(&self) -> bool {
        post(self.address(), "taken", "fine").is_ok_and(|reply| reply.status == 200 && reply.body == "fine")
    }

    /// Has one that was taken over serve.
    fn take_over(&self) {
        assert!(
            until(|| {
                let taken = self.is_taken_over();
                if !taken && self.serves() {
                    self.end();
                }
                taken
            }),
            "{}",
            self.service.messages()
        );
    }

    fn nobody_else_notices(&self, what: &str) {
        for name in self.others {
            let reply = post(self.service.address(name), name, "meanwhile").unwrap();
            let answer = (reply.status.as_u16(), &reply.body[..]);
            assert_eq!(answer, (200, &b"meanwhile"[..]), "{what}");
        }
    }

    /// Does what `path` says by one that was taken over, and sees that a clean one takes its place; which is
    /// let live is killed.
    fn attack(&self, path: &str) {
        self.take_over();
        let before = self.gateway_entry()["epoch"].as_u64().unwrap();
        let lives = path.starts_with("/live/");
        // It may be ended before it has answered.
        let answer = get(self.address(), path);
        println!(
            "{path}: {}",
            answer.map_or_else(|error| error.to_string(), |reply| reply.status.to_string())
        );
        if lives {
            for _ in 0..10 {
                self.nobody_else_notices(path);
            }
            self.end();
        }
        let recovered = until(|| {
            self.nobody_else_notices(path);
            self.serves()
        });
        assert!(recovered, "{path}: {}", self.service.messages());
        for _ in 0..10 {
            assert!(self.serves(), "{path}");
        }
        self.operators_see(path, before);
    }

    fn operators_see(&self, path: &str, before: u64) {
        let seen = until(|| {
            let entry = self.gateway_entry();
            entry["epoch"].as_u64().unwrap() > before && entry["last_end"]["cause"].is_string()
        });
        assert!(seen, "{path}: {}", self.gateway_entry());
        let admin = self.service.ready["admin"].as_str().unwrap().parse().unwrap();
        let metrics = get(admin, "/metrics").unwrap();
        assert_eq!(metrics.status, 200, "{path}");
        let text = String::from_utf8_lossy(&metrics.body).into_owned();
        let deaths = text
            .lines()
            .filter(|line| line.starts_with("hacher_trustlet_deaths_total{"));
        let deaths = deaths.filter(|line| line.contains("function=\"gateway\"") && !line.ends_with(" 0"));
        assert!(deaths.count() > 0, "{path}: {text}");
        assert!(!text.contains("NaN"), "{path}");
        assert_eq!(get(admin, "/traces").unwrap().status, 200, "{path}");
        let words = match self.gateway {
            "" => "the gateway ".to_owned(),
            name => format!("the gateway of chain `{name}` "),
        };
        assert!(self.service.has_said(&words, 1), "{path}");
    }

    /// A SIGTERM ends the service while one lives that ignores it.
    fn stop(mut self) {
        self.take_over();
        let _ = get(self.address(), "/hold");
        self.service.signal(self.service.monitor_pid(), Signal::TERM);
        assert_eq!(
            self.service.wait().unwrap(),
            Some(3),
            "{}",
            self.service.messages()
        );
        assert!(self.service.has_said("gateways ended without an account", 1));
    }
}

#[test]
fn what_a_gateway_of_a_chains_own_leaves_keeps_nobody_from_working() {
    let folder = tempfile::tempdir().unwrap();
    let chains = [chain("taken", OWN), chain("shared", ""), chain("own", OWN)];
    let drain = ["--drain-delay", "0", "--drain-timeout", "1"];
    let victim = Victim {
        service: start(folder.path(), &chains, &drain).unwrap(),
        gateway: "taken",
        others: &["shared", "own"],
    };
    for with in ["zeros", "ones", "noise", "figures"] {
        victim.attack(&format!("/die/{with}"));
        victim.attack(&format!("/live/{with}"));
    }
    for what in ["bells", "listener", "files"] {
        victim.attack(&format!("/die/{what}"));
    }
    victim.attack("/live/bells");
    victim.attack("/die/log");
    // Its lines are no lines of others, and steer nothing.
    assert!(victim.service.has_said("owned", 1));
    let said = victim.service.messages();
    let obeyed = |character: char| character.is_control() && !matches!(character, '\n' | '\t');
    assert!(!said.contains(obeyed) && !said.contains('\u{202e}'));
    let forged: Vec<_> = said.lines().filter(|line| line.contains("/forged")).collect();
    assert!(!forged.is_empty());
    assert!(
        forged.iter().all(|line| line.contains("[taken/gateway] ")),
        "{forged:?}"
    );
    victim.stop();
}

#[test]
fn a_gateway_that_says_nonsense_is_ended_and_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let chains = [chain("taken", OWN), chain("shared", ""), chain("own", OWN)];
    let victim = Victim {
        service: start(
            folder.path(),
            &chains,
            &["--drain-delay", "0", "--drain-timeout", "1"],
        )
        .unwrap(),
        gateway: "taken",
        others: &["shared", "own"],
    };
    for number in 0..NONSENSE {
        victim.attack(&format!("/say/{number}"));
    }
    victim.stop();
}

#[test]
fn the_shared_gateway_is_replaced_and_chains_with_one_of_their_own_do_not_notice() {
    let folder = tempfile::tempdir().unwrap();
    let chains = [chain("taken", ""), chain("with", ""), chain("own", OWN)];
    let victim = Victim {
        service: start(
            folder.path(),
            &chains,
            &["--drain-delay", "0", "--drain-timeout", "1"],
        )
        .unwrap(),
        gateway: "",
        others: &["own"],
    };
    for path in ["/die/ones", "/die/noise", "/say/3", "/die/listener"] {
        victim.attack(path);
        assert!(until(
            || post(victim.service.address("with"), "with", "x").is_ok_and(|reply| reply.body == "x")
        ));
    }
    victim.stop();
}

#[test]
fn a_gateway_that_was_taken_over_reaches_nothing_that_it_was_not_given() {
    let folder = tempfile::tempdir().unwrap();
    let service = start(folder.path(), &[chain("taken", OWN)], &["--drain-timeout", "1"]).unwrap();
    let reply = get(service.address("taken"), "/live/everything").unwrap();
    let report = String::from_utf8_lossy(&reply.body).into_owned();
    assert!(report.lines().count() > 25, "{report}");
    for line in report.lines() {
        assert!(line.starts_with("refused "), "{line}");
    }
}

/// Why a chain is not served, as `ready` says.
fn not_served(service: &Tenants) -> Vec<(String, String)> {
    let chains = service.ready["not_served"].as_object().unwrap();
    let reasons = chains
        .iter()
        .map(|(name, reason)| (name.clone(), reason.as_str().unwrap().to_owned()));
    reasons.collect()
}

#[test]
fn gateways_that_never_start_keep_no_other_chain_from_being_ready_and_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let chains = [
        chain("dies", OWN),
        chain("silent", OWN),
        chain("shared", ""),
        chain("own", OWN),
    ];
    let mut service = start(
        folder.path(),
        &chains,
        &["--start-timeout", "10", "--drain-delay", "0"],
    )
    .unwrap();
    for name in ["shared", "own"] {
        assert_eq!(post(service.address(name), name, "x").unwrap().body, "x");
    }
    let told = not_served(&service);
    assert_eq!(told.len(), 2, "{told:?}");
    for (name, reason) in told {
        let culprit = format!("the gateway of chain `{name}` ");
        assert!(reason.starts_with(&culprit), "{reason}");
        assert!(service.has_said(&culprit, 1));
    }
    let status = service.status().unwrap();
    let not_ready: Vec<_> = status["not_ready"].as_array().unwrap().iter().collect();
    assert!(
        ["dies", "silent"]
            .iter()
            .all(|name| not_ready.contains(&&Value::from(*name))),
        "{not_ready:?}"
    );
    service.signal(service.monitor_pid(), Signal::TERM);
    assert_eq!(service.wait().unwrap(), Some(0));
}

#[test]
fn a_shared_gateway_that_never_starts_is_named_for_each_of_its_chains() {
    for name in ["dies", "silent"] {
        let folder = tempfile::tempdir().unwrap();
        let chains = [chain(name, ""), chain("with", ""), chain("own", OWN)];
        let service = start(folder.path(), &chains, &["--start-timeout", "10"]).unwrap();
        assert_eq!(post(service.address("own"), "own", "x").unwrap().body, "x");
        let told = not_served(&service);
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(
            told.iter().all(|(_, reason)| reason.starts_with("the gateway ")),
            "{told:?}"
        );
    }
}

#[test]
fn a_service_whose_only_gateway_never_starts_ends_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let failed = start(folder.path(), &[chain("dies", "")], &[]).unwrap_err();
    let ServiceError::NotReady { ended, told } = failed else {
        panic!("{failed}");
    };
    assert_eq!(ended.code(), Some(1), "{told}");
    assert!(
        told.contains("the gateway exited with code 3 before it served"),
        "{told}"
    );
}
