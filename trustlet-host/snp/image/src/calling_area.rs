//! Calls of an operating system over a calling area, as the monitor serves them, and the suite of calls
//! that every carrier has to answer alike.
//!
//! No operating system runs here: [`System`] writes into its pages what it would write, and into the state of
//! its processor what that would leave there, and lets the monitor look. What the monitor does with that is
//! what it does on SNP.

use crate::board::Machine;
use crate::chain::HOSTILE;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;
use hacher_monitor_core::conformance::{self, Carrier};
use hacher_monitor_core::core::{Caller, Core};
use hacher_snp::frame::{FRAME_BYTES, Frame};
use hacher_snp::hardware::Hardware;
use hacher_snp::ledger::{Boot, PageLedger};
use hacher_snp::platform::Snp;
use hacher_snp::rmp::Vmpl;
use hacher_snp::state::{SVME, VMGEXIT, word};
use hacher_snp::svsm::virtual_processors::VirtualProcessors;
use hacher_snp::svsm::{Call, Code, Dispatcher, Registers, chain_protocol, core_protocol};

/// Pages of the operating system: the first of all.
const SYSTEM_PAGES: u64 = 256;
/// The pages of calling area and state. A state does not begin a page of 2 MiB: then it is the next one.
const AREA_PAGE: u64 = 0;
const STATE_PAGE: u64 = 12;
const PAGES_OF_2_MIB: u64 = 512;
/// The operating system's processor, and its features.
const ID: u32 = 0;
const FEATURES: u64 = 1;

/// An operating system's part of the machine, and the monitor that it calls.
pub(crate) struct System {
    core: Core<Snp<Machine>>,
    dispatcher: Dispatcher,
    state: Frame,
    /// Its first page. Behind the calling area come block, request, reply, lists and files.
    first: u64,
}

impl System {
    /// A monitor that has just begun, with these pages.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) fn new(mut machine: Machine, frames: &Range<u64>) -> Result<Self, String> {
        let mut ledger = PageLedger::new(frames.clone(), |_| Boot::System);
        for number in frames.start + SYSTEM_PAGES..frames.end {
            let frame = frame(number)?;
            ledger
                .deposit(&mut machine, frame)
                .map_err(|error| error.to_string())?;
        }
        let first = frames.start;
        let begins_large = (first + STATE_PAGE).is_multiple_of(PAGES_OF_2_MIB);
        let state = frame(first + STATE_PAGE + u64::from(begins_large))?;
        for (index, value) in [
            (word::LEVELS, (Vmpl::OPERATING_SYSTEM as u64) << 16),
            (word::EFER, SVME),
            (word::FEATURES, FEATURES),
        ] {
            machine.write(state, index, value);
        }
        let mut processors = VirtualProcessors::new(vec![ID], FEATURES);
        let area = frame(first + AREA_PAGE)?.address();
        processors
            .create(&mut machine, &mut ledger, state.address(), area, u64::from(ID))
            .map_err(|code| format!("the first processor: {code:?}"))?;
        Ok(Self {
            core: Core::new(Snp::new(machine, ledger)).map_err(|error| error.to_string())?,
            dispatcher: Dispatcher::new(processors),
            state,
            first,
        })
    }

    /// The address of one of its pages.
    const fn page(&self, number: u64) -> u64 {
        (self.first + number) * FRAME_BYTES as u64
    }

    fn write_words(&mut self, address: u64, words: impl IntoIterator<Item = u64>) -> Result<(), String> {
        for (at, word) in (address..).step_by(8).zip(words) {
            let frame = frame(at / FRAME_BYTES as u64)?;
            let (machine, _) = self.core.platform_mut().memory();
            machine.write(frame, (at % FRAME_BYTES as u64 / 8) as usize, word);
        }
        Ok(())
    }

    fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), String> {
        let words = bytes.chunks(8).map(|chunk| {
            let mut word = [0; 8];
            for (place, byte) in word.iter_mut().zip(chunk) {
                *place = *byte;
            }
            u64::from_le_bytes(word)
        });
        self.write_words(address, words)
    }

    fn word(&mut self, address: u64) -> Result<u64, String> {
        let frame = frame(address / FRAME_BYTES as u64)?;
        let (machine, _) = self.core.platform_mut().memory();
        Ok(machine.read(frame, (address % FRAME_BYTES as u64 / 8) as usize))
    }

    /// Makes a call; what is left in the registers.
    ///
    /// # Errors
    /// When nobody looked.
    pub(crate) fn call(&mut self, call: Call, rcx: u64, rdx: u64) -> Result<Registers, String> {
        let area = self.page(AREA_PAGE);
        self.write_words(area, [1])?;
        let state = self.state;
        let (machine, _) = self.core.platform_mut().memory();
        for (index, value) in [
            (word::RAX, call.rax()),
            (word::RCX, rcx),
            (word::RDX, rdx),
            (word::R8, 0),
            (word::EXIT_CODE, VMGEXIT),
        ] {
            machine.write(state, index, value);
        }
        if !self.dispatcher.serve(&mut self.core, ID) || self.word(area)? & 0xff != 0 {
            return Err("nobody looked at the call".into());
        }
        let (machine, _) = self.core.platform_mut().memory();
        let [rax, rcx, rdx, r8] =
            [word::RAX, word::RCX, word::RDX, word::R8].map(|index| machine.read(state, index));
        Ok(Registers { rax, rcx, rdx, r8 })
    }

    /// Asks which versions of the chain protocol there are, makes the calls of the suite, and one of no
    /// protocol; how many calls the suite has.
    ///
    /// # Errors
    /// What was answered otherwise than it has to be.
    pub(crate) fn run(&mut self) -> Result<usize, String> {
        let query = Call {
            protocol: core_protocol::PROTOCOL,
            number: core_protocol::number::QUERY,
        };
        let version = u64::from(chain_protocol::VERSION);
        let asked = u64::from(chain_protocol::PROTOCOL) << 32 | version;
        let Registers { rax, rcx, .. } = self.call(query, asked, 0)?;
        if (rax, rcx) != (Code::Success.rax(), version << 32 | version) {
            return Err(format!("the query of the chain protocol: {rax:#x}, {rcx:#x}"));
        }
        let nobodys = Call {
            protocol: 77,
            number: 0,
        };
        let Registers { rax, .. } = self.call(nobodys, 0, 0)?;
        if rax != Code::UnsupportedProtocol.rax() {
            return Err(format!("a call of no protocol: {rax:#x}"));
        }
        conformance::run(self)
    }
}

impl Carrier for System {
    fn carry(&mut self, caller: Caller, message: &[u8], files: &[Vec<u8>]) -> Result<Vec<u8>, String> {
        let [block, request, reply, lists] = [1, 2, 4, 6].map(|page| self.page(page));
        self.write(request, message)?;
        let mut content = self.page(16);
        let mut of_files = Vec::new();
        for (list, file) in (lists..).step_by(FRAME_BYTES).zip(files) {
            self.write(content, file)?;
            let end = content + file.len().next_multiple_of(FRAME_BYTES) as u64;
            self.write_words(list, (content..end).step_by(FRAME_BYTES).chain([0]))?;
            of_files.extend([file.len() as u64, list]);
            content = end;
        }
        let page = FRAME_BYTES as u64;
        let words = [
            message.len() as u64,
            request,
            request + page,
            u64::MAX,
            reply,
            reply + page,
            0,
            files.len() as u64,
        ];
        self.write_words(block, words.into_iter().chain(of_files))?;
        let exchange = Call {
            protocol: chain_protocol::PROTOCOL,
            number: chain_protocol::number::EXCHANGE,
        };
        let Registers { rax, .. } = self.call(exchange, block, u64::from(caller == Caller::Daemon))?;
        if rax != Code::Success.rax() {
            return Err(format!("{:?}", Code::of_rax(rax)));
        }
        let len_bytes = self.word(block + 24)? as usize;
        let mut bytes = Vec::new();
        for at in (reply..).step_by(8).take(len_bytes.div_ceil(8)) {
            bytes.extend(self.word(at)?.to_le_bytes());
        }
        bytes.truncate(len_bytes);
        Ok(bytes)
    }

    fn end(&mut self, caller: Caller) -> Result<(), String> {
        let end = Call {
            protocol: chain_protocol::PROTOCOL,
            number: chain_protocol::number::END,
        };
        let Registers { rax, .. } = self.call(end, 0, u64::from(caller == Caller::Daemon))?;
        match Code::of_rax(rax) {
            Some(Code::Success) => Ok(()),
            code => Err(format!("{code:?}")),
        }
    }

    fn program(&self) -> Vec<u8> {
        HOSTILE.to_vec()
    }
}

fn frame(number: u64) -> Result<Frame, String> {
    Frame::at(number * FRAME_BYTES as u64).ok_or_else(|| "a page at no address".into())
}
