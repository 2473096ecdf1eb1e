//! The chain digest: SHA-384 over what the monitor was really asked to create (design section 2).
//!
//! The encoding, which a verifier can repeat byte by byte. `u32` and `u64` are little-endian; `text` is its
//! length as `u32` and then its bytes; `list(x)` is the number of entries as `u32` and then the entries;
//! `hash` is 48 bytes. As every variable part says how long it is, no two plans have the same encoding.
//!
//! ```text
//! text      "hacher-chain-digest"
//! u32       4, the version of this encoding
//! text      backend: "process"
//! gateway   image, text role, u64 memory bytes, u64 scratch bytes, u32 threads,
//!           u32 logs (0 dropped, 1 forwarded), u32 1 if it serves this chain alone, and then, else 0: u32 TLS (0 none,
//!           1 with a certificate, 2 clients need one too)
//! text      chain name
//! text      chain version
//! u32       protection between functions, where an edge does not say otherwise (1 sealed, 2 mapped)
//! u64       ingress: longest request body in bytes, longest reply body in bytes
//! u64       ingress: deadline in nanoseconds
//! u32       ingress: most requests in flight
//! u64       gateway's outbox in bytes
//! list(function), in the order of their numbers, from 1:
//!   text    name
//!   image
//!   u64     memory bytes, scratch bytes, outbox bytes, timeout ns, retry backoff ns, retry longest backoff ns,
//!           retry factor in thousandths
//!   u32     retry attempts, retry jitter, instances, threads, logs (0 dropped, 1 forwarded), outbox flags (1 huge
//!           pages, 2 prefault, 4 reads its input as a stream)
//!   list(secret): text name
//!   list(port): text name; declared ports and `error` if an edge uses it, not the implicit `fault`
//! list(edge), in the order in which they were added:
//!   u32     producer (0 is the gateway), index of its port, consumer, group, member, protection (1 sealed, 2 mapped)
//! of a chain with carriers, and of no other:
//!   list(carrier): u32 its number among the functions
//!   for each edge, in order: u32 the carrier that its records cross, 0 for none
//! of a chain with secrets that a key broker releases, and of no other:
//!   text    "hacher-awaited-secrets"
//!   list(secret): u32 number of its function, text name, text repository, text type, text tag of the resource
//! of a chain that takes other requests than POST at its name with the usual headers, and of no other:
//!   text    "hacher-requests"
//!   u32     methods (1 GET, 2 HEAD, 4 POST, 8 PUT, 16 PATCH, 32 DELETE, 64 OPTIONS)
//!   list(header): text name
//!   text    route, empty if there is none
//! of a chain of which an edge says how it is read, and of no other:
//!   text    "hacher-readings"
//!   for each edge, in order: u32 0 as its function says, 1 as a stream, 2 whole
//! of a chain with functions that have other system calls than `native`, and of no other:
//!   text    "hacher-system-calls"
//!   list(function): u32 its number, u32 1 `program`, 2 `program` with `jit`
//!
//! image     hash of the executable
//!           list(library): text path, u32 1 if it is the dynamic loader, hash; in the order in which they were added
//!           hash of the listing of its files
//!           list(argument): text
//!           list(variable): text name, text value
//!           of an image that is measured alone and has other system calls than `native`: text "hacher-system-calls",
//!           u32 as above
//! listing   text "hacher-files", list(entry), in the order of the bytes of their paths:
//!   text    path, from the root of whoever finds it
//!   u32     0 folder, 1 file, 2 file that may be executed, 3 symbolic link
//!   u64     length: bytes of a file, or of where a link leads; 0 of a folder
//!   hash    of the bytes of a file, or of where a link leads; of nothing for a folder
//! ```
//!
//! Not part of it: values of secrets, placement, where a gateway listens and what its certificates say (the
//! same chain moves to another address, and certificates are renewed), whether a shared gateway speaks TLS,
//! which is the service's and not the chain's and which every client sees for itself, and what follows from
//! the rest (fault ports and edges, regions).
//!
//! Every structure is taken apart with all its fields, so a new field is either encoded here or said not to
//! be: else this does not compile.

use super::definition::{Awaited, Definition, Edge, Function, Port, Secret};
use super::gateway::Gateway;
use super::program::{FileEntry, Library, Program};
use super::requests::Requests;
use crate::calls::{ChainDefinition, FunctionDefinition, GatewayDefinition, reading};
use crate::ids::{index, number};
use crate::platform::{MEASUREMENT_BYTES, Measurement, Platform, SystemCalls};
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use hacher_data_path::attach::limits::FunctionLimits;
use hacher_data_path::name::Name;
use hacher_evidence::cryptography::{Sha384, sha384};

/// The version of the encoding.
const ENCODING_VERSION: u32 = 4;
/// Begins what is said of system calls.
const SYSTEM_CALLS: &str = "hacher-system-calls";

/// The digest of a chain, with or without its implicit ports.
pub(crate) fn chain_digest<P: Platform>(
    backend: &str,
    gateway: &Gateway<P>,
    definition: &Definition<P>,
) -> [u8; MEASUREMENT_BYTES] {
    let mut encoder = Encoder(Sha384::new());
    encoder.text("hacher-chain-digest");
    encoder.u32(ENCODING_VERSION);
    encoder.text(backend);
    encoder.gateway(gateway);
    encoder.chain(definition);
    encoder.finish()
}

/// The measurement of an image: SHA-384 over the text "hacher-image" and the image.
pub(crate) fn image_digest<P: Platform>(program: &Program<P>) -> Measurement {
    let mut encoder = Encoder(Sha384::new());
    encoder.text("hacher-image");
    encoder.program(program);
    if program.system_calls != SystemCalls::Native {
        encoder.text(SYSTEM_CALLS);
        encoder.u32(program.system_calls.number());
    }
    encoder.finish()
}

/// SHA-384 over the canonical listing of files.
pub(crate) fn listing_digest(entries: &BTreeMap<String, FileEntry>) -> Measurement {
    let mut encoder = Encoder(Sha384::new());
    encoder.text("hacher-files");
    encoder.count(entries.len());
    for (path, entry) in entries {
        encoder.file(path, entry);
    }
    encoder.finish()
}

/// Feeds the encoding to the hash.
struct Encoder(Sha384);

impl Encoder {
    fn finish(self) -> [u8; MEASUREMENT_BYTES] {
        self.0.finish()
    }

    fn u32(&mut self, value: u32) {
        self.0.update(&value.to_le_bytes());
    }

    fn u64(&mut self, value: u64) {
        self.0.update(&value.to_le_bytes());
    }

    fn hash(&mut self, measurement: &Measurement) {
        self.0.update(measurement);
    }

    fn text(&mut self, text: &str) {
        self.count(text.len());
        self.0.update(text.as_bytes());
    }

    fn count(&mut self, count: usize) {
        self.u32(number(count));
    }

    fn gateway<P: Platform>(&mut self, gateway: &Gateway<P>) {
        let Gateway {
            definition,
            program,
            listener: _,
            tls_files: _,
            offered: _,
            // Certificates are renewed.
            tls_key: _,
            epoch: _,
            deaths: _,
            log: _,
        } = gateway;
        let GatewayDefinition {
            role,
            memory_bytes,
            scratch_bytes,
            cpu: _,
            threads,
            logs,
            own,
            tls,
        } = definition;
        self.program(program);
        self.text(role.as_str());
        self.u64(*memory_bytes);
        self.u64(*scratch_bytes);
        self.u32(*threads);
        self.u32(*logs);
        self.u32(*own);
        self.u32(if gateway.is_own() { *tls } else { 0 });
    }

    fn chain<P: Platform>(&mut self, definition: &Definition<P>) {
        let Definition {
            chain,
            // Behind everything else.
            requests,
            functions,
            ports,
            edges,
            placements: _,
        } = definition;
        let ChainDefinition {
            name,
            version,
            max_body_bytes,
            max_reply_bytes,
            deadline_ns,
            gateway_outbox_bytes,
            in_flight,
            protection,
        } = chain;
        self.text(name.as_str());
        self.text(version.as_str());
        self.u32(*protection);
        self.u64(*max_body_bytes);
        self.u64(*max_reply_bytes);
        self.u64(*deadline_ns);
        self.u32(*in_flight);
        self.u64(*gateway_outbox_bytes);
        self.count(functions.len());
        for function in functions {
            self.function(function, ports);
        }
        self.count(edges.len());
        for edge in edges {
            self.edge(edge);
        }
        self.carriers(functions, edges);
        self.awaited_secrets(functions);
        self.requests(requests);
        self.readings(edges);
        self.system_calls(functions);
    }

    /// How edges are read that say it themselves; nothing for a chain without such.
    fn readings(&mut self, edges: &[Edge]) {
        if edges.iter().all(|edge| edge.reading == reading::AS_FUNCTION) {
            return;
        }
        self.text("hacher-readings");
        for Edge { reading, .. } in edges {
            self.u32(*reading);
        }
    }

    /// Who has other system calls than all functions had before there were others; nothing for a chain
    /// without.
    fn system_calls<P: Platform>(&mut self, functions: &[Function<P>]) {
        let others: Vec<(u32, SystemCalls)> = (1..)
            .zip(functions)
            .map(|(number, function)| (number, function.program.system_calls))
            .filter(|(_, calls)| *calls != SystemCalls::Native)
            .collect();
        if others.is_empty() {
            return;
        }
        self.text(SYSTEM_CALLS);
        self.count(others.len());
        for (number, calls) in others {
            self.u32(number);
            self.u32(calls.number());
        }
    }

    /// Which requests it takes; nothing for a chain that takes what every chain does.
    fn requests(&mut self, requests: &Requests) {
        if *requests == Requests::default() {
            return;
        }
        let Requests {
            methods,
            headers,
            route,
        } = requests;
        self.text("hacher-requests");
        self.u32(*methods);
        self.count(headers.len());
        for header in headers {
            self.text(header.as_str());
        }
        self.text(route);
    }

    /// What is released by a key broker and not read from a file; nothing for a chain without.
    fn awaited_secrets<P: Platform>(&mut self, functions: &[Function<P>]) {
        let of_functions = (1..).zip(functions);
        let awaited: Vec<(u32, &Name, &Awaited)> = of_functions
            .flat_map(|(number, function)| {
                let secrets = function.secrets.iter();
                secrets.filter_map(move |secret| Some((number, &secret.name, secret.awaited.as_ref()?)))
            })
            .collect();
        if awaited.is_empty() {
            return;
        }
        self.text("hacher-awaited-secrets");
        self.count(awaited.len());
        for (function, name, awaited) in awaited {
            let Awaited {
                repository,
                kind,
                tag,
                // As for files: how it is written down, and not what it is.
                trim: _,
            } = awaited;
            self.u32(function);
            for text in [name, repository, kind, tag] {
                self.text(text.as_str());
            }
        }
    }

    /// Which of the functions are carriers, and what crosses them; nothing for a chain that has none.
    fn carriers<P: Platform>(&mut self, functions: &[Function<P>], edges: &[Edge]) {
        let carriers: Vec<u32> = (1..)
            .zip(functions)
            .filter_map(|(number, function)| function.is_carrier.then_some(number))
            .collect();
        if carriers.is_empty() {
            return;
        }
        self.count(carriers.len());
        for carrier in carriers {
            self.u32(carrier);
        }
        for Edge { carrier, .. } in edges {
            self.u32(carrier.map_or(0, |carrier| carrier.0));
        }
    }

    fn function<P: Platform>(&mut self, function: &Function<P>, ports_of_chain: &[Port]) {
        let Function {
            definition: FunctionDefinition { name, limits },
            program,
            secrets,
            ports,
            // Listed behind the edges.
            is_carrier: _,
        } = function;
        self.text(name.as_str());
        self.program(program);
        self.limits(limits);
        self.count(secrets.len());
        for Secret {
            name,
            value: _,
            // Listed behind everything else.
            awaited: _,
        } in secrets
        {
            self.text(name.as_str());
        }
        let declared = ports.iter().filter_map(|&port| ports_of_chain.get(index(port)));
        let declared: Vec<&Port> = declared.filter(|port| !port.fault).collect();
        self.count(declared.len());
        for Port {
            name,
            // Which function has it, and at which place, is where it stands in the encoding.
            function: _,
            index: _,
            fault: _,
        } in declared
        {
            self.text(name.as_str());
        }
    }

    fn limits(&mut self, limits: &FunctionLimits) {
        let FunctionLimits {
            memory_bytes,
            scratch_bytes,
            outbox_bytes,
            timeout_ns,
            retry_backoff_ns,
            retry_max_ns,
            retry_factor_milli,
            retry_attempts,
            retry_jitter,
            instances,
            threads,
            logs,
            outbox_flags,
        } = *limits;
        for value in [
            memory_bytes,
            scratch_bytes,
            outbox_bytes,
            timeout_ns,
            retry_backoff_ns,
            retry_max_ns,
            retry_factor_milli,
        ] {
            self.u64(value);
        }
        for value in [
            retry_attempts,
            retry_jitter,
            instances,
            threads,
            logs,
            outbox_flags,
        ] {
            self.u32(value);
        }
    }

    fn edge(&mut self, edge: &Edge) {
        let Edge {
            producer,
            port_index,
            // Follows from producer and index.
            port: _,
            consumer,
            group,
            member,
            protection,
            // Listed behind the edges.
            carrier: _,
            // Behind everything else.
            reading: _,
        } = *edge;
        for value in [producer.0, port_index, consumer.0, group, member, protection] {
            self.u32(value);
        }
    }

    fn program<P: Platform>(&mut self, program: &Program<P>) {
        let Program {
            image,
            loaded,
            libraries,
            // What is in them is listed.
            files: _,
            files_bytes: _,
            entries,
            arguments,
            environment,
            // Listed behind everything else.
            system_calls: _,
        } = program;
        self.hash(&P::image_measurement(image));
        self.count(libraries.len());
        for (Library { path, interpreter }, loaded) in libraries.iter().zip(loaded) {
            self.text(path);
            self.u32(u32::from(*interpreter));
            self.hash(&P::library_measurement(loaded));
        }
        self.hash(&listing_digest(entries));
        self.count(arguments.len());
        for argument in arguments {
            self.text(argument);
        }
        self.count(environment.len());
        for (name, value) in environment {
            self.text(name);
            self.text(value);
        }
    }

    fn file(&mut self, path: &str, entry: &FileEntry) {
        let (kind, len_bytes, hash) = match entry {
            FileEntry::Folder => (0, 0, sha384(&[])),
            FileEntry::File {
                executable,
                len_bytes,
                measurement,
            } => (1 + u32::from(*executable), *len_bytes, *measurement),
            FileEntry::Link { target } => (3, u64::from(number(target.len())), sha384(target.as_bytes())),
        };
        self.text(path);
        self.u32(kind);
        self.u64(len_bytes);
        self.hash(&hash);
    }
}
