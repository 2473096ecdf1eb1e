//! The chain digest: SHA-384 over what the monitor was really asked to create (design section 2).
//!
//! The encoding, which a verifier can repeat byte by byte. `u32` and `u64` are little-endian; `text` is its
//! length as `u32` and then its bytes; `list(x)` is the number of entries as `u32` and then the entries;
//! `hash` is 48 bytes. As every variable part says how long it is, no two plans have the same encoding.
//!
//! ```text
//! text      "hacher-chain-digest"
//! u32       3, the version of this encoding
//! text      backend: "process"
//! gateway   hash of the executable, list(library), text role, u64 memory bytes, u64 scratch bytes, u32 threads,
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
//!   hash    of the executable
//!   list(library): text path, u32 1 if it is the dynamic loader, hash; in the order in which they were added
//!   u64     memory bytes, scratch bytes, outbox bytes, timeout ns, retry backoff ns, retry longest backoff ns,
//!           retry factor in thousandths
//!   u32     retry attempts, retry jitter, instances, threads, logs (0 dropped, 1 forwarded), outbox flags (1 huge
//!           pages, 2 prefault)
//!   list(variable): text name, text value
//!   list(secret): text name
//!   list(port): text name; declared ports and `error` if an edge uses it, not the implicit `fault`
//! list(edge), in the order in which they were added:
//!   u32     producer (0 is the gateway), index of its port, consumer, group, member, protection (1 sealed, 2 mapped)
//! ```
//!
//! Not part of it: values of secrets, placement, where a gateway listens and what its certificates say (the
//! same chain moves to another address, and certificates are renewed), whether a shared gateway speaks TLS,
//! which is the service's and not the chain's and which every client sees for itself, and what follows from
//! the rest (fault ports and edges, regions).

use super::definition::{Definition, Function, Program};
use super::gateway::Gateway;
use crate::ids::number;
use crate::platform::{MEASUREMENT_BYTES, Measurement, Platform};
use ring::digest::{Context, SHA384};

/// The version of the encoding.
const ENCODING_VERSION: u32 = 3;

/// Feeds the encoding to the hash.
struct Encoder(Context);

impl Encoder {
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

    fn program<P: Platform>(&mut self, program: &Program<P>) {
        self.hash(&P::image_measurement(&program.image));
        self.count(program.libraries.len());
        for (library, loaded) in program.libraries.iter().zip(&program.loaded) {
            self.text(&library.path);
            self.u32(u32::from(library.interpreter));
            self.hash(&P::library_measurement(loaded));
        }
    }
}

/// The digest of a chain, with or without its implicit ports.
pub(crate) fn chain_digest<P: Platform>(
    backend: &str,
    gateway: &Gateway<P>,
    definition: &Definition<P>,
) -> [u8; MEASUREMENT_BYTES] {
    let mut encoder = Encoder(Context::new(&SHA384));
    encoder.text("hacher-chain-digest");
    encoder.u32(ENCODING_VERSION);
    encoder.text(backend);
    encode_gateway(&mut encoder, gateway);
    let chain = &definition.chain;
    encoder.text(chain.name.as_str());
    encoder.text(chain.version.as_str());
    encoder.u32(chain.protection);
    encoder.u64(chain.max_body_bytes);
    encoder.u64(chain.max_reply_bytes);
    encoder.u64(chain.deadline_ns);
    encoder.u32(chain.in_flight);
    encoder.u64(chain.gateway_outbox_bytes);
    encoder.count(definition.functions.len());
    for function in &definition.functions {
        encode_function(&mut encoder, definition, function);
    }
    encoder.count(definition.edges.len());
    for edge in &definition.edges {
        for value in [
            edge.producer.0,
            edge.port_index,
            edge.consumer.0,
            edge.group,
            edge.member,
            edge.protection,
        ] {
            encoder.u32(value);
        }
    }
    let mut digest = [0; MEASUREMENT_BYTES];
    digest.copy_from_slice(encoder.0.finish().as_ref());
    digest
}

fn encode_gateway<P: Platform>(encoder: &mut Encoder, gateway: &Gateway<P>) {
    encoder.program(&gateway.program);
    encoder.text(gateway.definition.role.as_str());
    encoder.u64(gateway.definition.memory_bytes);
    encoder.u64(gateway.definition.scratch_bytes);
    encoder.u32(gateway.definition.threads);
    encoder.u32(gateway.definition.logs);
    encoder.u32(gateway.definition.own);
    encoder.u32(if gateway.is_own() {
        gateway.definition.tls
    } else {
        0
    });
}

fn encode_function<P: Platform>(encoder: &mut Encoder, definition: &Definition<P>, function: &Function<P>) {
    let values = &function.definition;
    encoder.text(values.name.as_str());
    encoder.program(&function.program);
    for value in [
        values.memory_bytes,
        values.scratch_bytes,
        values.outbox_bytes,
        values.timeout_ns,
        values.retry_backoff_ns,
        values.retry_max_ns,
        values.retry_factor_milli,
    ] {
        encoder.u64(value);
    }
    for value in [
        values.retry_attempts,
        values.retry_jitter,
        values.instances,
        values.threads,
        values.logs,
        values.outbox_flags,
    ] {
        encoder.u32(value);
    }
    encoder.count(function.environment.len());
    for (name, value) in &function.environment {
        encoder.text(name);
        encoder.text(value);
    }
    encoder.count(function.secrets.len());
    for secret in &function.secrets {
        encoder.text(secret.name.as_str());
    }
    let declared: Vec<_> = function
        .ports
        .iter()
        .filter_map(|&port| definition.ports.get(crate::ids::index(port)))
        .filter(|port| !port.fault)
        .collect();
    encoder.count(declared.len());
    for port in declared {
        encoder.text(port.name.as_str());
    }
}
