//! The chain digest tells any two chains apart.

use super::driver::{Driver, chain, function, gateway, name, text};
use crate::calls::{
    Call, ChainDefinition, FunctionDefinition, GATEWAY_PROCESS, GatewayDefinition, ResultCode, file_kind,
    protection, reading, tls,
};
use crate::simulated::SimulatedFile;
use alloc::collections::BTreeMap;
use hacher_data_path::attach::message::outbox_flag;
use hacher_evidence::cryptography::sha384;
use zerocopy::IntoBytes;

struct FunctionSpec {
    definition: FunctionDefinition,
    program: &'static str,
    libraries: Vec<(&'static str, &'static str, u64)>,
    /// Path, kind, and what is in it or where it leads.
    files: Vec<(&'static str, u64, &'static str)>,
    arguments: Vec<&'static str>,
    variables: Vec<(&'static str, &'static str)>,
    /// The number of a `SystemCalls`.
    system_calls: u64,
    secrets: Vec<(&'static str, &'static str)>,
    ports: Vec<&'static str>,
}

struct Spec {
    backend: &'static str,
    gateway: GatewayDefinition,
    gateway_program: &'static str,
    gateway_libraries: Vec<(&'static str, &'static str, u64)>,
    chain: ChainDefinition,
    functions: Vec<FunctionSpec>,
    edges: Vec<[u64; 5]>,
    /// The edge that is mapped.
    mapped: Option<usize>,
    /// An edge that says how it is read.
    reading: Option<(usize, u32)>,
    placement: Option<(u64, u64)>,
    /// Methods and route.
    requests: Option<(u64, &'static str)>,
    headers: Vec<&'static str>,
}

fn spec() -> Spec {
    let one = FunctionSpec {
        definition: function("one", 2),
        program: "one",
        libraries: vec![("/lib/a", "a", 0), ("/lib/b", "b", 0)],
        files: vec![
            ("/app", file_kind::FOLDER, ""),
            ("/app/data", file_kind::FILE, "content"),
            ("/app/link", file_kind::LINK, "data"),
        ],
        arguments: vec!["--one", "--two"],
        variables: vec![("A", "1"), ("B", "2")],
        system_calls: 0,
        secrets: vec![("KEY", "value")],
        ports: vec!["out", "error"],
    };
    let two = FunctionSpec {
        definition: function("two", 1),
        program: "two",
        libraries: Vec::new(),
        files: Vec::new(),
        arguments: Vec::new(),
        variables: Vec::new(),
        system_calls: 0,
        secrets: Vec::new(),
        ports: vec!["out"],
    };
    Spec {
        backend: "simulated",
        gateway: gateway(),
        gateway_program: "gateway",
        gateway_libraries: vec![("/lib/g", "g", 0)],
        chain: chain("c"),
        functions: vec![one, two],
        edges: vec![
            [0, 0, 1, 0, 0],
            [1, 0, 2, 0, 0],
            [0, 0, 2, 0, 1],
            [2, 0, 0, 0, 0],
            [1, 1, 0, 1, 0],
        ],
        mapped: None,
        reading: None,
        placement: None,
        requests: None,
        headers: Vec::new(),
    }
}

fn digest(spec: &Spec) -> Vec<u8> {
    let mut driver = Driver::new();
    driver.core.platform_mut().backend = spec.backend;
    driver
        .load(
            Call::SetGateway,
            [0; 6],
            spec.gateway.as_bytes(),
            vec![text(spec.gateway_program)],
        )
        .ok();
    for &(path, content, interpreter) in &spec.gateway_libraries {
        driver
            .load(
                Call::AddLibrary,
                [GATEWAY_PROCESS, 0, interpreter, 0, 0, 0],
                path.as_bytes(),
                vec![text(content)],
            )
            .ok();
    }
    driver
        .load(Call::BeginChain, [0; 6], spec.chain.as_bytes(), vec![])
        .ok();
    for (at, function) in (1..).zip(&spec.functions) {
        driver
            .load(
                Call::AddFunction,
                [0; 6],
                function.definition.as_bytes(),
                vec![text(function.program)],
            )
            .ok();
        for &(path, content, interpreter) in &function.libraries {
            driver
                .load(
                    Call::AddLibrary,
                    [0, at, interpreter, 0, 0, 0],
                    path.as_bytes(),
                    vec![text(content)],
                )
                .ok();
        }
        for &(path, kind, content) in &function.files {
            add_file(&mut driver, at, path, kind, content);
        }
        for argument in &function.arguments {
            driver
                .load(
                    Call::AddArgument,
                    [0, at, 0, 0, 0, 0],
                    argument.as_bytes(),
                    vec![],
                )
                .ok();
        }
        for (key, value) in &function.variables {
            let length = u64::try_from(key.len()).unwrap();
            let both = format!("{key}{value}");
            driver
                .load(
                    Call::AddVariable,
                    [0, at, length, 0, 0, 0],
                    both.as_bytes(),
                    vec![],
                )
                .ok();
        }
        let calls = [0, at, function.system_calls, 0, 0, 0];
        driver.load(Call::SetSystemCalls, calls, &[], vec![]).ok();
        for (key, value) in &function.secrets {
            driver
                .load(
                    Call::AddSecret,
                    [0, at, 0, 0, 0, 0],
                    name(key).as_bytes(),
                    vec![text(value)],
                )
                .ok();
        }
        for port in &function.ports {
            driver
                .load(Call::AddPort, [0, at, 0, 0, 0, 0], name(port).as_bytes(), vec![])
                .ok();
        }
    }
    for (at, edge) in spec.edges.iter().enumerate() {
        let arguments = [0, edge[0], edge[1], edge[2], edge[3], edge[4]];
        let protection = match spec.mapped == Some(at) {
            true => protection::MAPPED,
            false => protection::SEALED,
        };
        let reading = spec.reading.filter(|(of, _)| *of == at);
        let reading = reading.map_or(reading::AS_FUNCTION, |(_, reading)| reading);
        driver.defined_edge(arguments, protection, reading).ok();
    }
    if let Some((methods, route)) = spec.requests {
        let arguments = [0, methods, 0, 0, 0, 0];
        driver
            .load(Call::SetRequests, arguments, route.as_bytes(), vec![])
            .ok();
    }
    for header in &spec.headers {
        driver
            .load(Call::CarryHeader, [0; 6], name(header).as_bytes(), vec![])
            .ok();
    }
    if let Some((cpu, spin_ns)) = spec.placement {
        driver
            .load(
                Call::SetPlacement,
                [0, 1, 0, cpu, spin_ns, u64::from(spin_ns > 0)],
                &[],
                vec![],
            )
            .ok();
        driver
            .load(Call::SetListener, [0; 6], b"x", vec![SimulatedFile::Listener])
            .ok();
    }
    driver.seal(0).ok().operand
}

fn add_file(driver: &mut Driver, function: u64, path: &str, kind: u64, content: &str) {
    let (operand, file) = match kind {
        file_kind::LINK => (format!("{path}{content}"), vec![]),
        file_kind::FILE => (path.to_owned(), vec![text(content)]),
        _ => (path.to_owned(), vec![]),
    };
    let arguments = [0, function, kind, u64::try_from(path.len()).unwrap(), 0, 0];
    driver
        .load(Call::AddFile, arguments, operand.as_bytes(), file)
        .ok();
}

type Change = (&'static str, fn(&mut Spec));

const CHANGES: &[Change] = &[
    ("nothing", |_| {}),
    ("backend", |spec| spec.backend = "other"),
    ("gateway program", |spec| spec.gateway_program = "gateway2"),
    ("gateway role", |spec| spec.gateway.role = name("driver")),
    ("gateway memory", |spec| spec.gateway.memory_bytes += 1),
    ("gateway scratch", |spec| spec.gateway.scratch_bytes += 1),
    ("gateway threads", |spec| spec.gateway.threads += 1),
    ("gateway logs", |spec| spec.gateway.logs = 0),
    ("a gateway of its own", |spec| spec.gateway.own = 1),
    ("a gateway of its own with TLS", |spec| {
        spec.gateway.own = 1;
        spec.gateway.tls = tls::SERVER;
    }),
    ("a gateway of its own for clients with certificates", |spec| {
        spec.gateway.own = 1;
        spec.gateway.tls = tls::MUTUAL;
    }),
    ("gateway library path", |spec| {
        spec.gateway_libraries[0].0 = "/lib/h"
    }),
    ("gateway library content", |spec| {
        spec.gateway_libraries[0].1 = "h"
    }),
    ("gateway library kind", |spec| spec.gateway_libraries[0].2 = 1),
    ("gateway libraries", |spec| spec.gateway_libraries.clear()),
    ("chain name", |spec| spec.chain.name = name("d")),
    ("chain version", |spec| spec.chain.version = name("1.0.1")),
    ("body", |spec| spec.chain.max_body_bytes += 1),
    ("reply", |spec| spec.chain.max_reply_bytes += 1),
    ("deadline", |spec| spec.chain.deadline_ns += 1),
    ("in flight", |spec| spec.chain.in_flight += 1),
    ("gateway outbox", |spec| spec.chain.gateway_outbox_bytes += 1),
    ("function name", |spec| {
        spec.functions[0].definition.name = name("eno")
    }),
    ("program", |spec| spec.functions[0].program = "three"),
    ("library path", |spec| spec.functions[0].libraries[0].0 = "/lib/c"),
    ("library content", |spec| spec.functions[0].libraries[0].1 = "c"),
    ("library kind", |spec| spec.functions[0].libraries[0].2 = 1),
    ("library order", |spec| spec.functions[0].libraries.reverse()),
    ("one library less", |spec| spec.functions[0].libraries.truncate(1)),
    ("memory", |spec| {
        spec.functions[0].definition.limits.memory_bytes += 1
    }),
    ("huge pages", |spec| {
        spec.functions[0].definition.limits.outbox_flags = outbox_flag::HUGE_PAGES;
    }),
    ("prefault", |spec| {
        spec.functions[0].definition.limits.outbox_flags = outbox_flag::PREFAULT;
    }),
    ("scratch", |spec| {
        spec.functions[0].definition.limits.scratch_bytes += 1
    }),
    ("outbox", |spec| {
        spec.functions[0].definition.limits.outbox_bytes += 1
    }),
    ("timeout", |spec| {
        spec.functions[0].definition.limits.timeout_ns += 1
    }),
    ("backoff", |spec| {
        spec.functions[0].definition.limits.retry_backoff_ns += 1
    }),
    ("longest backoff", |spec| {
        spec.functions[0].definition.limits.retry_max_ns += 1
    }),
    ("factor", |spec| {
        spec.functions[0].definition.limits.retry_factor_milli += 1
    }),
    ("attempts", |spec| {
        spec.functions[0].definition.limits.retry_attempts += 1
    }),
    ("jitter", |spec| {
        spec.functions[0].definition.limits.retry_jitter = 0
    }),
    ("instances", |spec| {
        spec.functions[0].definition.limits.instances += 1
    }),
    ("threads", |spec| spec.functions[0].definition.limits.threads += 1),
    ("logs", |spec| spec.functions[0].definition.limits.logs = 1),
    ("argument", |spec| spec.functions[0].arguments[0] = "--three"),
    ("argument order", |spec| spec.functions[0].arguments.reverse()),
    ("where an argument ends", |spec| {
        spec.functions[0].arguments = vec!["--one--", "two"];
    }),
    ("one argument less", |spec| {
        spec.functions[0].arguments.truncate(1)
    }),
    ("arguments of another function", |spec| {
        spec.functions[1].arguments = core::mem::take(&mut spec.functions[0].arguments);
    }),
    ("programs", |spec| spec.functions[0].system_calls = 1),
    ("programs with code of their own", |spec| {
        spec.functions[0].system_calls = 2
    }),
    ("programs of another function", |spec| {
        spec.functions[1].system_calls = 1
    }),
    ("place of a file", |spec| {
        spec.functions[0].files[1].0 = "/app/datb"
    }),
    ("content of a file", |spec| {
        spec.functions[0].files[1].2 = "contenu"
    }),
    ("length of a file", |spec| {
        spec.functions[0].files[1].2 = "content and more";
    }),
    ("whether a file may be executed", |spec| {
        spec.functions[0].files[1].2 = "#!content";
    }),
    ("where a link leads", |spec| spec.functions[0].files[2].2 = "."),
    ("a file instead of a link", |spec| {
        spec.functions[0].files[2].1 = file_kind::FILE;
    }),
    ("a folder instead of a file", |spec| {
        spec.functions[0].files[1] = ("/app/data", file_kind::FOLDER, "");
    }),
    ("an empty file", |spec| spec.functions[0].files[1].2 = ""),
    ("an empty folder more", |spec| {
        spec.functions[0]
            .files
            .push(("/app/empty", file_kind::FOLDER, ""));
    }),
    ("one file less", |spec| spec.functions[0].files.truncate(2)),
    ("files of another function", |spec| {
        spec.functions[1].files = core::mem::take(&mut spec.functions[0].files);
    }),
    ("variable name", |spec| spec.functions[0].variables[0].0 = "C"),
    ("variable value", |spec| spec.functions[0].variables[0].1 = "3"),
    ("where a variable's name ends", |spec| {
        spec.functions[0].variables[0] = ("A1", "")
    }),
    ("variable order", |spec| spec.functions[0].variables.reverse()),
    ("variables", |spec| spec.functions[0].variables.clear()),
    ("variables of another function", |spec| {
        spec.functions[1].variables = core::mem::take(&mut spec.functions[0].variables);
    }),
    ("secret name", |spec| spec.functions[0].secrets[0].0 = "KEZ"),
    ("secrets", |spec| spec.functions[0].secrets.clear()),
    ("port name", |spec| spec.functions[0].ports[0] = "tuo"),
    ("port order", |spec| spec.functions[0].ports.reverse()),
    ("another port", |spec| spec.functions[1].ports.push("more")),
    ("function order", |spec| spec.functions.swap(0, 1)),
    ("edge port", |spec| spec.edges[1][1] = 1),
    ("edge member", |spec| {
        spec.edges[1][4] = 1;
        spec.edges[2][4] = 0;
    }),
    ("edge group", |spec| {
        spec.edges[2][3] = 1;
        spec.edges[2][4] = 0;
    }),
    ("chain protection", |spec| spec.chain.protection = 2),
    ("edge protection", |spec| spec.mapped = Some(1)),
    ("protection of another edge", |spec| spec.mapped = Some(2)),
    ("an edge that streams", |spec| {
        spec.reading = Some((0, reading::STREAM))
    }),
    ("an edge that is read whole", |spec| {
        spec.reading = Some((0, reading::WHOLE));
    }),
    ("another edge that is read whole", |spec| {
        spec.reading = Some((1, reading::WHOLE));
    }),
    ("edge order", |spec| spec.edges.swap(0, 1)),
    ("one edge less", |spec| spec.edges.truncate(4)),
    ("methods", |spec| spec.requests = Some((1, ""))),
    ("other methods", |spec| spec.requests = Some((5, ""))),
    ("route", |spec| spec.requests = Some((4, "/a"))),
    ("another route", |spec| spec.requests = Some((4, "/b"))),
    ("a header", |spec| spec.headers = vec!["x-a"]),
    ("another header", |spec| spec.headers = vec!["x-b"]),
    ("two headers", |spec| spec.headers = vec!["x-a", "x-b"]),
    ("headers in another order", |spec| {
        spec.headers = vec!["x-b", "x-a"]
    }),
    ("a header and a route", |spec| {
        spec.headers = vec!["x-a"];
        spec.requests = Some((4, "/a"));
    }),
];

#[test]
fn any_single_change_changes_the_digest() {
    let mut seen: BTreeMap<Vec<u8>, &str> = BTreeMap::new();
    for (what, change) in CHANGES {
        let mut spec = spec();
        change(&mut spec);
        // Swapping functions needs edges that fit the swapped ports.
        if *what == "function order" {
            spec.edges = vec![[0, 0, 1, 0, 0], [0, 0, 2, 0, 0], [1, 0, 0, 0, 0], [2, 0, 0, 1, 0]];
        }
        if let Some(other) = seen.insert(digest(&spec), what) {
            panic!("{what} and {other} have the same digest");
        }
    }
}

#[test]
fn the_digest_is_the_same_whether_or_not_a_shared_gateway_speaks_tls() {
    let mut other = spec();
    other.gateway.tls = tls::SERVER;
    assert_eq!(digest(&spec()), digest(&other));
}

#[test]
fn the_digest_is_the_same_for_the_same_chain_whatever_secrets_and_placement_are() {
    let mut other = spec();
    other.functions[0].secrets[0].1 = "another value";
    other.placement = Some((1, 1000));
    assert_eq!(digest(&spec()), digest(&other));
}

#[test]
fn the_order_in_which_files_are_added_is_no_part_of_the_digest() {
    let mut other = spec();
    other.functions[0].files.swap(1, 2);
    assert_eq!(digest(&spec()), digest(&other));
}

#[test]
fn a_chain_that_says_what_every_chain_does_of_requests_has_the_digest_of_one_that_says_nothing() {
    let mut other = spec();
    other.requests = Some((4, ""));
    assert_eq!(digest(&spec()), digest(&other));
}

#[test]
fn methods_routes_and_headers_have_bounds() {
    let mut driver = Driver::with_gateway();
    let chain = driver.begin("c");
    let long = format!("/{}", "a".repeat(256));
    for (methods, route) in [
        (0, ""),
        (128, ""),
        (1 << 32, ""),
        (4, "a"),
        (4, "/a b"),
        (4, "/\u{e4}"),
        (4, "/\n"),
        (4, long.as_str()),
    ] {
        let arguments = [chain, methods, 0, 0, 0, 0];
        let answer = driver.load(Call::SetRequests, arguments, route.as_bytes(), vec![]);
        assert_eq!(answer.code, ResultCode::InvalidParameter, "{methods} {route}");
    }
    let mut carry = |text: &str| {
        let name = name(text);
        driver
            .load(Call::CarryHeader, [chain, 0, 0, 0, 0, 0], name.as_bytes(), vec![])
            .code
    };
    for number in 0..64 {
        assert_eq!(carry(&format!("x-{number}")), ResultCode::Success);
    }
    assert_eq!(carry("x-1"), ResultCode::NameTaken);
    assert_eq!(carry("x-64"), ResultCode::LimitReached);
    assert_eq!(carry("x 65"), ResultCode::InvalidFormat);
}

/// The encoding as its description has it, written down once more.
#[derive(Default)]
struct Encoding(Vec<u8>);

impl Encoding {
    fn u32s(&mut self, values: &[u32]) {
        for value in values {
            self.0.extend_from_slice(&value.to_le_bytes());
        }
    }

    fn u64s(&mut self, values: &[u64]) {
        for value in values {
            self.0.extend_from_slice(&value.to_le_bytes());
        }
    }

    fn text(&mut self, text: &str) {
        self.u32s(&[u32::try_from(text.len()).unwrap()]);
        self.0.extend_from_slice(text.as_bytes());
    }

    /// An executable that links nothing and is given nothing.
    fn image(&mut self, program: &str) {
        self.0.extend_from_slice(&sha384(program.as_bytes()));
        self.u32s(&[0]);
        let mut listing = Self::default();
        listing.text("hacher-files");
        listing.u32s(&[0]);
        self.0.extend_from_slice(&sha384(&listing.0));
        self.u32s(&[0, 0]);
    }
}

#[test]
fn a_chain_without_carriers_has_the_digest_that_its_description_gives() {
    let mut driver = Driver::with_gateway();
    let chain = driver.begin("c");
    let f = driver.function(chain, "f", 2, &["out"]);
    driver.edge([chain, 0, 0, f, 0, 0]);
    driver.mapped_edge([chain, f, 0, 0, 0, 0]);
    let sealed = driver.seal(chain).ok().operand;

    let mut expected = Encoding::default();
    expected.text("hacher-chain-digest");
    expected.u32s(&[4]);
    expected.text("simulated");
    expected.image("gateway");
    expected.text("gateway");
    expected.u64s(&[64 << 20, 0]);
    expected.u32s(&[4, 1, 0, 0]);
    expected.text("c");
    expected.text("1.0.0");
    expected.u32s(&[1]);
    expected.u64s(&[1 << 20, 1 << 20, 5_000_000_000]);
    expected.u32s(&[128]);
    expected.u64s(&[1 << 20]);
    expected.u32s(&[1]);
    expected.text("f");
    expected.image("program f");
    expected.u64s(&[
        64 << 20,
        1 << 20,
        1 << 20,
        1_000_000_000,
        10_000_000,
        1_000_000_000,
        2000,
    ]);
    expected.u32s(&[3, 1, 2, 16, 0, 0]);
    expected.u32s(&[0, 1]);
    expected.text("out");
    expected.u32s(&[2]);
    expected.u32s(&[0, 0, 1, 0, 0, 1]);
    expected.u32s(&[1, 0, 0, 0, 0, 2]);
    assert_eq!(sealed, sha384(&expected.0));
}
