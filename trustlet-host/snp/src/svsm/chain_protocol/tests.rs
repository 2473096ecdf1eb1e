//! Monitor calls over a calling area: those of every carrier, and blocks that are none.

use super::*;
use crate::ledger::Purpose;
use crate::platform::tests::machine::{Bench, Monitor, PAGES};
use crate::program::tests::{CODE, DATA, file};
use crate::rmp::Vmpl;
use crate::simulated::{Processor, Ring};
use crate::state::{SVME, VMGEXIT, word};
use crate::svsm::dispatcher::Dispatcher;
use crate::svsm::virtual_processors::VirtualProcessors;
use crate::svsm::{self, core_protocol};
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

/// The state and the calling area of the processor that calls.
const STATE: u64 = (PAGES as u64 - 70) * 4096;
const AREA: u64 = STATE + 0x1000;
const ID: u32 = 0;

/// An operating system that calls, from a virtual processor.
struct System {
    monitor: Monitor,
    dispatcher: Dispatcher,
    processor: Processor,
}

impl System {
    fn new() -> Self {
        let mut system = Self {
            monitor: Monitor::with_pages(PAGES - 100),
            dispatcher: Dispatcher::new(VirtualProcessors::new(vec![ID], 1)),
            processor: Processor::new(Vmpl::OPERATING_SYSTEM, Ring::System),
        };
        for (index, value) in [(word::LEVELS, 2 << 16), (word::EFER, SVME), (word::FEATURES, 1)] {
            system.write_words(STATE + 8 * index as u64, &[value]);
        }
        let (board, ledger) = system.monitor.platform().memory();
        let processors = &mut system.dispatcher.processors;
        processors
            .create(board, ledger, STATE, AREA, u64::from(ID))
            .unwrap();
        system
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
        let protocol = PROTOCOL;
        let (code, _) = self.call_of(svsm::Call { protocol, number }, rcx, rdx);
        code
    }

    /// The processor runs, calls, and is answered: with a code, and RCX.
    fn call_of(&mut self, call: svsm::Call, rcx: u64, rdx: u64) -> (Code, u64) {
        let state = Frame::at(STATE).unwrap();
        let entered = self.monitor.machine().enter(state);
        assert_eq!(entered, Some(Vmpl::OPERATING_SYSTEM));
        self.write_words(AREA, &[1]);
        let registers = [(word::RAX, call.rax()), (word::RCX, rcx), (word::RDX, rdx)];
        self.monitor.machine().leave(state, VMGEXIT, &registers);
        assert!(self.dispatcher.serve(&mut self.monitor.core, ID));
        assert_eq!(self.word(AREA) & 0xff, 0);
        let words = self.monitor.machine().words(state);
        (Code::of_rax(words[word::RAX]).unwrap(), words[word::RCX])
    }

    /// Asks for the first instance: the answer, and how many descriptors it has.
    fn query_instance(&mut self) -> (ResultCode, u32) {
        let header = RequestHeader {
            protocol: calls::PROTOCOL,
            call: Call::QueryInstance.number(),
            version: CALLS_VERSION,
            sequence: 1,
            arguments: [0, 1, 0, 0, 0, 0],
            operand_bytes: 0,
            descriptor_count: 0,
        };
        let message = calls::message(&header, &[]);
        let reply = self.carry(Caller::Daemon, &message, &[]).unwrap();
        let (reply, _) = ReplyHeader::read_from_prefix(&reply).unwrap();
        (self.result(), reply.descriptor_count)
    }

    /// How many pages the system reads that are not its own.
    fn readable(&mut self) -> u64 {
        let readable = (1..PAGES - 100).filter(|&number| {
            let machine = self.monitor.machine();
            let address = machine.frame(number).address();
            self.processor.load(machine, address).is_ok()
        });
        readable.count() as u64
    }

    /// Writes a request without an operand.
    fn request(&mut self, call: Call, files: u32) {
        let header = RequestHeader {
            protocol: calls::PROTOCOL,
            call: call.number(),
            version: CALLS_VERSION,
            sequence: 1,
            arguments: [0; 6],
            operand_bytes: 0,
            descriptor_count: files,
        };
        self.write(REQUEST, &calls::message(&header, &[]));
    }

    /// What the last request was answered with.
    fn result(&mut self) -> ResultCode {
        let reply = self.read(REPLY, size_of::<ReplyHeader>());
        let (reply, _) = ReplyHeader::read_from_prefix(&reply).unwrap();
        ResultCode::from_number(reply.result).unwrap()
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

    fn end(&mut self, caller: Caller) -> Result<(), String> {
        match self.call(number::END, 0, u64::from(caller == Caller::Daemon)) {
            Code::Success => Ok(()),
            code => Err(format!("{code:?}")),
        }
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
    let (result, descriptors) = system.query_instance();
    assert_eq!((result, descriptors), (ResultCode::Success, 1));
    let pages = system.word(BESIDE);
    assert!(pages > 0);
    for page in 1..=pages {
        let address = system.word(BESIDE + 8 * page);
        let machine = system.monitor.machine();
        assert!(system.processor.load(machine, address).is_ok());
        assert!(system.processor.store(machine, address, 1).is_err());
    }
    assert_eq!(system.readable(), pages);
}

#[test]
fn a_reply_arrives_if_what_comes_beside_it_cannot_be_shown() {
    let mut system = System::new();
    system.monitor.define().unwrap();
    system.monitor.platform().board().refuses_to_show = true;
    let (result, descriptors) = system.query_instance();
    assert_eq!((result, descriptors), (ResultCode::Success, 1));
    assert_eq!((system.word(BESIDE), system.readable()), (NOT_SHOWN, 0));
}

#[test]
fn regions_that_have_no_room_in_the_page_are_not_shown() {
    let mut system = System::new();
    let (board, ledger) = system.monitor.platform().memory();
    let purpose = Purpose::Region { writer: None };
    let mut region = |pages| -> Vec<Frame> {
        let frames = (0..pages).map(|_| ledger.take(board, purpose).unwrap());
        frames.collect()
    };
    // 509 pages and three numbers are a page of words.
    let regions = [region(400), region(110), region(0), region(109)];
    let words = show(board, ledger, &regions);
    assert_eq!((words[0], words[401], words[402]), (400, NOT_SHOWN, 0));
    assert_eq!((words[403], words.len()), (NOT_SHOWN, 404));
    assert_eq!(system.readable(), 400);
    let (board, ledger) = system.monitor.platform().memory();
    let words = show(board, ledger, &regions[..2]);
    assert_eq!((words[401], words.len()), (110, 512));
    assert_eq!(system.readable(), 510);
}

#[test]
fn files_are_looked_at_by_calls_that_take_one_and_that_the_caller_may_make() {
    let mut system = System::new();
    let nowhere = [10, 4];
    for (call, rdx, result) in [
        (Call::SetGateway, 1, ResultCode::NotPermitted),
        (Call::QueryMonitor, 0, ResultCode::Success),
        (Call::SealChain, 0, ResultCode::InvalidParameter),
    ] {
        system.request(call, 1);
        system.block(72, &nowhere);
        assert_eq!(
            system.call(number::EXCHANGE, BLOCK, rdx),
            Code::Success,
            "{call:?}"
        );
        assert_eq!(system.result(), result, "{call:?}");
    }
    // Headers that are refused.
    for (descriptors, len_bytes) in [(2, 72), (1, 80), (1, 71)] {
        system.request(Call::SetGateway, descriptors);
        system.block(len_bytes, &nowhere);
        assert_eq!(system.call(number::EXCHANGE, BLOCK, 0), Code::Success);
        assert_eq!(system.result(), ResultCode::InvalidFormat);
    }
    // Of two files none looks at the second.
    system.write_words(LISTS, &[CONTENT]);
    for (files, code) in [
        ([10, LISTS, 10, 4], Code::Success),
        ([10, 4, 10, LISTS], Code::InvalidAddress),
    ] {
        system.request(Call::SetGateway, 2);
        system.block(72, &files);
        assert_eq!(system.call(number::EXCHANGE, BLOCK, 0), code, "{files:x?}");
    }
}

#[test]
fn the_loader_ends_and_gateways_start_and_a_daemon_ends() {
    let mut system = System::new();
    let (loader, daemon) = (0, 1);
    assert_eq!(system.call(number::END, 0, loader), code::NO_CHAIN);
    system.monitor.begin().unwrap();
    assert_eq!(system.call(number::END, 0, loader), code::CHAIN_NOT_SEALED);
    system.monitor.seal().unwrap();
    assert_eq!(system.call(number::END, 1, loader), Code::InvalidParameter);
    assert_eq!(system.call(number::END, 0, 2), Code::InvalidParameter);
    let refused = system.monitor.create(0).unwrap_err();
    assert!(refused.contains("InvalidRequest"), "{refused}");
    assert_eq!(system.call(number::END, 0, loader), Code::Success);
    assert_eq!(system.call(number::END, 0, loader), Code::InvalidRequest);
    system.monitor.create(0).unwrap();
    // A daemon's successor reads the tables, and is not told what happened before.
    system.block(0, &[]);
    assert_eq!(system.call(number::EVENT, BLOCK, daemon), Code::Success);
    assert_eq!(system.word(BLOCK + 24), 72, "sealed; loaded is next");
    assert_eq!(system.call(number::END, 0, daemon), Code::Success);
    assert_eq!(system.call(number::EVENT, BLOCK, daemon), Code::Success);
    assert_eq!(system.word(BLOCK + 24), 0);
}

#[test]
fn the_protocol_is_said_to_be_spoken() {
    let mut system = System::new();
    let query = svsm::Call {
        protocol: core_protocol::PROTOCOL,
        number: core_protocol::number::QUERY,
    };
    let asked = u64::from(PROTOCOL) << 32 | 1;
    assert_eq!(system.call_of(query, asked, 0), (Code::Success, 1 << 32 | 1));
    let nobodys = svsm::Call {
        protocol: 77,
        number: 0,
    };
    assert_eq!(system.call_of(nobodys, 5, 0), (Code::UnsupportedProtocol, 5));
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
    for (files, code) in [
        ([1 << 40, LISTS], Code::InvalidParameter),
        ([10, lent], Code::InvalidAddress),
        ([10, 4], Code::InvalidAddress),
        ([u64::MAX, LISTS], Code::InvalidParameter),
        ([5000, LISTS], Code::InvalidAddress),
    ] {
        system.write_words(LISTS, &[CONTENT, monitors]);
        system.request(Call::SetGateway, 1);
        system.block(72, &files);
        assert_eq!(system.call(number::EXCHANGE, BLOCK, 0), code, "{files:x?}");
    }
    // A list that leads to itself ends with the file.
    let looped: Vec<u64> = (0..511).map(|_| CONTENT).chain([LISTS]).collect();
    system.write_words(LISTS, &looped);
    system.block(72, &[3 << 20, LISTS]);
    assert_eq!(
        system.call(number::EXCHANGE, BLOCK, 0),
        Code::Success,
        "refused in the reply"
    );
    assert_eq!(system.result(), ResultCode::InvalidFormat);
    assert_eq!(system.call(3, BLOCK, 0), Code::UnsupportedCall);
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
