//! Chains of processes that call each other over HTTP or HTTPS.

use super::call::Caller;
use super::kind::Kind;
use super::receipt::{check_hops, receipts, wrong_receipt};
use super::server::{Orders, PART, runtime};
use super::tls::Credentials;
use crate::peer::{Peer, ROLE, Start};
use crate::place::Pinned;
use crate::subject::{Identity, Subject, payload};
use bytes::Bytes;
use hacher_fabric::failed::Failed;
use hacher_libos_net::clock;
use serde::Serialize;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Stdio;
use tokio::runtime::Runtime;

/// The processes, and whoever calls the first.
pub(super) struct Chain {
    identity: Identity,
    seat: Option<u32>,
    caller: Caller,
    runtime: Runtime,
    peers: Vec<Peer>,
}

impl Chain {
    /// Starts a process for each seat but the first, which is the caller's.
    pub(super) fn start(
        program: &Path,
        kind: Kind,
        identity: Identity,
        seats: &[Option<u32>],
    ) -> Result<Self, Failed> {
        let credentials = match kind {
            Kind::UnixSocket | Kind::Http => None,
            Kind::Https | Kind::HttpsNew => Some(Credentials::new(false)?),
            Kind::HttpsMtls => Some(Credentials::new(true)?),
        };
        let mut orders = Orders {
            next: None,
            credentials,
            keeps: kind != Kind::HttpsNew,
        };
        let (seat, seats) = seats
            .split_first()
            .ok_or_else(|| Failed::new("a chain needs a caller"))?;
        let mut peers = Vec::new();
        // The last first, so that each can be told its successor.
        for core in seats.iter().rev() {
            let start = Start {
                program,
                role: ROLE,
                part: PART,
                core: *core,
            };
            let mut peer = Peer::start(&start, Stdio::piped(), Stdio::piped())?;
            orders.next = Some(brief(&mut peer, &orders)?);
            peers.push(peer);
        }
        let first = orders
            .next
            .ok_or_else(|| Failed::new("a chain needs a process"))?;
        Ok(Self {
            identity,
            seat: *seat,
            caller: orders.caller(first)?,
            runtime: runtime()?,
            peers,
        })
    }
}

/// Gives a process its orders, and waits until it listens: it then says its port.
pub(crate) fn brief(peer: &mut Peer, orders: &impl Serialize) -> Result<SocketAddr, Failed> {
    let gone = || Failed::new("a process of a baseline did not start");
    let child = peer.child();
    let input = child.stdin.take().ok_or_else(gone)?;
    // Dropping the input tells it that the orders are complete.
    serde_json::to_writer(input, orders)?;
    let output = child.stdout.take().ok_or_else(gone)?;
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line)?;
    let port = line.trim().parse().map_err(|_| gone())?;
    Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
}

impl Subject for Chain {
    fn identity(&self) -> Identity {
        self.identity.clone()
    }

    fn measure(
        &mut self,
        payload_bytes: usize,
        hops: u32,
        samples: u32,
        record: &mut dyn FnMut(u64),
    ) -> Result<(), Failed> {
        check_hops(hops, self.peers.len())?;
        let _pinned = Pinned::to_core(self.seat)?;
        let payload = Bytes::from(payload(payload_bytes));
        let expected = receipts(&payload, hops);
        let caller = &mut self.caller;
        self.runtime.block_on(async {
            for _ in 0..samples {
                let start = clock::now();
                let sum = caller.call(payload.clone(), hops).await?;
                record(clock::now().ns_since(start));
                if sum != expected {
                    return Err(wrong_receipt());
                }
            }
            Ok(())
        })
    }
}
