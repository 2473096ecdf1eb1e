//! Monitor calls over a calling area: those of every carrier, and blocks that are none.

use super::*;
use crate::platform::tests::machine::{Bench, Monitor, PAGES};
use crate::program::tests::{CODE, DATA, file};
use crate::rmp::Vmpl;
use crate::simulated::{Processor, Ring};
use hacher_monitor_core::calls::{self, Call, RequestHeader, ResultCode, VERSION as CALLS_VERSION};
use hacher_monitor_core::conformance::{self, Carrier};
use zerocopy::FromBytes;

/// The operating system's pages, behind those that it has lent.
const BLOCK: u64 = (PAGES as u64 - 60) * 4096;
const REQUEST: u64 = BLOCK + 0x1000;
const REPLY: u64 = BLOCK + 0x3000;
const BESIDE: u64 = BLOCK + 0x5000;
/// Lists of files, and their pages.
const LISTS: u64 = BLOCK + 0x6000;
const CONTENT: u64 = BLOCK + 0x1_0000;

/// An operating system that calls.
struct System {
    monitor: Monitor,
    processor: Processor,
}

impl System {
    fn new() -> Self {
        Self {
            monitor: Monitor::with_pages(PAGES - 100),
            processor: Processor::new(Vmpl::OPERATING_SYSTEM, Ring::System),
        }
    }

    fn write(&mut self, address: u64, bytes: &[u8]) {
        for (address, piece) in (address..).step_by(8).zip(bytes.chunks(8)) {
            let mut word = [0; 8];
            word[..piece.len()].copy_from_slice(piece);
            let machine = self.monitor.machine();
            let stored = self.processor.store(machine, address, u64::from_le_bytes(word));
            stored.unwrap();
        }
    }

    fn write_words(&mut self, address: u64, words: &[u64]) {
        self.write(address, words.as_flattened_bytes());
    }

    fn read(&mut self, address: u64, len_bytes: usize) -> Vec<u8> {
        let words = (address..).step_by(8).take(len_bytes.div_ceil(8));
        let mut bytes = Vec::new();
        for address in words {
            let word = self.processor.load(self.monitor.machine(), address).unwrap();
            bytes.extend(word.to_le_bytes());
        }
        bytes.truncate(len_bytes);
        bytes
    }

    fn word(&mut self, address: u64) -> u64 {
        u64::from_le_bytes(self.read(address, 8).try_into().unwrap())
    }

    fn call(&mut self, number: u32, rcx: u64, rdx: u64) -> Code {
        let mut registers = Registers {
            rcx,
            rdx,
            ..Registers::default()
        };
        serve(&mut self.monitor.core, number, &mut registers);
        Code::of_rax(registers.rax).unwrap()
    }

    /// Writes a block of these words, with pages for a reply.
    fn block(&mut self, request_bytes: u64, files: &[u64]) {
        let mut words = vec![
            request_bytes,
            REQUEST,
            REQUEST + 0x1000,
            u64::MAX,
            REPLY,
            REPLY + 0x1000,
            BESIDE,
            files.len() as u64 / 2,
        ];
        words.extend(files);
        self.write_words(BLOCK, &words);
    }
}

trait Flattened {
    fn as_flattened_bytes(&self) -> &[u8];
}

impl Flattened for [u64] {
    fn as_flattened_bytes(&self) -> &[u8] {
        zerocopy::IntoBytes::as_bytes(self)
    }
}

impl Carrier for System {
    fn carry(&mut self, caller: Caller, message: &[u8], files: &[Vec<u8>]) -> Result<Vec<u8>, String> {
        self.write(REQUEST, message);
        let mut of_files = Vec::new();
        let mut content = CONTENT;
        for (number, file) in (0..).zip(files) {
            let list = LISTS + number * 0x1000;
            let pages = file.len().div_ceil(FRAME_BYTES) as u64;
            self.write(content, file);
            let addresses: Vec<u64> = (0..pages).map(|page| content + page * 0x1000).collect();
            self.write_words(list, &addresses);
            of_files.extend([file.len() as u64, list]);
            content += pages * 0x1000;
        }
        self.block(message.len() as u64, &of_files);
        let rdx = u64::from(caller == Caller::Daemon);
        match self.call(number::EXCHANGE, BLOCK, rdx) {
            Code::Success => {}
            code => return Err(format!("{code:?}")),
        }
        let len_bytes = usize::try_from(self.word(BLOCK + 24)).unwrap();
        Ok(self.read(REPLY, len_bytes))
    }

    fn program(&self) -> Vec<u8> {
        file(0x40_1000, &[CODE, DATA])
    }
}

#[test]
fn the_calls_of_every_carrier_are_answered_as_everywhere() {
    let mut system = System::new();
    let calls = conformance::run(&mut system).unwrap();
    assert!(calls > 50, "{calls}");
}

#[test]
fn what_comes_beside_a_reply_can_be_read_and_nothing_else() {
    let mut system = System::new();
    system.monitor.define().unwrap();
    let header = RequestHeader {
        protocol: calls::PROTOCOL,
        call: Call::QueryInstance.number(),
        version: CALLS_VERSION,
        sequence: 1,
        arguments: [0, 1, 0, 0, 0, 0],
        operand_bytes: 0,
        descriptor_count: 0,
    };
    let reply = system
        .carry(Caller::Daemon, &calls::message(&header, &[]), &[])
        .unwrap();
    let (reply, _) = ReplyHeader::read_from_prefix(&reply).unwrap();
    assert_eq!(
        (reply.result, reply.descriptor_count),
        (ResultCode::Success.number(), 1)
    );
    let pages = system.word(BESIDE);
    assert!(pages > 0);
    for page in 1..=pages {
        let address = system.word(BESIDE + 8 * page);
        let machine = system.monitor.machine();
        assert!(system.processor.load(machine, address).is_ok());
        assert!(system.processor.store(machine, address, 1).is_err());
    }
    let readable = (1..PAGES - 100).filter(|&number| {
        let machine = system.monitor.machine();
        let address = machine.frame(number).address();
        system.processor.load(machine, address).is_ok()
    });
    assert_eq!(readable.count() as u64, pages);
}

#[test]
fn blocks_that_are_none_are_refused_and_nothing_is_called() {
    let mut system = System::new();
    let monitors = 0;
    let lent = 4096;
    let exchange = |system: &mut System, at: u64, word: u64, value: u64| {
        system.block(72, &[]);
        system.write_words(BLOCK + 8 * word, &[value]);
        system.call(number::EXCHANGE, at, 0)
    };
    for at in [
        monitors,
        lent,
        BLOCK + 4,
        u64::MAX,
        u64::MAX - 7,
        PAGES as u64 * 4096,
    ] {
        assert_ne!(exchange(&mut system, at, 20, 0), Code::Success, "{at:#x}");
    }
    for (word, value, code) in [
        (0, 4169, Code::InvalidParameter),
        (0, u64::MAX, Code::InvalidParameter),
        (1, lent, Code::InvalidAddress),
        (1, monitors, Code::InvalidAddress),
        (1, REQUEST + 8, Code::InvalidAddress),
        (4, lent, Code::InvalidAddress),
        (5, u64::MAX, Code::InvalidAddress),
        (6, lent, Code::InvalidAddress),
        (7, 5, Code::InvalidParameter),
        (7, u64::MAX, Code::InvalidParameter),
    ] {
        assert_eq!(
            exchange(&mut system, BLOCK, word, value),
            code,
            "word {word}: {value:#x}"
        );
    }
    // The end of a page has no room for files.
    system.block(72, &[]);
    let end = BLOCK + 0x1000 - 64;
    system.write_words(end, &[72, REQUEST, 0, 0, REPLY, REPLY + 0x1000, 0, 1]);
    assert_eq!(system.call(number::EXCHANGE, end, 0), Code::InvalidParameter);
    for files in [
        [1 << 40, LISTS],
        [10, lent],
        [10, 4],
        [u64::MAX, LISTS],
        [5000, LISTS],
    ] {
        system.write_words(LISTS, &[CONTENT, monitors]);
        system.block(72, &files);
        assert_ne!(
            system.call(number::EXCHANGE, BLOCK, 0),
            Code::Success,
            "{files:x?}"
        );
    }
    // A list that leads to itself ends with the file.
    let looped: Vec<u64> = (0..511).map(|_| CONTENT).chain([LISTS]).collect();
    system.write_words(LISTS, &looped);
    system.write(REQUEST, &[0; 72]);
    system.block(72, &[3 << 20, LISTS]);
    assert_eq!(
        system.call(number::EXCHANGE, BLOCK, 0),
        Code::Success,
        "refused in the reply"
    );
    assert_eq!(system.call(2, BLOCK, 0), Code::UnsupportedCall);
    assert_eq!(system.call(number::EXCHANGE, BLOCK, 2), Code::InvalidParameter);
    assert_eq!(system.call(number::EVENT, BLOCK, 0), Code::InvalidParameter);
}

#[test]
fn events_are_taken_one_by_one() {
    let mut system = System::new();
    system.monitor.define().unwrap();
    let mut events = 0;
    loop {
        system.block(0, &[]);
        assert_eq!(system.call(number::EVENT, BLOCK, 1), Code::Success);
        let len_bytes = system.word(BLOCK + 24);
        if len_bytes == 0 {
            break;
        }
        assert_eq!(len_bytes, 72);
        events += 1;
    }
    assert!(events >= 2, "sealed, and loaded");
    let _: &mut Bench = system.monitor.platform().board();
}
