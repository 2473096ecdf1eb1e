//! `explain`: for each edge, what happens to a record on its way.

use super::{Failed, print, print_json, read_chain};
use crate::cli::{ChainArgs, Format};
use crate::table::{Align, Table, bytes, duration};
use hacher_chain_dsl::{
    Chain, Edge, EdgeId, Egress, Function, Group, Guest, GuestProgram, Interpreter, Protocol, Python, Route,
    Source, SystemCalls, Target, format_duration,
};
use hacher_libos_net::aead;
use hacher_libos_net::layout::ring_capacity;
use hacher_libos_net::share::fabric_bytes;
use hacher_loader::file::ChainFile;
use hacher_loader::own_gateway;
use hacher_loader::placement::{Chosen, Seat, Seating, seat, usable_cpus};
use hacher_loader::protection::{GIVEN_UP, is_mapped, mapped_edges};
use hacher_loader::share;
use hacher_trustlet_host::chosen::BACKEND;
use hacher_trustlet_host::chosen::doctor::huge_outboxes_missing_because;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Prints what each edge costs and what protects it.
///
/// # Errors
/// When the chain file has an error.
pub fn explain(arguments: &ChainArgs) -> Result<(), Failed> {
    let file = read_chain(&arguments.chain, arguments.format.format)?;
    let seating = seat(file.chain(), &usable_cpus());
    match arguments.format.format {
        Format::Human => print(&human(&file, &seating)),
        Format::Json => print_json(&data(&file, &seating)),
    }
}

/// What keeps functions apart.
const ISOLATION: &str = "processes in namespaces, behind Landlock and seccomp; the OS itself is trusted";

/// What is told of one edge.
struct EdgeFacts {
    from: String,
    to: String,
    outbox_bytes: u64,
    descriptors: u32,
    mapped: bool,
    /// How many edges read the same sealed record; of a mapped record, this one alone.
    readers: usize,
    joined: bool,
    /// Whether its reader lets go of a record as it reads it.
    streams: bool,
    /// How the outbox is backed, where that was asked for.
    backing: Vec<&'static str>,
}

const MAPPED_MEMORY: &str = "a memfd for each pair of instances: written by the producer, read by the consumer, mapped by nobody else";
const SEALED_MEMORY: &str = "the outbox, a memfd of the producer that the consumer maps for reading";

impl EdgeFacts {
    const fn memory(&self) -> &'static str {
        if self.mapped { MAPPED_MEMORY } else { SEALED_MEMORY }
    }

    /// Seals of a record, and its opens by each reader.
    const fn seals(&self) -> u32 {
        if self.mapped { 0 } else { 1 }
    }

    /// Copies besides one write and one read.
    const fn copies(&self) -> u32 {
        if self.mapped { 0 } else { staging_copies() }
    }
}

fn facts(chain: &Chain, id: EdgeId, edge: &Edge) -> EdgeFacts {
    let outbox_bytes = match edge.from() {
        Source::Function(function, _) => chain
            .function(function)
            .map_or(0, |function| function.outbox().bytes()),
        _ => hacher_loader::gateway_memory::outbox_bytes(chain),
    };
    EdgeFacts {
        from: chain.source_name(edge.from()),
        to: chain.target_name(edge.to()).to_owned(),
        outbox_bytes,
        backing: backing(chain, edge),
        descriptors: ring_capacity(outbox_bytes),
        mapped: is_mapped(edge),
        readers: if is_mapped(edge) {
            1
        } else {
            let mut readers = chain.edges_from(edge.from());
            readers.by_ref().filter(|(_, edge)| !is_mapped(edge)).count()
        },
        streams: chain.streams(edge),
        joined: chain
            .groups()
            .iter()
            .any(|group| group.is_join() && group.edges().contains(&id)),
    }
}

/// What was asked for and this machine can do.
fn backing(chain: &Chain, edge: &Edge) -> Vec<&'static str> {
    let Source::Function(function, _) = edge.from() else {
        return Vec::new();
    };
    let Some(function) = chain.function(function) else {
        return Vec::new();
    };
    let huge = match (function.huge_pages(), huge_outboxes_missing_because()) {
        (false, _) => None,
        (true, None) => Some("huge pages"),
        (true, Some(_)) => Some("no huge pages here"),
    };
    let early = function.prefault().then_some("prefaulted");
    huge.into_iter().chain(early).collect()
}

fn wake(seating: &Seating) -> &'static str {
    match seating.chosen {
        Chosen::Packed => "the doorbell of the reader, on the same core, only if it sleeps",
        Chosen::Spread if seating.take_turns => {
            "none where the reader was woken ahead: each function that has handed over wakes the next one on its core"
        }
        Chosen::Spread => "none while the reader looks for work; else its doorbell, on another core",
        Chosen::Floating => "the doorbell of the reader, only if it sleeps",
    }
}

fn data(file: &ChainFile, seating: &Seating) -> Value {
    let chain = file.chain();
    let edges: Vec<Value> = chain
        .edges_with_ids()
        .map(|(id, edge)| {
            let facts = facts(chain, id, edge);
            json!({
                "from": facts.from, "to": facts.to,
                "memory": facts.memory(),
                "outbox_bytes": facts.outbox_bytes, "backing": facts.backing, "ring_descriptors": facts.descriptors,
                "protection": edge.protection().as_str(),
                "cipher": if facts.mapped { "none" } else { "AES-256-GCM" }, "aead": aead::IMPLEMENTATION,
                "seals_per_record": facts.seals(), "readers_of_that_seal": facts.readers,
                "opens_per_reader": facts.seals(),
                "staging_copies": facts.copies(), "joined": facts.joined, "streams": facts.streams,
                "wake": wake(seating),
            })
        })
        .collect();
    json!({
        "chain": chain.name(), "placement": seating.chosen.as_str(), "placement_asked": chain.placement().as_str(),
        "placement_reason": seating.reason, "take_turns": seating.take_turns, "protection": chain.protection().as_str(),
        "aead": aead::IMPLEMENTATION, "isolation": ISOLATION,
        "deadline_ms": u64::try_from(chain.ingress().deadline().as_millis()).unwrap_or(u64::MAX),
        "in_flight": chain.ingress().in_flight(),
        "estimates": estimates(seating), "seats": seats(chain, seating),
        "backend": BACKEND, "gateway": gateway(chain), "edges": edges,
        "functions": limits(chain), "requests": requests(chain), "reply": reply(chain),
    })
}

/// Which requests the chain takes.
fn requests(chain: &Chain) -> Value {
    let ingress = chain.ingress();
    json!({
        "methods": ingress.methods().names().collect::<Vec<_>>(), "path": format!("/chains/{}", chain.name()),
        "route": ingress.route().map(Route::as_str), "headers": ingress.headers(),
    })
}

/// What makes the reply: for each way into egress, the records that it joins.
fn reply(chain: &Chain) -> Value {
    json!({
        "egress": chain.egress().map(Egress::as_str), "max_bytes": chain.ingress().max_reply().bytes(), "streams": reply_streams(chain),
        "alternatives": replies(chain),
    })
}

fn replies(chain: &Chain) -> Vec<Vec<String>> {
    let groups = chain.groups_into(Target::Egress);
    groups.map(|(_, group)| sources(chain, group)).collect()
}

/// Where the records of one way into a target come from, as the file writes it.
pub(super) fn sources(chain: &Chain, group: &Group) -> Vec<String> {
    let edges = group.edges().iter().filter_map(|id| chain.edge(*id));
    edges.map(|edge| chain.source_name(edge.from())).collect()
}

/// Whether a reply may leave as it is made; `max_reply` then bounds what is held of it.
fn reply_streams(chain: &Chain) -> bool {
    let to_egress = |edge: &&Edge| edge.to() == Target::Egress;
    chain
        .edges()
        .iter()
        .filter(to_egress)
        .any(|edge| chain.streams(edge))
}

fn reply_in_words(chain: &Chain) -> String {
    let ways: Vec<String> = replies(chain)
        .into_iter()
        .map(|sources| match sources.as_slice() {
            [one] => one.clone(),
            all => format!("{} together (multipart/mixed)", all.join(" & ")),
        })
        .collect();
    let first = if ways.len() > 1 {
        ", whichever is complete first"
    } else {
        ""
    };
    let egress = chain
        .egress()
        .map(|egress| format!(" (egress = \"{}\")", egress.as_str()));
    let most = bytes(chain.ingress().max_reply().bytes());
    let most = match reply_streams(chain) {
        true => format!("of any length where it streams, {most} held at most"),
        false => format!("{most} at most"),
    };
    format!(
        "  reply: of {}{first}{}; {most}\n",
        ways.join(", or of "),
        egress.unwrap_or_default(),
    )
}

fn requests_in_words(chain: &Chain) -> String {
    let ingress = chain.ingress();
    let methods: Vec<&str> = ingress.methods().names().collect();
    let mut text = format!("  requests: {} /chains/{}", methods.join(", "), chain.name());
    if let Some(route) = ingress.route() {
        let _ = write!(text, " and {}", route.as_str());
    }
    if !ingress.headers().is_empty() {
        let _ = write!(
            text,
            "; request headers passed to the first functions: {}",
            ingress.headers().join(", ")
        );
    }
    text.push('\n');
    text
}

fn gateway(chain: &Chain) -> Value {
    let tls = chain.ingress().tls();
    json!({
        "own": chain.ingress().listen().is_some(), "listen": chain.ingress().listen(), "tls": tls.is_some(),
        "client_certificates": tls.is_some_and(|tls| tls.client_ca().is_some()),
    })
}

/// What each instance may use.
fn limits(chain: &Chain) -> Vec<Value> {
    let limits = chain.functions_with_ids().map(|(id, function)| {
        json!({
            "function": function.name(), "memory_bytes": function.memory().bytes(),
            "fabric_memory_bytes": fabric_bytes(share::of_function(chain, id)), "threads": function.threads(),
            "scratch_bytes": function.scratch().bytes(), "args": function.args(), "files": files(function),
            "syscalls": function.system_calls().as_str(), "jit": function.jit(),
            "python": function.python().map(python), "guest": function.guest().map(guest),
        })
    });
    limits.collect()
}

/// What a function in Python is made of, as the chain file names it.
fn python(python: &Python) -> Value {
    json!({
        "file": python.file(), "handler": python.handler(), "to": python.place(),
        "venv": python.interpreter().venv(), "interpreter": python.interpreter().path(), "preload": python.preload(),
    })
}

fn python_in_words(python: &Python) -> String {
    let mut text = format!("{} of {}", python.handler(), python.place());
    add_interpreter(&mut text, python.interpreter());
    if !python.preload().is_empty() {
        let _ = write!(text, ", preloads {}", python.preload().join(", "));
    }
    text
}

fn add_interpreter(text: &mut String, interpreter: &Interpreter) {
    for (what, path) in [("venv", interpreter.venv()), ("interpreter", interpreter.path())] {
        if let Some(path) = path {
            let _ = write!(text, ", {what} {}", path.escape_debug());
        }
    }
}

/// What a program is that knows nothing of chains, as the chain file names it.
fn guest(guest: &Guest) -> Value {
    let place = match guest.program() {
        GuestProgram::Given(place) => Some(place.as_str()),
        GuestProgram::File(file) => Some(file.to()),
        _ => None,
    };
    let http = match guest.protocol() {
        Protocol::Http(server) => Some(json!({
            "port": server.port(), "path": server.path().unwrap_or("/"), "ready": server.ready(),
        })),
        _ => None,
    };
    json!({
        "protocol": protocol(guest), "command": guest.command(), "to": place, "http": http,
        "venv": guest.interpreter().and_then(Interpreter::venv),
        "interpreter": guest.interpreter().and_then(Interpreter::path),
        "start_within": guest.start_within().map(format_duration),
    })
}

fn protocol(guest: &Guest) -> &'static str {
    match guest.protocol() {
        Protocol::Http(_) => "http",
        _ => "lambda",
    }
}

fn guest_in_words(guest: &Guest) -> String {
    let words: Vec<String> = guest.command().iter().map(|word| format!("{word:?}")).collect();
    let mut text = words.join(" ");
    if let Protocol::Http(server) = guest.protocol() {
        let _ = write!(text, ", serves HTTP at port {}", server.port());
        for (what, path) in [("path", server.path()), ("ready", server.ready())] {
            if let Some(path) = path {
                let _ = write!(text, ", {what} {path}");
            }
        }
    } else {
        text.push_str(", handles events of AWS Lambda");
    }
    if let Some(interpreter) = guest.interpreter() {
        add_interpreter(&mut text, interpreter);
    }
    if let Some(time) = guest.start_within() {
        let _ = write!(text, ", is ready within {}", format_duration(time));
    }
    text
}

/// What a function is given besides its executable, and where it finds it.
fn files(function: &Function) -> Vec<Value> {
    let files = function.files().iter();
    files
        .map(|file| json!({ "from": file.from(), "to": file.to() }))
        .collect()
}

/// A line for each function that is in Python or starts a program, and for arguments and files.
fn images_in_words(chain: &Chain) -> String {
    let mut text = String::new();
    for function in chain.functions() {
        let args = function.args().iter().map(|text| format!("{text:?}"));
        let files = function.files().iter();
        let files =
            files.map(|file| format!("{} (of {})", file.to().escape_debug(), file.from().escape_debug()));
        for (what, list) in [
            (
                "is in Python",
                function.python().map(python_in_words).into_iter().collect(),
            ),
            (
                "starts",
                function.guest().map(guest_in_words).into_iter().collect(),
            ),
            ("arguments", args.collect::<Vec<_>>()),
            ("finds", files.collect()),
        ] {
            if !list.is_empty() {
                let _ = writeln!(text, "  {} {what}: {}", function.name(), list.join(", "));
            }
        }
    }
    if !text.is_empty() {
        text.push_str("  files are copied when the chain is loaded, measured, and read-only.\n\n");
    }
    text
}

/// The same as a table.
fn limits_in_words(chain: &Chain) -> String {
    let mut table = Table::new(&[
        ("function", Align::Left),
        ("memory", Align::Right),
        ("of the fabric", Align::Right),
        ("threads", Align::Right),
        ("scratch", Align::Right),
        ("system calls", Align::Left),
    ]);
    for (id, function) in chain.functions_with_ids() {
        table.row([
            function.name().to_owned(),
            bytes(function.memory().bytes()),
            bytes(fabric_bytes(share::of_function(chain, id))),
            function.threads().to_string(),
            bytes(function.scratch().bytes()),
            system_calls(function),
        ]);
    }
    let programs = match chain.functions().iter().any(has_programs) {
        true => {
            "  program: starts programs among its files; `threads` counts theirs, and each process has `memory` for itself.\n"
        }
        false => "",
    };
    format!(
        "{}\n  memory: what the function itself may use. Stacks of threads and records in hand, up to max_body, come on top: \
         `of the fabric`.\n{programs}",
        table.render()
    )
}

fn has_programs(function: &Function) -> bool {
    function.system_calls() == SystemCalls::Program
}

fn system_calls(function: &Function) -> String {
    let word = function.system_calls().as_str();
    match function.jit() {
        true => format!("{word}, jit"),
        false => word.to_owned(),
    }
}

fn estimates(seating: &Seating) -> Vec<Value> {
    let estimates = seating.estimates.iter().map(|estimate| {
        json!({
            "placement": estimate.chosen.as_str(), "record_bytes": estimate.record_bytes,
            "handler_ns": estimate.handler_ns, "request_ns": estimate.request_ns,
        })
    });
    estimates.collect()
}

/// Names and seats of the gateway and of each instance.
fn named_seats(chain: &Chain, seating: &Seating) -> Vec<(String, Seat)> {
    let names = chain.functions().iter().flat_map(|function| {
        (0..function.instances()).map(|ordinal| match function.instances() {
            1 => function.name().to_owned(),
            _ => format!("{}#{ordinal}", function.name()),
        })
    });
    let functions = names.enumerate().map(|(nth, name)| (name, seating.of(nth)));
    core::iter::once(("gateway".to_owned(), seating.gateway))
        .chain(functions)
        .collect()
}

fn seats(chain: &Chain, seating: &Seating) -> Vec<Value> {
    named_seats(chain, seating)
        .into_iter()
        .map(|(name, seat)| json!({ "instance": name, "cpu": seat.cpu, "spin_ns": seat.spin_ns }))
        .collect()
}

const fn staging_copies() -> u32 {
    // ring works in place only, so it copies once on either side.
    if aead::IS_ONE_PASS { 0 } else { 2 }
}

fn seats_in_words(chain: &Chain, seating: &Seating) -> String {
    let seats: Vec<String> = named_seats(chain, seating)
        .into_iter()
        .map(|(name, seat)| {
            let core = seat
                .cpu
                .map_or_else(|| "any core".to_owned(), |cpu| format!("core {cpu}"));
            let spin = duration(seat.spin_ns);
            let looks = match (seat.spin_ns, seating.take_turns) {
                (0, _) => String::new(),
                (_, true) => format!(", woken ahead, looks for work {spin}"),
                (_, false) => format!(", looks for work {spin}"),
            };
            format!("{name} ({core}{looks})")
        })
        .collect();
    seats.join(", ")
}

/// For each size of records, with how long functions work, what a request costs under each alternative.
fn costs_by_size(seating: &Seating) -> Vec<(u64, u64, String)> {
    let mut lines: Vec<(u64, u64, String)> = Vec::new();
    for estimate in &seating.estimates {
        let cost = format!("{} {}", duration(estimate.request_ns), estimate.chosen.as_str());
        match lines.iter_mut().find(|(size, ..)| *size == estimate.record_bytes) {
            Some((.., line)) => *line = format!("{line}, {cost}"),
            None => lines.push((estimate.record_bytes, estimate.handler_ns, cost)),
        }
    }
    lines
}

fn human(file: &ChainFile, seating: &Seating) -> String {
    let chain = file.chain();
    let mut text = format!(
        "chain `{}`, {} on this machine\n\n",
        chain.name(),
        seating.chosen.as_str()
    );
    let _ = writeln!(
        text,
        "  placement   {}: {}",
        chain.placement().as_str(),
        seating.reason
    );
    let _ = writeln!(text, "  seats       {}", seats_in_words(chain, seating));
    for (record_bytes, handler_ns, costs) in costs_by_size(seating) {
        let _ = writeln!(
            text,
            "  estimate    a request of {}, {}: {costs}",
            bytes(record_bytes),
            match handler_ns {
                0 => "not counting the handlers".to_owned(),
                ns => format!("handlers that take {}", duration(ns)),
            }
        );
    }
    let gateway = own_gateway::in_words(chain)
        .unwrap_or_else(|| "shared with all chains that have no `listen` of their own".to_owned());
    let _ = writeln!(text, "  gateway     {gateway}");
    let _ = writeln!(
        text,
        "  protection  {}, AES-256-GCM ({}); one key for each port, instance and start",
        chain.protection().as_str(),
        aead::IMPLEMENTATION
    );
    if !mapped_edges(chain).is_empty() {
        let _ = writeln!(text, "              mapped edges: not encrypted: {GIVEN_UP}");
    }
    let _ = writeln!(text, "  isolation   {ISOLATION} ({BACKEND} backend)");
    let _ = writeln!(text, "  wake        {}\n", wake(seating));
    let mut table = Table::new(&[
        ("edge", Align::Left),
        ("protection", Align::Left),
        ("outbox", Align::Right),
        ("ring", Align::Right),
        ("seals", Align::Right),
        ("readers", Align::Right),
        ("copies", Align::Right),
        ("", Align::Left),
    ]);
    for (id, edge) in chain.edges_with_ids() {
        let facts = facts(chain, id, edge);
        table.row([
            format!("{} -> {}", facts.from, facts.to),
            edge.protection().as_str().to_owned(),
            bytes(facts.outbox_bytes),
            facts.descriptors.to_string(),
            facts.seals().to_string(),
            facts.readers.to_string(),
            facts.copies().to_string(),
            facts
                .joined
                .then_some("joined")
                .into_iter()
                .chain(facts.streams.then_some("streams"))
                .chain(facts.backing)
                .collect::<Vec<_>>()
                .join(", "),
        ]);
    }
    text.push_str(&table.render());
    if !mapped_edges(chain).is_empty() {
        text.push_str("\n  memory: of a mapped edge, ");
        text.push_str(MAPPED_MEMORY);
        text.push('.');
    }
    text.push_str("\n  memory: of a sealed edge, ");
    text.push_str(SEALED_MEMORY);
    text.push_str(
        ".\n  seals: once for a record, however many read it; each reader opens it once, into memory of its own.\n  \
         outbox: a record is held there until all its readers are done, and no record can be larger; where all of them \
         stream, at most 1 MiB of it is, and it may be of any length.\n  copies: staging copies besides that one write and one read.\n",
    );
    let _ = write!(text, "\n{}\n", limits_in_words(chain));
    text.push_str(&images_in_words(chain));
    text.push_str(&requests_in_words(chain));
    text.push_str(&reply_in_words(chain));
    let _ = writeln!(
        text,
        "  deadline {}, {} requests in flight; a full edge makes its producer wait.",
        format_duration(chain.ingress().deadline()),
        chain.ingress().in_flight(),
    );
    text
}
