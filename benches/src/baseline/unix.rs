//! Stream sockets between neighbours.
//!
//! A request is its length, the hops that are left, and the payload; a reply is 8 bytes. Each process calls
//! the kernel as rarely as the socket's buffer permits: a small request is one `read` and one `write`.

use super::receipt::{check_hops, receipt, receipts, wrong_receipt};
use crate::peer::{self, Peer, ROLE, Start};
use crate::place::Pinned;
use crate::subject::{Identity, Subject, payload};
use hacher_fabric::failed::Failed;
use hacher_libos_net::clock;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Stdio;

/// What the peer is told to do.
pub(crate) const PART: &str = "unix-socket";

const HEADER_BYTES: usize = 16;
/// No request is larger: a damaged length must not exhaust memory.
const REQUEST_MAX_BYTES: usize = 1 << 30;
/// What a buffer has to begin with.
const BUFFER_BYTES: usize = 256 * 1024;

/// A request as it is on the wire, in a buffer that is used again.
struct Request {
    bytes: Vec<u8>,
    len_bytes: usize,
}

impl Request {
    fn empty() -> Self {
        Self {
            bytes: vec![0; BUFFER_BYTES],
            len_bytes: 0,
        }
    }

    fn of(payload: &[u8]) -> Self {
        let mut bytes = (payload.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(&0_u64.to_le_bytes());
        bytes.extend_from_slice(payload);
        let len_bytes = bytes.len();
        Self { bytes, len_bytes }
    }

    fn word(&self, index: usize) -> Option<u64> {
        let (words, _) = self.bytes.get(..HEADER_BYTES)?.as_chunks::<8>();
        words.get(index).map(|word| u64::from_le_bytes(*word))
    }

    fn hops(&self) -> u64 {
        self.word(1).unwrap_or(0)
    }

    fn set_hops(&mut self, hops: u64) {
        if let Some(word) = self.bytes.get_mut(8..HEADER_BYTES) {
            word.copy_from_slice(&hops.to_le_bytes());
        }
    }

    fn payload(&self) -> &[u8] {
        self.bytes.get(HEADER_BYTES..self.len_bytes).unwrap_or_default()
    }

    fn send(&self, to: &mut impl Write) -> io::Result<()> {
        to.write_all(self.bytes.get(..self.len_bytes).unwrap_or_default())
    }

    /// Reads the next request; `false` at the end of the stream.
    fn receive(&mut self, from: &mut impl Read) -> io::Result<bool> {
        let mut have = 0;
        let mut need = HEADER_BYTES;
        while have < need {
            // The next request comes only after the reply to this one, so whatever arrives belongs to it.
            match from.read(self.bytes.get_mut(have..).unwrap_or_default())? {
                0 if have == 0 => return Ok(false),
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                more => have += more,
            }
            if have >= HEADER_BYTES {
                let len = self.word(0).and_then(|len| usize::try_from(len).ok());
                need = len
                    .filter(|len| *len <= REQUEST_MAX_BYTES)
                    .ok_or(io::ErrorKind::InvalidData)?
                    + HEADER_BYTES;
                if self.bytes.len() < need {
                    self.bytes.resize(need, 0);
                }
            }
        }
        self.len_bytes = need;
        Ok(true)
    }
}

/// Sends a request and waits for the reply.
fn call(socket: &mut UnixStream, request: &Request) -> io::Result<u64> {
    request.send(socket)?;
    let mut reply = [0; 8];
    socket.read_exact(&mut reply)?;
    Ok(u64::from_le_bytes(reply))
}

/// A process of the chain: upstream is its standard input, downstream, if there is more, its standard output.
pub(crate) fn peer() -> Result<(), Failed> {
    let mut upstream = UnixStream::from(peer::input()?);
    let mut downstream = UnixStream::from(peer::output()?);
    let mut request = Request::empty();
    while request.receive(&mut upstream)? {
        let mut sum = receipt(request.payload());
        let hops = request.hops();
        if hops > 1 {
            request.set_hops(hops - 1);
            sum = sum.wrapping_add(call(&mut downstream, &request)?);
        }
        upstream.write_all(&sum.to_le_bytes())?;
    }
    Ok(())
}

/// The processes, and the socket to the first.
pub(super) struct Chain {
    identity: Identity,
    caller: Option<u32>,
    first: UnixStream,
    peers: Vec<Peer>,
}

impl Chain {
    /// Starts a process for each seat but the first, which is the caller's.
    pub(super) fn start(program: &Path, identity: Identity, seats: &[Option<u32>]) -> Result<Self, Failed> {
        let (caller, seats) = seats
            .split_first()
            .ok_or_else(|| Failed::new("a chain needs a caller"))?;
        let (first, mut upstream) = UnixStream::pair()?;
        let mut peers = Vec::new();
        for (index, core) in seats.iter().enumerate() {
            let start = Start {
                program,
                role: ROLE,
                part: PART,
                core: *core,
            };
            let input = Stdio::from(OwnedFd::from(upstream));
            let (downstream, next) = UnixStream::pair()?;
            upstream = next;
            let is_last = index + 1 == seats.len();
            let output = if is_last {
                Stdio::null()
            } else {
                OwnedFd::from(downstream).into()
            };
            peers.push(Peer::start(&start, input, output)?);
        }
        Ok(Self {
            identity,
            caller: *caller,
            first,
            peers,
        })
    }
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
        let _pinned = Pinned::to_core(self.caller)?;
        let payload = payload(payload_bytes);
        let expected = receipts(&payload, hops);
        let mut request = Request::of(&payload);
        request.set_hops(u64::from(hops));
        for _ in 0..samples {
            let start = clock::now();
            let sum = call(&mut self.first, &request)?;
            record(clock::now().ns_since(start));
            if sum != expected {
                return Err(wrong_receipt());
            }
        }
        Ok(())
    }
}
