//! iceoryx2: payloads in shared memory, unencrypted, between two processes.
//!
//! As in its own benchmark of publish-subscribe, a service leads there and another back, each with room for one sample, and
//! the next sample is borrowed before it is needed. Busy, each process asks for a sample until there is one; with events, it
//! sleeps until it is notified. Touched, each sender writes the payload into the sample, and each receiver reads it where it
//! lies; untouched, nobody looks at the bytes.
#![allow(
    unsafe_code,
    reason = "sends samples whose bytes nobody has written, as iceoryx2's own benchmark"
)]

use hacher_fabric::bench::peer::{self, Start};
use hacher_fabric::bench::place::Pinned;
use hacher_fabric::bench::subject::{Cores, Identity, Place, Subject, checksum, payload};
use hacher_fabric::command::Failed;
use hacher_libos_net::clock::Monotonic;
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
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};

/// The name that the other process is started under.
pub const ROLE: &str = "hacher-bench-iceoryx2";

/// How often to look before asking whether the other process is still there.
const LOOKS: u32 = 10_000_000;

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
    /// Round trips; then it ends.
    count: u64,
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
            // SAFETY: every value of a byte is valid, and the memory has been zeroed by the kernel or written before.
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

/// The other end: sends back as often as it is told.
pub(super) fn peer() -> Result<(), Failed> {
    let _ = peer::arrive()?;
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    let orders: Orders = serde_json::from_str(&line)?;
    let mut end = End::open(&orders, false)?;
    writeln!(std::io::stdout(), "ready")?;
    for _ in 0..orders.count {
        while !end.receive()? {}
        end.send()?;
    }
    // The caller says when it has seen the last one, which is still in this end's memory.
    std::io::stdin().read_line(&mut line)?;
    Ok(())
}

/// Two processes, of which the other one lives for one measurement: a busy one would disturb all others.
#[derive(Debug)]
pub struct Pair {
    program: PathBuf,
    waiting: Waiting,
    seats: [Option<u32>; 2],
    touched: bool,
}

impl Pair {
    /// Gets ready to start them.
    ///
    /// # Errors
    /// When they cannot be placed like this.
    pub fn new(
        program: &Path,
        waiting: Waiting,
        place: Place,
        cores: Cores,
        touched: bool,
    ) -> Result<Self, Failed> {
        Ok(Self {
            program: program.to_owned(),
            waiting,
            seats: [cores.seat(place, 0)?, cores.seat(place, 1)?],
            touched,
        })
    }

    fn orders(&self, payload_bytes: usize, count: u64) -> Orders {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Orders {
            name: format!("hacher-bench/{}/{number}", std::process::id()),
            waiting: self.waiting,
            touched: self.touched,
            payload_bytes,
            count,
        }
    }
}

impl Subject for Pair {
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
        let [home, other] = self.seats;
        let _pinned = Pinned::to_core(home)?;
        // One round trip more, which connects the ports and touches all memory.
        let orders = self.orders(payload_bytes, u64::from(samples) + 1);
        let mut end = End::open(&orders, true)?;
        let start = Start {
            program: &self.program,
            role: ROLE,
            part: "end",
            core: other,
        };
        let mut process = peer::Peer::start(&start, Stdio::piped(), Stdio::piped())?;
        let gone = || Failed::new("the other process of iceoryx2 has ended");
        let mut input = process.child().stdin.take().ok_or_else(gone)?;
        let output = process.child().stdout.take().ok_or_else(gone)?;
        writeln!(input, "{}", serde_json::to_string(&orders)?)?;
        let mut line = String::new();
        if BufReader::new(output).read_line(&mut line)? == 0 {
            return Err(gone());
        }
        for round in 0..=samples {
            let start = Monotonic::now();
            end.send()?;
            while !end.receive()? {
                if !process.is_alive() {
                    return Err(gone());
                }
            }
            if round > 0 {
                record(Monotonic::now().ns_since(start) / 2);
            }
        }
        // Lets it leave in good order, with nothing left in shared memory.
        drop(input);
        let _ = process.child().wait()?;
        Ok(())
    }
}
