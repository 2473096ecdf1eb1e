//! iceoryx2: payloads in shared memory, unencrypted, between two processes.
//!
//! As in its own benchmark of publish-subscribe, a service leads there and another back, each with room for
//! one sample, and the next sample is borrowed before it is needed. Busy, each process asks for a sample
//! until there is one; with events, it sleeps until it is notified. Touched, each sender writes the payload
//! into the sample, and each receiver reads it where it lies; untouched, nobody looks at the bytes.
#![allow(
    unsafe_code,
    reason = "sends samples whose bytes nobody has written, as iceoryx2's own benchmark"
)]

use crate::peer::{self, Peer, Start};
use crate::place::Pinned;
use crate::subject::{Cores, Identity, Place, Subject, checksum, payload};
use hacher_fabric::failed::Failed;
use hacher_libos_net::clock;
use iceoryx2::port::listener::Listener;
use iceoryx2::port::notifier::Notifier;
use iceoryx2::port::publisher::Publisher;
use iceoryx2::port::subscriber::Subscriber;
use iceoryx2::prelude::*;
use iceoryx2::sample_mut_uninit::SampleMutUninit;
use serde::{Deserialize, Serialize};
use std::hint::black_box;
use std::io::{BufRead, BufReader, Write};
use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// The name that the other process is started under.
pub const ROLE: &str = "hacher-bench-iceoryx2";

/// How often to look before asking whether the other process is still there.
const LOOKS: u32 = 10_000_000;
/// Round trips of a new pair that are not measured.
const ROUND_TRIPS_FIRST: u32 = 10;

type Ipc = ipc::Service;

/// How a process waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Waiting {
    /// By asking over and over; on two cores.
    Busy,
    /// Asleep until notified; on one core.
    Event,
}

impl Waiting {
    /// What reports call it.
    #[must_use]
    pub const fn identity(self, touched: bool) -> Identity {
        let (transport, placement) = match self {
            Self::Busy => ("iceoryx2-busy", Place::Spread),
            Self::Event => ("iceoryx2-event", Place::Packed),
        };
        Identity {
            transport,
            protection: "none",
            placement,
            touched,
        }
    }
}

/// What the other process is to do.
#[derive(Serialize, Deserialize)]
struct Orders {
    /// Names the services.
    name: String,
    waiting: Waiting,
    touched: bool,
    payload_bytes: usize,
}

/// One end of the pair.
struct End {
    publisher: Publisher<Ipc, [u8], ()>,
    subscriber: Subscriber<Ipc, [u8], ()>,
    bells: Option<(Notifier<Ipc>, Listener<Ipc>)>,
    touched: bool,
    payload: Vec<u8>,
    checksum: u64,
    /// The sample that will be sent next.
    next: Option<SampleMutUninit<Ipc, [MaybeUninit<u8>], ()>>,
}

impl End {
    /// Opens the services, and the ports in one direction each: the end that is `first` sends there.
    fn open(orders: &Orders, first: bool) -> Result<Self, Failed> {
        set_log_level(LogLevel::Error);
        let node = NodeBuilder::new()
            .signal_handling_mode(SignalHandlingMode::Disabled)
            .create::<Ipc>()?;
        let name = |direction: &str| ServiceName::new(&format!("{}/{direction}", orders.name));
        let service = |direction: &str| {
            node.service_builder(&name(direction)?)
                .publish_subscribe::<[u8]>()
                .max_publishers(1)
                .max_subscribers(1)
                .history_size(0)
                .subscriber_max_buffer_size(1)
                .enable_safe_overflow(true)
                .open_or_create()
                .map_err(Failed::from)
        };
        let event = |direction: &str| {
            node.service_builder(&name(direction)?)
                .event()
                .max_notifiers(1)
                .max_listeners(1)
                .open_or_create()
                .map_err(Failed::from)
        };
        let (to, from) = if first {
            ("there", "back")
        } else {
            ("back", "there")
        };
        let bells = match orders.waiting {
            Waiting::Busy => None,
            Waiting::Event => Some((
                event(to)?.notifier_builder().create()?,
                event(from)?.listener_builder().create()?,
            )),
        };
        let payload = payload(orders.payload_bytes);
        let publisher = service(to)?
            .publisher_builder()
            .initial_max_slice_len(payload.len().max(1))
            .create()?;
        Ok(Self {
            next: Some(publisher.loan_slice_uninit(payload.len())?),
            publisher,
            subscriber: service(from)?.subscriber_builder().create()?,
            bells,
            touched: orders.touched,
            checksum: checksum(&payload),
            payload,
        })
    }

    fn send(&mut self) -> Result<(), Failed> {
        let Some(sample) = self.next.take() else {
            return Err(Failed::new("iceoryx2 gave no sample"));
        };
        let sample = if self.touched {
            sample.write_from_slice(&self.payload)
        } else {
            // SAFETY: every value of a byte is valid, and the memory has been zeroed by the kernel or written
            // before.
            unsafe { sample.assume_init() }
        };
        sample.send()?;
        if let Some((notifier, _)) = &self.bells {
            notifier.notify()?;
        }
        self.next = Some(self.publisher.loan_slice_uninit(self.payload.len())?);
        Ok(())
    }

    /// Waits for the other's payload and reads it; `false` if that takes so long that the other may be gone.
    fn receive(&mut self) -> Result<bool, Failed> {
        for _ in 0..LOOKS {
            if let Some((_, listener)) = &self.bells {
                listener.blocking_wait(|_| ())?;
            }
            let Some(sample) = self.subscriber.receive()? else {
                continue;
            };
            let is_whole = if self.touched {
                black_box(checksum(sample.payload())) == self.checksum
            } else {
                sample.payload().len() == self.payload.len()
            };
            if !is_whole {
                return Err(Failed::new("iceoryx2 has not delivered the payload"));
            }
            return Ok(true);
        }
        Ok(false)
    }
}

/// The other end: sends back as often as it is told, then sleeps until it is told again. Ends with its input.
pub(super) fn peer() -> Result<(), Failed> {
    let _ = peer::arrive()?;
    let mut lines = std::io::stdin().lines();
    let orders: Orders = serde_json::from_str(&lines.next().unwrap_or(Ok(String::new()))?)?;
    let mut end = End::open(&orders, false)?;
    writeln!(std::io::stdout(), "ready")?;
    for line in lines {
        let round_trips: u64 = line?.parse()?;
        for _ in 0..round_trips {
            while !end.receive()? {}
            end.send()?;
        }
    }
    Ok(())
}

/// Both ends, for payloads of one size.
struct Pair {
    end: End,
    payload_bytes: usize,
    input: ChildStdin,
    process: Peer,
}

impl Pair {
    fn start(start: &Start<'_>, orders: &Orders) -> Result<Self, Failed> {
        let end = End::open(orders, true)?;
        let mut process = Peer::start(start, Stdio::piped(), Stdio::piped())?;
        let mut input = process.child().stdin.take().ok_or_else(gone)?;
        let output = process.child().stdout.take().ok_or_else(gone)?;
        writeln!(input, "{}", serde_json::to_string(orders)?)?;
        if BufReader::new(output).read_line(&mut String::new())? == 0 {
            return Err(gone());
        }
        let mut pair = Self {
            end,
            payload_bytes: orders.payload_bytes,
            input,
            process,
        };
        // Connects the ports, and touches all memory.
        pair.round_trips(ROUND_TRIPS_FIRST, &mut |_| ())?;
        Ok(pair)
    }

    fn round_trips(&mut self, count: u32, record: &mut dyn FnMut(u64)) -> Result<(), Failed> {
        writeln!(self.input, "{count}")?;
        for _ in 0..count {
            let start = clock::now();
            self.end.send()?;
            while !self.end.receive()? {
                if !self.process.is_alive() {
                    return Err(gone());
                }
            }
            record(clock::now().ns_since(start) / 2);
        }
        Ok(())
    }

    /// Lets the other process leave in good order, with nothing left in shared memory.
    fn end(mut self) -> Result<(), Failed> {
        drop(self.input);
        self.process.child().wait()?;
        Ok(())
    }
}

fn gone() -> Failed {
    Failed::new("the other process of iceoryx2 has ended")
}

/// The subject. Its second process sleeps between measurements, as a busy one would disturb all others.
pub struct Iceoryx {
    program: PathBuf,
    waiting: Waiting,
    seats: [Option<u32>; 2],
    touched: bool,
    pair: Option<Pair>,
}

impl Iceoryx {
    /// Gets ready to start them.
    ///
    /// # Errors
    /// When they cannot be placed like this.
    pub fn new(program: &Path, waiting: Waiting, touched: bool, cores: Cores) -> Result<Self, Failed> {
        let place = waiting.identity(touched).placement;
        Ok(Self {
            program: program.to_owned(),
            waiting,
            seats: [cores.seat(place, 0)?, cores.seat(place, 1)?],
            touched,
            pair: None,
        })
    }

    /// The pair for payloads of this size; another one ends.
    fn pair(&mut self, payload_bytes: usize) -> Result<&mut Pair, Failed> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        if self
            .pair
            .as_ref()
            .is_some_and(|pair| pair.payload_bytes != payload_bytes)
            && let Some(other) = self.pair.take()
        {
            other.end()?;
        }
        if let Some(ref mut pair) = self.pair {
            return Ok(pair);
        }
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let orders = Orders {
            name: format!("hacher-bench/{}/{number}", std::process::id()),
            waiting: self.waiting,
            touched: self.touched,
            payload_bytes,
        };
        let start = Start {
            program: &self.program,
            role: ROLE,
            part: "end",
            core: self.seats[1],
        };
        Ok(self.pair.insert(Pair::start(&start, &orders)?))
    }
}

impl Drop for Iceoryx {
    fn drop(&mut self) {
        if let Some(pair) = self.pair.take() {
            // Otherwise it is killed, and iceoryx2 tidies up after it when it is used next.
            let _ = pair.end();
        }
    }
}

impl Subject for Iceoryx {
    fn identity(&self) -> Identity {
        self.waiting.identity(self.touched)
    }

    fn hops(&self) -> Option<u32> {
        Some(1)
    }

    fn measure(
        &mut self,
        payload_bytes: usize,
        hops: u32,
        samples: u32,
        record: &mut dyn FnMut(u64),
    ) -> Result<(), Failed> {
        if hops != 1 {
            return Err(Failed::new("a pair has one hop"));
        }
        let _pinned = Pinned::to_core(self.seats[0])?;
        self.pair(payload_bytes)?.round_trips(samples, record)
    }
}
