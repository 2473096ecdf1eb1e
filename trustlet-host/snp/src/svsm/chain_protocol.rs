//! Protocol 10: monitor calls ([`hacher_monitor_core::calls`]) of loader and daemon, from the operating
//! system's memory.
//!
//! | call | name | RCX | RDX | answer |
//! |---|---|---|---|---|
//! | 0 | exchange | address of a block | 0 loader, 1 daemon | the reply lies in the block's pages |
//! | 1 | event | address of a block | must be 1 | as 0; the reply has 0 bytes if nothing has happened |
//!
//! A **block** lies within one page, at a multiple of 8. Its words:
//!
//! ```text
//! 0        bytes of the request; 0 for an event
//! 1, 2     its pages: it begins with the first, and has as many bytes as a message has at most
//! 3        answered with the bytes of the reply
//! 4, 5     pages for it, both
//! 6        a page for what comes beside the reply, or 0
//! 7        files beside the request, at most 4
//! 8 ..     for each: its bytes, and the address of a page with the list of its pages
//! ```
//!
//! A page of a list holds the addresses of 511 pages and then that of the next page of the list, or 0. In the
//! page of word 6 there is for each descriptor of the reply a word: how many pages it has; and then their
//! addresses. The operating system may read these from then on. What is no region has no pages.
//!
//! All of it has to be the operating system's memory, and is copied once.

use super::call::Registers;
use super::code::Code;
use crate::frame::{FRAME_BYTES, FRAME_WORDS, Frame};
use crate::ledger::PageLedger;
use crate::platform::{Board, Snp};
use crate::program;
use alloc::vec::Vec;
use hacher_monitor_core::calls::{DESCRIPTORS_MAX, MESSAGE_MAX_BYTES, ReplyHeader};
use hacher_monitor_core::core::{Caller, Core, ReplyDescriptor};

/// The protocol's number.
pub const PROTOCOL: u32 = 10;
/// The one version that there is.
pub const VERSION: u32 = 1;
/// The longest file: a program as long as it may be in memory.
pub const FILE_MAX_BYTES: u64 = program::MEMORY_MAX_BYTES;

/// Numbers of its calls.
pub mod number {
    /// One request and its reply.
    pub const EXCHANGE: u32 = 0;
    /// What has happened since.
    pub const EVENT: u32 = 1;
}

/// Words of a block, without those of files.
const BLOCK_WORDS: usize = 8;
/// Words of a block that has all files.
const BLOCK_MAX_WORDS: usize = BLOCK_WORDS + 2 * DESCRIPTORS_MAX;
/// Addresses in a page of a list, but for that of the next one.
const LIST_ENTRIES: usize = FRAME_WORDS - 1;

/// Serves a call of the protocol, and leaves the answer in the registers.
pub fn serve<B: Board>(core: &mut Core<Snp<B>>, number: u32, registers: &mut Registers) {
    let caller = match registers.rdx {
        0 => Ok(Caller::Loader),
        1 => Ok(Caller::Daemon),
        _ => Err(Code::InvalidParameter),
    };
    let served = caller.and_then(|caller| match number {
        number::EXCHANGE => exchange(core, caller, registers.rcx),
        number::EVENT if caller == Caller::Daemon => event(core, registers.rcx),
        number::EVENT => Err(Code::InvalidParameter),
        _ => Err(Code::UnsupportedCall),
    });
    registers.rax = match served {
        Ok(()) => Code::Success.rax(),
        Err(code) => code.rax(),
    };
}

fn exchange<B: Board>(core: &mut Core<Snp<B>>, caller: Caller, address: u64) -> Result<(), Code> {
    let (block, request, files) = {
        let (board, ledger) = core.platform_mut().memory();
        let memory = Memory { board, ledger };
        let block = Block::copy(&memory, address)?;
        let request = memory.bytes(&block.request_pages, block.request_bytes)?;
        let files = block.files.iter().map(|file| memory.file(*file));
        let files: Vec<Vec<u8>> = files.collect::<Result<_, _>>()?;
        (block, request, files)
    };
    let reply = core.call(caller, &request, files);
    let shown: Vec<Vec<Frame>> = reply.descriptors.iter().map(frames_of).collect();
    let bytes = reply.bytes;
    block.answer(core, &bytes, &shown)
}

fn event<B: Board>(core: &mut Core<Snp<B>>, address: u64) -> Result<(), Code> {
    let block = {
        let (board, ledger) = core.platform_mut().memory();
        Block::copy(&Memory { board, ledger }, address)?
    };
    let event = core.next_event().map(|event| event.encode());
    block.answer(core, event.as_deref().unwrap_or(&[]), &[])
}

fn frames_of<B: Board>(descriptor: &ReplyDescriptor<'_, Snp<B>>) -> Vec<Frame> {
    match descriptor {
        ReplyDescriptor::Region(region) => region.frames().to_vec(),
        ReplyDescriptor::Log(_)
        | ReplyDescriptor::File(_)
        | ReplyDescriptor::Doorbell(_)
        | ReplyDescriptor::Collector => Vec::new(),
    }
}

/// The operating system's memory, as far as it names it.
struct Memory<'a, B> {
    board: &'a B,
    ledger: &'a PageLedger,
}

/// A file: its bytes, and the first page of its list.
#[derive(Debug, Clone, Copy)]
struct File {
    len_bytes: u64,
    list: u64,
}

/// A block, copied and checked.
struct Block {
    frame: Frame,
    index: usize,
    request_bytes: usize,
    request_pages: Vec<Frame>,
    reply_pages: [Frame; 2],
    beside: Option<Frame>,
    files: Vec<File>,
}

impl<B: Board> Memory<'_, B> {
    /// A page of the operating system's.
    fn frame(&self, address: u64) -> Result<Frame, Code> {
        let frame = Frame::at(address).ok_or(Code::InvalidAddress)?;
        if self.ledger.is_of_system(frame) {
            Ok(frame)
        } else {
            Err(Code::InvalidAddress)
        }
    }

    fn bytes(&self, pages: &[Frame], len_bytes: usize) -> Result<Vec<u8>, Code> {
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(len_bytes).map_err(|_| Code::Busy)?;
        for (at, &page) in (0..len_bytes).step_by(FRAME_BYTES).zip(pages) {
            self.append(&mut bytes, page, (len_bytes - at).min(FRAME_BYTES));
        }
        Ok(bytes)
    }

    fn append(&self, bytes: &mut Vec<u8>, page: Frame, len_bytes: usize) {
        for index in 0..len_bytes.div_ceil(8) {
            let word = self.board.read(page, index).to_le_bytes();
            let count = (len_bytes - index * 8).min(8);
            bytes.extend_from_slice(word.get(..count).unwrap_or(&word));
        }
    }

    fn file(&self, file: File) -> Result<Vec<u8>, Code> {
        if file.len_bytes > FILE_MAX_BYTES {
            return Err(Code::InvalidParameter);
        }
        let len_bytes = usize::try_from(file.len_bytes).map_err(|_| Code::InvalidParameter)?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(len_bytes).map_err(|_| Code::Busy)?;
        let mut list = file.list;
        // Each page of the list brings some bytes, so this ends.
        while bytes.len() < len_bytes {
            let page = self.frame(list)?;
            let left = (len_bytes - bytes.len()).div_ceil(FRAME_BYTES);
            for index in 0..left.min(LIST_ENTRIES) {
                let content = self.frame(self.board.read(page, index))?;
                let count = (len_bytes - bytes.len()).min(FRAME_BYTES);
                self.append(&mut bytes, content, count);
            }
            list = self.board.read(page, LIST_ENTRIES);
        }
        Ok(bytes)
    }
}

impl Block {
    fn copy<B: Board>(memory: &Memory<'_, B>, address: u64) -> Result<Self, Code> {
        if !address.is_multiple_of(8) {
            return Err(Code::InvalidParameter);
        }
        let offset = address % FRAME_BYTES as u64;
        let frame = memory.frame(address - offset)?;
        let index = usize::try_from(offset / 8).map_err(|_| Code::InvalidAddress)?;
        let mut words = [0; BLOCK_MAX_WORDS];
        let room = FRAME_WORDS - index;
        for (at, word) in words.iter_mut().enumerate().take(room) {
            *word = memory.board.read(frame, index + at);
        }
        let [
            request_bytes,
            first,
            second,
            _,
            third,
            fourth,
            beside,
            count,
            files @ ..,
        ] = words;
        let request_bytes = usize::try_from(request_bytes).map_err(|_| Code::InvalidParameter)?;
        let count = usize::try_from(count).map_err(|_| Code::InvalidParameter)?;
        let is_within = count <= DESCRIPTORS_MAX && BLOCK_WORDS + 2 * count <= room;
        if request_bytes > MESSAGE_MAX_BYTES || !is_within {
            return Err(Code::InvalidParameter);
        }
        let pages = [first, second]
            .into_iter()
            .take(request_bytes.div_ceil(FRAME_BYTES));
        let (pairs, _) = files.as_chunks::<2>();
        let file = |&[len_bytes, list]: &[u64; 2]| File { len_bytes, list };
        Ok(Self {
            frame,
            index,
            request_bytes,
            request_pages: pages.map(|page| memory.frame(page)).collect::<Result<_, _>>()?,
            reply_pages: [memory.frame(third)?, memory.frame(fourth)?],
            beside: match beside {
                0 => None,
                address => Some(memory.frame(address)?),
            },
            files: pairs.iter().take(count).map(file).collect(),
        })
    }

    /// Writes the reply where the block says, and shows what comes beside it.
    fn answer<B: Board>(
        &self,
        core: &mut Core<Snp<B>>,
        reply: &[u8],
        shown: &[Vec<Frame>],
    ) -> Result<(), Code> {
        let (board, ledger) = core.platform_mut().memory();
        // No call of this protocol takes a page from the operating system, but one that was made meanwhile
        // might have.
        let pages = [self.frame]
            .into_iter()
            .chain(self.reply_pages)
            .chain(self.beside);
        if !pages.into_iter().all(|page| ledger.is_of_system(page)) {
            return Err(Code::InvalidAddress);
        }
        for (page, bytes) in self.reply_pages.into_iter().zip(reply.chunks(FRAME_BYTES)) {
            for (index, piece) in bytes.chunks(8).enumerate() {
                let mut word = [0; 8];
                word.iter_mut().zip(piece).for_each(|(to, from)| *to = *from);
                board.write(page, index, u64::from_le_bytes(word));
            }
        }
        if let Some(page) = self.beside {
            let mut words = Vec::new();
            for frames in shown {
                words.push(frames.len() as u64);
                for &frame in frames {
                    ledger.show(board, frame)?;
                    words.push(frame.address());
                }
            }
            for (index, word) in words.into_iter().take(FRAME_WORDS).enumerate() {
                board.write(page, index, word);
            }
        }
        // Last, so that whoever sees it finds the rest.
        board.write(self.frame, self.index + 3, reply.len() as u64);
        Ok(())
    }
}

const _: () = {
    assert!(MESSAGE_MAX_BYTES <= 2 * FRAME_BYTES);
    assert!(size_of::<ReplyHeader>() < FRAME_BYTES);
};

#[cfg(test)]
mod tests;
