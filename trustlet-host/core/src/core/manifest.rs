//! The manifest of this monitor, from its tables: what it was really asked to create, and runs.

use super::definition::{Definition, Edge, Function};
use super::gateway::Gateway;
use super::identity::RequestKey;
use super::names::INGRESS;
use super::refusal::{Refusal, refuse};
use super::sealed::{Chain, SealedChain};
use super::tables::Core;
use crate::calls::{ResultCode, tls};
use crate::ids::{ChainId, FunctionIndex, index};
use crate::platform::{LayerStatus, Measurement, Platform};
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use hacher_evidence::manifest::{self, EGRESS, Layer, Logs, Manifest, Protection, Purpose, Resource, Trust};
use hacher_evidence::word::WORD_MAX_BYTES;
use hacher_evidence::{KEY_BYTES, Word};

/// The version of this monitor.
const VERSION: &str = env!("CARGO_PKG_VERSION");

impl<P: Platform> Core<P> {
    /// The manifest of these chains, all of them sealed.
    pub(super) fn manifest(&self, chains: &[ChainId], purpose: Purpose) -> Result<Manifest, Refusal> {
        self.manifest_of(chains, purpose, None)
    }

    /// The manifest of a chain whose functions wait for a secret: no gateway is started yet.
    pub(super) fn manifest_for_secret(&self, chain: ChainId, secret: Resource) -> Result<Manifest, Refusal> {
        self.manifest_of(&[chain], Purpose::Secret, Some(secret))
    }

    fn manifest_of(
        &self,
        chains: &[ChainId],
        purpose: Purpose,
        secret: Option<Resource>,
    ) -> Result<Manifest, Refusal> {
        let [monitor, daemon] = self.measurements;
        Ok(Manifest {
            purpose,
            secret,
            platform: word(self.platform.backend())?,
            trust: match self.platform.is_snp() {
                true => Trust::Hardware,
                false => Trust::OperatingSystem,
            },
            layers: layers(&self.layers),
            monitor_version: word(VERSION)?,
            monitor,
            daemon,
            statement_key: self.statements.public_key(),
            chains: chains
                .iter()
                .map(|chain| self.chain_facts(*chain, purpose))
                .collect::<Result<_, _>>()?,
        })
    }

    fn chain_facts(&self, id: ChainId, purpose: Purpose) -> Result<manifest::Chain, Refusal> {
        let chain: &Chain<P> = self.chain(u64::from(id.0))?;
        let SealedChain {
            digest,
            images,
            gateway_image,
            request_key,
            ..
        } = chain.sealed()?;
        let definition = &chain.definition;
        let functions = definition
            .functions
            .iter()
            .zip(images)
            .map(|(function, image)| function_facts(function, image));
        let edges = definition.edges.iter().map(|edge| edge_facts(definition, edge));
        Ok(manifest::Chain {
            digest: *digest,
            version: word(definition.chain.version.as_str())?,
            name: word(definition.chain.name.as_str())?,
            request_key: match purpose {
                Purpose::Secret => None,
                Purpose::Nonce | Purpose::Session => Some(public_key(request_key.as_ref())?),
            },
            gateway: gateway_facts(self.gateway(chain.gateway)?, gateway_image, purpose)?,
            functions: functions.collect::<Result<_, _>>()?,
            edges: edges.collect::<Result<_, _>>()?,
        })
    }
}

/// Nobody is told to seal a request for a gateway that is not there.
fn public_key(key: Option<&RequestKey>) -> Result<[u8; KEY_BYTES], Refusal> {
    match key {
        Some(key) => Ok(key.public_key()),
        None => refuse(
            ResultCode::Busy,
            "the gateway is not started, so there is no key for sealed requests",
        ),
    }
}

fn gateway_facts<P: Platform>(
    gateway: &Gateway<P>,
    image: &Measurement,
    purpose: Purpose,
) -> Result<manifest::Gateway, Refusal> {
    Ok(manifest::Gateway {
        image: *image,
        is_own: gateway.is_own(),
        logs: logs(gateway.definition.logs),
        tls_key: match purpose {
            Purpose::Secret => None,
            Purpose::Nonce | Purpose::Session => tls_key(gateway)?,
        },
    })
}

/// What the gateway said of its certificate; nothing is made up until it has.
fn tls_key<P: Platform>(gateway: &Gateway<P>) -> Result<Option<[u8; KEY_BYTES]>, Refusal> {
    if gateway.definition.tls == tls::NONE {
        return Ok(None);
    }
    match gateway.tls_key {
        Some(hash) => Ok(Some(hash)),
        None => refuse(
            ResultCode::Busy,
            "the gateway does not listen yet, so its TLS key is not known",
        ),
    }
}

fn function_facts<P: Platform>(
    function: &Function<P>,
    image: &Measurement,
) -> Result<manifest::Function, Refusal> {
    Ok(manifest::Function {
        image: *image,
        name: word(function.definition.name.as_str())?,
        is_carrier: function.is_carrier,
        logs: logs(function.definition.limits.logs),
    })
}

fn edge_facts<P: Platform>(definition: &Definition<P>, edge: &Edge) -> Result<manifest::Edge, Refusal> {
    let name = |function: FunctionIndex, gateway: &str| match definition.function(function) {
        None => word(gateway),
        Some(function) => word(function.definition.name.as_str()),
    };
    let port = definition.ports.get(index(edge.port));
    let port = port.ok_or(ResultCode::BadGraph)?;
    Ok(manifest::Edge {
        from: name(edge.producer, INGRESS)?,
        port: word(port.name.as_str())?,
        to: name(edge.consumer, EGRESS)?,
        protection: match edge.is_mapped() {
            true => Protection::Mapped,
            false => Protection::Sealed,
        },
        across: edge.carrier.map(|carrier| name(carrier, INGRESS)).transpose()?,
    })
}

const fn logs(forwarded: u32) -> Logs {
    if forwarded == 1 {
        Logs::Forwarded
    } else {
        Logs::Dropped
    }
}

/// By their names, with `-` for what no word has.
fn layers(found: &[LayerStatus]) -> Vec<Layer> {
    let mut layers = BTreeMap::new();
    for LayerStatus {
        name,
        missing_because,
    } in found
    {
        let plain = |c: char| if c.is_ascii_graphic() { c } else { '-' };
        let name: String = name.chars().map(plain).take(WORD_MAX_BYTES).collect();
        if let Ok(name) = Word::new(&name) {
            // Of two with one name, both have to be there.
            *layers.entry(name).or_insert(true) &= missing_because.is_none();
        }
    }
    let layers = layers.into_iter();
    layers
        .map(|(name, is_enforced)| Layer { name, is_enforced })
        .collect()
}

pub(super) fn word(text: &str) -> Result<Word, Refusal> {
    Word::new(text).map_err(|_| Refusal::new(ResultCode::BadGraph, "a name in the tables is no word"))
}
