//! A trustlet in the hands of a test: it makes the calls that a program would make, with pointers into its
//! own memory, and reaches everything through its page tables.

use super::super::{Newborn, Served};
use super::machine::Monitor;
use crate::abi::{Handle, REFUSED, call, handle};
use crate::frame::FRAME_BYTES;
use crate::rmp::Vmpl;
use crate::simulated::{Machine, Processor, Ring};
use hacher_data_path::attach::message::{MESSAGE_MAX_BYTES, MessageHeader, kind};
use hacher_data_path::hop::{Own, Receiver, Sender};
use hacher_data_path::inlet::{RecordPlace, Step};
use hacher_data_path::machine::bell::{Bell, OwnBell};
use hacher_data_path::machine::clock::{Clock, Monotonic};
use hacher_data_path::machine::memory::{Memory, OwnMemory};
use hacher_data_path::place::entries::{Delivered, Entries};
use hacher_data_path::place::machine::{Backing, Machine as PlaceMachine};
use hacher_data_path::place::making::Place;
use hacher_data_path::region::heap::Part;
use hacher_data_path::seal::RecordContext;
use hacher_monitor_core::ids::ProcessId;
use std::sync::{Arc, Mutex};
use zerocopy::{FromBytes, IntoBytes};

/// Bells that were rung and not handed to the monitor yet.
type Rung = Arc<Mutex<Vec<u64>>>;

/// A trustlet with a place in the chain.
pub(super) struct Trustlet {
    pub(super) newborn: Newborn,
    pub(super) processor: Processor,
    place: Option<Place>,
    rung: Rung,
}

impl Trustlet {
    /// The one that was started last.
    pub(super) fn born(monitor: &mut Monitor) -> Self {
        let newborn = monitor.platform().take_newborn().unwrap();
        let ring = Ring::User { cr3: newborn.cr3 };
        Self {
            newborn,
            processor: Processor::new(Vmpl::TRUSTLETS, ring),
            place: None,
            rung: Rung::default(),
        }
    }

    pub(super) fn process(&self) -> ProcessId {
        self.newborn.process
    }

    pub(super) fn call(&self, monitor: &mut Monitor, number: u64, arguments: [u64; 3]) -> Served {
        monitor.platform().call(self.process(), number, arguments)
    }

    /// Reads bytes of its memory.
    pub(super) fn read(&mut self, machine: &Machine, address: u64, len_bytes: usize) -> Vec<u8> {
        let words = (0..len_bytes.div_ceil(8) as u64).map(|word| address + 8 * word);
        let mut bytes: Vec<u8> = words
            .flat_map(|address| self.processor.load(machine, address).unwrap().to_le_bytes())
            .collect();
        bytes.truncate(len_bytes);
        bytes
    }

    /// Writes bytes to its memory.
    pub(super) fn write(&mut self, machine: &mut Machine, address: u64, bytes: &[u8]) {
        for (address, piece) in (address..).step_by(8).zip(bytes.chunks(8)) {
            let mut word = [0; 8];
            word[..piece.len()].copy_from_slice(piece);
            let stored = self.processor.store(machine, address, u64::from_le_bytes(word));
            stored.unwrap();
        }
    }

    /// Takes the next message, and the handles beside it.
    pub(super) fn receive(&mut self, monitor: &mut Monitor) -> Option<(Vec<u8>, Vec<Handle>)> {
        let (at, handles_at) = (self.newborn.heap_at, self.newborn.heap_at + 0x1_0000);
        let room = MESSAGE_MAX_BYTES as u64;
        let answer = match self.call(monitor, call::RECEIVE, [at, room, handles_at]) {
            Served::Answer(REFUSED) => panic!("a call that is as it should be"),
            Served::Answer(0) => return None,
            Served::Answer(answer) => answer,
            other => panic!("{other:?}"),
        };
        let (len_bytes, count) = (answer & 0xffff_ffff, answer >> 32);
        let message = self.read(monitor.machine(), at, usize::try_from(len_bytes).unwrap());
        let handles = usize::try_from(count).unwrap() * size_of::<Handle>();
        let handles = self.read(monitor.machine(), handles_at, handles);
        let handles = handles
            .chunks(size_of::<Handle>())
            .map(|handle| Handle::read_from_bytes(handle).unwrap());
        Some((message, handles.collect()))
    }

    /// Reads what it is told until it is complete, takes its place, and says so.
    pub(super) fn attach(&mut self, monitor: &mut Monitor) {
        let mut entries = Entries::default();
        loop {
            let (message, handles) = self.receive(monitor).expect("an attachment that is complete");
            let mut message = Delivered::new(&message, handles.into_iter()).unwrap();
            if !entries.take(&mut message).unwrap() && message.kind() == kind::GO {
                break;
            }
        }
        let mut machine = PageTables {
            machine: monitor.machine(),
            processor: &mut self.processor,
            rung: Arc::clone(&self.rung),
        };
        let place = Place::take(entries, &mut machine).unwrap();
        place.set_serving();
        self.place = Some(place);
        let ready = MessageHeader {
            kind: kind::READY,
            count: 0,
        };
        self.write(monitor.machine(), self.newborn.heap_at, ready.as_bytes());
        let len_bytes = ready.as_bytes().len() as u64;
        let said = self.call(monitor, call::SAY, [self.newborn.heap_at, len_bytes, 0]);
        assert_eq!(said, Served::Says(ready.as_bytes().to_vec()));
        assert!(monitor.core.ready(self.process()));
    }

    fn place(&mut self) -> (&Own, &mut Sender, &mut Receiver) {
        let place = self.place.as_mut().unwrap();
        (&place.own, &mut place.sender, &mut place.receiver)
    }

    /// Sends a whole record from its first port.
    pub(super) fn send(&mut self, record: &RecordContext, plain: &[u8]) {
        let (own, sender, _) = self.place();
        sender.send(own, 0, record, plain, true).unwrap();
    }

    /// Opens the next record, if there is one.
    pub(super) fn open(&mut self) -> Option<(RecordPlace, RecordContext, Vec<u8>)> {
        let (own, _, receiver) = self.place();
        let mut plain = Vec::new();
        for ring in 0..receiver.ring_count() {
            match receiver.step(own, ring, &mut plain) {
                Step::Empty => {}
                Step::Opened(opened) => {
                    let record = RecordContext {
                        invocation: opened.descriptor.invocation,
                        deadline: opened.descriptor.deadline,
                        attempt: opened.descriptor.attempt,
                    };
                    return Some((opened.record, record, plain));
                }
                other => panic!("{other:?}"),
            }
        }
        None
    }

    pub(super) fn release(&mut self, record: RecordPlace) {
        let (own, _, receiver) = self.place();
        receiver.release(own, record);
    }

    /// Sleeps, as far as the data path thinks that it may; whether it does.
    pub(super) fn sleep(&mut self, monitor: &mut Monitor) -> bool {
        let (own, _, receiver) = self.place();
        if !receiver.announce(own) {
            return false;
        }
        let slept = self.call(monitor, call::WAIT, [u64::MAX, 0, 0]);
        slept == Served::Sleeps { until_ns: u64::MAX }
    }

    pub(super) fn awake(&mut self) {
        let (own, _, receiver) = self.place();
        receiver.awake(own);
    }

    /// Hands the bells that the data path has rung to the monitor.
    pub(super) fn ring(&mut self, monitor: &mut Monitor) -> usize {
        let rung = core::mem::take(&mut *self.rung.lock().unwrap());
        for &bell in &rung {
            assert_eq!(self.call(monitor, call::RING, [bell, 0, 0]), Served::Answer(0));
        }
        rung.len()
    }
}

/// What a trustlet's page tables lead to, for the data path.
struct PageTables<'a> {
    machine: &'a mut Machine,
    processor: &'a mut Processor,
    rung: Rung,
}

impl PageTables<'_> {
    /// The pages of a region, each of which the processor reaches, and writes if it is to be written.
    fn part(&mut self, region: Handle, len_bytes: usize, to_write: bool) -> Part {
        assert_eq!(region.kind, if to_write { handle::WRITE } else { handle::READ });
        assert!(region.len_bytes >= len_bytes as u64);
        let pages = usize::try_from(region.len_bytes).unwrap() / FRAME_BYTES;
        let addresses = (region.address..).step_by(FRAME_BYTES).take(pages);
        let mut frames = Vec::new();
        for address in addresses {
            let word = self.processor.load(self.machine, address).unwrap();
            let stored = self.processor.store(self.machine, address, word);
            assert_eq!(stored.is_ok(), to_write);
            let reached = self.processor.reaches(self.machine, address).unwrap();
            frames.push(usize::try_from(reached.number()).unwrap());
        }
        let first = frames[0];
        assert!(frames.iter().copied().eq(first..first + pages), "neighbours");
        self.machine.heap().part(first, pages).unwrap()
    }
}

#[derive(Debug)]
struct NeverShort;

impl PlaceMachine for PageTables<'_> {
    type Handle = Handle;
    type Fault = NeverShort;

    fn own_memory(
        &mut self,
        region: &Handle,
        len_bytes: usize,
        _: Backing,
    ) -> Result<Box<dyn OwnMemory>, NeverShort> {
        Ok(Box::new(self.part(*region, len_bytes, true)))
    }

    fn memory(&mut self, region: &Handle, len_bytes: usize) -> Result<Box<dyn Memory>, NeverShort> {
        Ok(Box::new(self.part(*region, len_bytes, false)))
    }

    fn bell(&mut self, bell: Handle) -> Box<dyn Bell> {
        assert_eq!(bell.kind, handle::BELL);
        Box::new(Rings {
            number: u64::from(bell.number),
            rung: Arc::clone(&self.rung),
        })
    }

    fn own_bell(&mut self, bell: Handle) -> Box<dyn OwnBell> {
        assert_eq!(bell.kind, handle::OWN_BELL);
        Box::new(NeverWaits)
    }

    fn clock(&mut self) -> Box<dyn Clock> {
        Box::new(NeverWaits)
    }

    fn random(&mut self) -> u64 {
        0x1234_5678_9abc_def0
    }
}

#[derive(Debug)]
struct Rings {
    number: u64,
    rung: Rung,
}

impl Bell for Rings {
    fn ring(&self) {
        self.rung.lock().unwrap().push(self.number);
    }
}

/// A test waits by itself, and time does not pass.
#[derive(Debug)]
struct NeverWaits;

impl OwnBell for NeverWaits {
    fn wait(&self, _: Option<Monotonic>) {
        panic!("nothing here waits");
    }

    fn forget_rings(&self) {}
}

impl Clock for NeverWaits {
    fn now(&self) -> Monotonic {
        Monotonic::from_ns(1)
    }
}
