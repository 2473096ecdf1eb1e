//! A chain in the monitor's table: open while it is defined, sealed with regions and keys afterwards.

use super::definition::{Definition, Edge};
use super::digest::{chain_digest, image_digest};
use super::event::Exit;
use super::gateway::Gateway;
use super::identity::RequestKey;
use super::plan::Plan;
use super::refusal::{Refusal, refuse};
use super::system_call_counts::SystemCallCounts;
use crate::calls::ResultCode;
use crate::ids::GatewayId;
use crate::platform::{MEASUREMENT_BYTES, Measurement, Platform};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use hacher_data_path::aead::keys::SecretBytes;
use hacher_data_path::attach::message::SECRET_BYTES;
use zeroize::Zeroizing;

/// What an instance owns, from sealing until the monitor ends: a process that replaces another finds the
/// regions as they were, and its neighbours need not be told (I10).
pub(crate) struct Slot<P: Platform> {
    pub(crate) outbox: P::Region,
    pub(crate) page: P::Region,
    /// The regions of its mapped rings, by number of the ring. Besides its own process, the ring's consumer
    /// alone gets one.
    pub(crate) mapped: BTreeMap<u32, P::Region>,
    pub(crate) doorbell: P::Doorbell,
    /// Processes that were started here; the present one's number in the derivation of its keys (I4).
    pub(crate) epoch: u32,
    pub(crate) deaths: u32,
    pub(crate) last_exit: Option<Exit>,
    /// When its present process said that it serves, 0 before; and when the last one was found dead.
    pub(crate) ready_ns: u64,
    pub(crate) died_ns: u64,
    pub(crate) log: Option<P::Log>,
    /// What the monitor has refused to all its processes.
    pub(crate) refused: SystemCallCounts,
}

/// What sealing adds to a definition.
pub(crate) struct SealedChain<P: Platform> {
    pub(crate) digest: [u8; MEASUREMENT_BYTES],
    /// Measurements of images, made once, as that takes time with many files: of the functions in their
    /// order, and of the gateway.
    pub(crate) images: Vec<Measurement>,
    pub(crate) gateway_image: Measurement,
    pub(crate) epoch: u64,
    pub(crate) plan: Plan,
    /// By port number.
    pub(crate) port_secrets: Vec<SecretBytes>,
    /// Of requests that are sealed for this chain; none while no process of its gateway is there to open
    /// them.
    pub(crate) request_key: Option<RequestKey>,
    /// By instance number.
    pub(crate) slots: Vec<Slot<P>>,
    pub(crate) region_bytes: u64,
}

/// One chain.
pub(crate) struct Chain<P: Platform> {
    pub(crate) definition: Definition<P>,
    /// The one that serves it.
    pub(crate) gateway: GatewayId,
    /// Whether the daemon has found that a function of it is not fit to serve.
    pub(crate) unready: bool,
    pub(crate) sealed: Option<SealedChain<P>>,
}

impl<P: Platform> Chain<P> {
    /// The definition, to add to; refused once the chain is sealed.
    pub(crate) fn open_mut(&mut self) -> Result<&mut Definition<P>, Refusal> {
        if self.sealed.is_some() {
            refuse(ResultCode::Sealed, ResultCode::Sealed.text())
        } else {
            Ok(&mut self.definition)
        }
    }

    /// What sealing added; refused before.
    pub(crate) fn sealed(&self) -> Result<&SealedChain<P>, Refusal> {
        self.sealed.as_ref().ok_or_else(|| ResultCode::NotSealed.into())
    }

    pub(crate) fn sealed_mut(&mut self) -> Result<&mut SealedChain<P>, Refusal> {
        self.sealed.as_mut().ok_or_else(|| ResultCode::NotSealed.into())
    }

    /// Plans, measures, and makes regions and keys. On any error the chain stays open and nothing is left
    /// behind.
    pub(crate) fn seal(&mut self, platform: &mut P, gateway: &Gateway<P>, epoch: u64) -> Result<(), Refusal> {
        self.open_mut()?.add_fault_ports()?;
        match seal(&self.definition, platform, gateway, epoch) {
            Ok(sealed) => {
                self.sealed = Some(sealed);
                Ok(())
            }
            Err(refusal) => {
                self.definition.remove_fault_ports();
                Err(refusal)
            }
        }
    }
}

fn seal<P: Platform>(
    definition: &Definition<P>,
    platform: &mut P,
    gateway: &Gateway<P>,
    epoch: u64,
) -> Result<SealedChain<P>, Refusal> {
    check_mapped(definition, platform)?;
    let plan = Plan::new(definition)?;
    let digest = chain_digest(platform.backend(), gateway, definition);
    let mut port_secrets = Vec::with_capacity(definition.ports.len());
    for _ in &definition.ports {
        let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
        platform.random(&mut *bytes)?;
        port_secrets.push(SecretBytes::new(*bytes));
    }
    let mut slots = Vec::with_capacity(plan.instances.len());
    let mut region_bytes = 0_u64;
    for instance in &plan.instances {
        let mut region = |name: &str, len_bytes: usize| {
            region_bytes = region_bytes.saturating_add(u64::try_from(len_bytes).unwrap_or(u64::MAX));
            platform.create_region(name, len_bytes)
        };
        let outbox = region("hacher-outbox", instance.outbox.len_bytes())?;
        let page = region("hacher-instance-page", instance.page.len_bytes())?;
        let mut mapped = BTreeMap::new();
        for ring in instance.mapped_rings() {
            mapped.insert(ring, region("hacher-mapped", instance.mapped.len_bytes())?);
        }
        slots.push(Slot {
            outbox,
            page,
            mapped,
            doorbell: platform.create_doorbell()?,
            epoch: 0,
            deaths: 0,
            last_exit: None,
            ready_ns: 0,
            died_ns: 0,
            log: None,
            refused: SystemCallCounts::default(),
        });
    }
    let functions = definition.functions.iter();
    Ok(SealedChain {
        digest,
        images: functions
            .map(|function| image_digest(&function.program))
            .collect(),
        gateway_image: image_digest(&gateway.program),
        epoch,
        plan,
        port_secrets,
        request_key: None,
        slots,
        region_bytes,
    })
}

/// Refuses mapped edges of the gateway, which parses what strangers send, where the platform does not hold it
/// apart from everything else.
fn check_mapped<P: Platform>(definition: &Definition<P>, platform: &P) -> Result<(), Refusal> {
    let mut mapped = definition.edges.iter().filter(|edge| edge.is_mapped());
    if mapped.any(Edge::touches_gateway) && !platform.keeps_apart() {
        return refuse(
            ResultCode::Platform,
            "an edge of ingress or egress is mapped, but layers of isolation are missing on this machine: \
             seal it, or see `hacher-fabric doctor`",
        );
    }
    Ok(())
}
