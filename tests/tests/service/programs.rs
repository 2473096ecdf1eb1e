//! Functions with programs of their own: what these can do, what they cannot, and what is told of it.

use hacher_fabric::http::Connection;
use hacher_skipped::skipped;
use hacher_tests::process_memory::{Mappings, digest_bytes, known_to, memory_holds, port_secrets};
use hacher_tests::programs::PROGRAM;
use hacher_tests::{Service, executable, function, instances};
use hacher_trustlet_host::chosen::jail::programs_missing_here;
use hyper::Method;
use rustix::process::Signal;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Only to detect that something never comes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A chain of the function `f` with programs; `None`, and the reason said, where there can be none.
fn chain(wanted: &str, more: &str) -> Option<String> {
    if let Some(missing) = programs_missing_here() {
        skipped!("{missing}");
        return None;
    }
    let program = executable("test-function");
    let table = format!(
        "syscalls = \"program\"\ntimeout = \"5s\"\nfiles = [{{ from = \"{}\", to = \"{PROGRAM}\" }}]\n{more}",
        program.display()
    );
    let table = function("f", wanted, &table);
    Some(format!(
        "chain = \"t\"\nflow = [\"ingress -> f -> egress\"]\n{table}"
    ))
}

fn told(service: &Service, words: &str) -> String {
    let reply = service.post("t", words.as_bytes().to_vec()).unwrap();
    let body = String::from_utf8(reply.body.to_vec()).unwrap();
    assert_eq!(reply.status, 200, "{body}");
    body
}

#[test]
fn a_function_starts_programs_that_get_nothing_of_its_own() {
    let Some(chain) = chain("programs", "") else {
        return;
    };
    let service = Service::start(&chain).unwrap();
    for _ in 0..3 {
        // Standard input, output and error: no channel, no region, no doorbell.
        assert_eq!(told(&service, "descriptors"), "[0, 1, 2]\n");
        assert_eq!(told(&service, "environment"), "[(\"FUNCTION\", \"child\")]\n");
        assert_eq!(told(&service, "network"), "Ok([112, 105, 110, 103])\n");
    }
    let status = service.status().unwrap();
    let instance = instances(&status).next().unwrap();
    assert_eq!(
        (&instance["epoch"], &instance["programs"]),
        (&1.into(), &true.into())
    );
}

#[test]
fn refused_calls_of_programs_are_counted_by_name_and_said_in_the_log() {
    let Some(chain) = chain("programs", "") else {
        return;
    };
    let service = Service::start(&chain).unwrap();
    for _ in 0..2 {
        assert_eq!(told(&service, "refused 3"), "refused\n");
    }
    let counted = |status: &serde_json::Value| {
        instances(status)
            .next()
            .is_some_and(|instance| instance["refused_calls"]["setsid"] == 6)
    };
    service.status_when("six calls are counted", counted).unwrap();
    // A daemon that is started again asks for what its predecessor knew.
    let daemon = service.process("hacher-daemon").unwrap();
    service.signal(daemon, Signal::KILL);
    service
        .status_when("they are counted after a restart", counted)
        .unwrap();
    // More than are answered at a time: it waits, and gets every answer.
    assert_eq!(told(&service, "refused 1000"), "refused\n");
    let many = |status: &serde_json::Value| {
        instances(status)
            .next()
            .is_some_and(|instance| instance["refused_calls"]["setsid"] == 1006)
    };
    service.status_when("all calls are counted", many).unwrap();
}

#[test]
fn a_hostile_function_with_programs_is_refused_what_concerns_others() {
    /// Its own processes, and its own empty network.
    const LAWFUL: [&str; 4] = [
        "ALLOWED fork",
        "ALLOWED kill all others",
        "ALLOWED make a Unix socket",
        "ALLOWED send a UDP packet",
    ];
    let Some(hostile) = chain("hostile", "") else {
        return;
    };
    let service = Service::start(&hostile).unwrap();
    let check = |report: &str| {
        println!("{report}");
        assert_eq!(report.lines().count(), 16, "{report}");
        let allowed: BTreeSet<&str> = report
            .lines()
            .filter(|line| !line.starts_with("refused"))
            .collect();
        assert!(allowed.is_subset(&LAWFUL.into()), "{allowed:?}");
    };
    check(&told(&service, service.chain_file().to_str().unwrap()));
    let status = service.status().unwrap();
    assert_eq!(
        status["chains"][0]["instances"][0]["epoch"], 1,
        "it was not even replaced"
    );
    drop(service);
    let service = Service::start(&chain("programs", "").unwrap()).unwrap();
    check(&told(&service, "hostile"));
    let status = service.status().unwrap();
    assert_eq!(
        status["chains"][0]["instances"][0]["epoch"], 1,
        "its program did not end it"
    );
}

/// Something that a function is given, and its programs are not.
pub(crate) struct Given {
    value: String,
    file: tempfile::NamedTempFile,
}

impl Given {
    /// `None`, and the reason said, where nobody can look for it.
    pub(crate) fn new() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            skipped!("only root can read the memory of processes that are not dumpable");
            return None;
        }
        // Composed at run time, so that no executable holds it.
        let value: String = (0..32_u32)
            .filter_map(|at| char::from_digit((at * 7 + at * at * 3) % 36, 36))
            .collect();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &value).unwrap();
        Some(Self { value, file })
    }

    /// The line of the chain file.
    pub(crate) fn line(&self) -> String {
        format!("secrets = {{ KEY = \"file:{}\" }}\n", self.file.path().display())
    }

    /// Looks for what `function` knows in its own memory, where it has to be found, and in that of its
    /// `program`.
    pub(crate) fn assert_not_in(&self, service: &Service, function: i32, program: i32) {
        let digest = digest_bytes(service.ready["chains"][0]["digest"].as_str().unwrap());
        for needle in [self.value.as_bytes(), &digest] {
            let holds = |pid| memory_holds(pid, Mappings::Readable, needle).unwrap();
            assert!(holds(function), "the search finds what is there");
            assert!(!holds(program));
        }
        let secrets = port_secrets(service, function).unwrap();
        assert!(known_to(program, &secrets).unwrap().is_empty());
        let maps = std::fs::read_to_string(format!("/proc/{program}/maps")).unwrap();
        assert!(!maps.contains("memfd:hacher"), "{maps}");
    }
}

#[test]
fn what_a_function_knows_is_not_in_its_programs_which_end_with_it() {
    let Some(given) = Given::new() else { return };
    let Some(chain) = chain("programs", &given.line()) else {
        return;
    };
    let service = Service::start(&chain).unwrap();
    assert_eq!(told(&service, "leave wait"), "waiting\n");
    let (function, program) = (service.process("f").unwrap(), service.process(PROGRAM).unwrap());
    given.assert_not_in(&service, function, program);
    service.signal(function, Signal::KILL);
    let begun = Instant::now();
    while service.process(PROGRAM).is_some() {
        assert!(begun.elapsed() < PATIENCE, "a program outlives its function");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn signals_of_a_program_do_not_say_why_its_function_ended() {
    let Some(chain) = chain("programs", "retry = { attempts = 1 }") else {
        return;
    };
    let service = Service::start(&chain).unwrap();
    // What nobody but the kernel may say of a signal is refused.
    assert_eq!(told(&service, "forge"), "[0, 0] 0 -1\n");
    let reply = service.post("t", "fault forge").unwrap();
    let problem: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!(reply.status, 502, "{problem}");
    assert_eq!(
        (&problem["cause"], &problem["signal"]),
        (&"signalled".into(), &libc::SIGSEGV.into()),
        "{problem}"
    );
}

/// Whether the network of a function can be told how many connections may wait.
fn backlogs_are_bounded() -> bool {
    let tried = std::process::Command::new("unshare")
        .args(["-Urn", "test", "-w", "/proc/sys/net/core/somaxconn"])
        .status();
    tried.is_ok_and(|status| status.success())
}

#[test]
fn no_more_connections_wait_at_a_socket_than_a_functions_network_allows() {
    let Some(chain) = chain("programs", "") else {
        return;
    };
    if !backlogs_are_bounded() {
        skipped!("this kernel has no such setting for a network of a user's own");
        return;
    }
    let service = Service::start(&chain).unwrap();
    // One more than the setting, as the kernel counts.
    assert_eq!(told(&service, "backlog"), "Ok(129)\n");
}

#[test]
fn refused_calls_of_many_instances_wait_for_their_turn_and_are_all_answered() {
    const INSTANCES: u64 = 8;
    let Some(chain) = chain("programs", &format!("instances = {INSTANCES}")) else {
        return;
    };
    let service = Service::start(&chain).unwrap();
    let gateway = service.gateway;
    // Together many more than are answered in one window, and each more than its own instance is.
    let ask = move || {
        hacher_tests::runtime().block_on(async {
            let mut connection = Connection::open(gateway).await.unwrap();
            let sent = connection.send(Method::POST, "/chains/t", None, "refused 600".into());
            sent.await.unwrap().status.as_u16()
        })
    };
    let clients: Vec<_> = (0..INSTANCES).map(|_| std::thread::spawn(ask)).collect();
    for client in clients {
        assert_eq!(client.join().unwrap(), 200);
    }
    let all = |status: &serde_json::Value| {
        let counts = instances(status).filter_map(|instance| instance["refused_calls"]["setsid"].as_u64());
        counts.sum::<u64>() == INSTANCES * 600
    };
    service.status_when("every call is counted", all).unwrap();
}
