//! Protocol 10: monitor calls ([`hacher_monitor_core::calls`]) of loader and daemon, from the operating
//! system's memory.
//!
//! | call | name | RCX | RDX | answer |
//! |---|---|---|---|---|
//! | 0 | exchange | address of a block | 0 loader, 1 daemon | the reply lies in the block's pages |
//! | 1 | event | address of a block | must be 1 | as 0; the reply has 0 bytes if nothing has happened |
//! | 2 | end | must be 0 | 0 loader, 1 daemon | the loader has defined all, or the daemon is gone |
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
//! addresses. The operating system may read these from then on. What is no region has no pages. A region that
//! cannot be shown, or has no room there, has [`NOT_SHOWN`] in place of the number, and none of its pages is
//! shown: the reply arrives all the same, because its call was made.
//!
//! All of it has to be the operating system's memory, and is copied once. Files are looked at last, and only
//! if the request gets as far as a call that takes one.

use super::call::Registers;
use super::code::Code;
use crate::frame::{FRAME_BYTES, FRAME_WORDS, Frame};
use crate::ledger::PageLedger;
use crate::platform::{Board, Snp};
use crate::program;
use alloc::vec::Vec;
use hacher_monitor_core::calls::{DESCRIPTORS_MAX, MESSAGE_MAX_BYTES, ReplyHeader};
use hacher_monitor_core::core::{Caller, Core, LoadError, ReplyDescriptor};

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
    /// The caller's end.
    pub const END: u32 = 2;
}

/// In place of the number of a region's pages: none is shown.
pub const NOT_SHOWN: u64 = u64::MAX;

/// Result codes of this protocol.
pub mod code {
    use crate::svsm::code::Code;

    /// The monitor's heap has no room for the request or its file. Not [`Code::Busy`], which callers repeat
    /// for ever.
    pub const NO_ROOM: Code = Code::Protocol(0x20);
    /// The loader ends, and there is no chain.
    pub const NO_CHAIN: Code = Code::Protocol(0x21);
    /// The loader ends, and a chain is not sealed.
    pub const CHAIN_NOT_SEALED: Code = Code::Protocol(0x22);
    /// The loader ends, and a secret was not released by its key broker.
    pub const SECRET_NOT_RELEASED: Code = Code::Protocol(0x23);
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
        number::END if registers.rcx == 0 => end(core, caller),
        number::END => Err(Code::InvalidParameter),
        _ => Err(Code::UnsupportedCall),
    });
    registers.rax = match served {
        Ok(()) => Code::Success.rax(),
        Err(code) => code.rax(),
    };
}

fn exchange<B: Board>(core: &mut Core<Snp<B>>, caller: Caller, address: u64) -> Result<(), Code> {
    let (block, request) = {
        let (board, ledger) = core.platform_mut().memory();
        let memory = Memory { board, ledger };
        let block = Block::copy(&memory, address)?;
        let request = memory.bytes(&block.request_pages, block.request_bytes)?;
        (block, request)
    };
    // The others are counted, and not looked at.
    let mut files = alloc::vec![Vec::new(); block.files.len()];
    if core.reads_file(caller, &request, files.len())
        && let (Some(file), Some(&named)) = (files.first_mut(), block.files.first())
    {
        let (board, ledger) = core.platform_mut().memory();
        *file = Memory { board, ledger }.file(named)?;
    }
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

/// What a socket tells by closing.
fn end<B: Board>(core: &mut Core<Snp<B>>, caller: Caller) -> Result<(), Code> {
    match caller {
        Caller::Loader => core.finish_loading().map_err(|error| match error {
            LoadError::NoChain => code::NO_CHAIN,
            LoadError::Open(_) => code::CHAIN_NOT_SEALED,
            LoadError::Secret(_) => code::SECRET_NOT_RELEASED,
            _ => Code::InvalidRequest,
        }),
        Caller::Daemon => {
            core.daemon_died();
            Ok(())
        }
    }
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
        bytes.try_reserve_exact(len_bytes).map_err(|_| code::NO_ROOM)?;
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
        let len_bytes = usize::try_from(file.len_bytes).map_err(|_| Code::InvalidParameter)?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(len_bytes).map_err(|_| code::NO_ROOM)?;
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
        let file = |&[len_bytes, list]: &[u64; 2]| match len_bytes {
            ..=FILE_MAX_BYTES => Ok(File { len_bytes, list }),
            _ => Err(Code::InvalidParameter),
        };
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
            files: pairs.iter().take(count).map(file).collect::<Result<_, _>>()?,
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
        // They were when the block was copied, and no call of this protocol takes a page from the operating
        // system: whatever comes to do so must not have the monitor write there.
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
            for (index, word) in show(board, ledger, shown).into_iter().enumerate() {
                board.write(page, index, word);
            }
        }
        // Last, so that whoever sees it finds the rest.
        board.write(self.frame, self.index + 3, reply.len() as u64);
        Ok(())
    }
}

/// Shows regions, each as a whole or not at all; the words that say which.
fn show<B: Board>(board: &mut B, ledger: &mut PageLedger, regions: &[Vec<Frame>]) -> Vec<u64> {
    let mut words = Vec::new();
    for (at, frames) in regions.iter().enumerate() {
        // Each descriptor behind this one has its word.
        let room = FRAME_WORDS.saturating_sub(words.len() + regions.len() - at);
        if frames.len() <= room && ledger.show_all(board, frames).is_ok() {
            words.push(frames.len() as u64);
            words.extend(frames.iter().map(|frame| frame.address()));
        } else {
            words.push(NOT_SHOWN);
        }
    }
    words.truncate(FRAME_WORDS);
    words
}

const _: () = {
    assert!(MESSAGE_MAX_BYTES <= 2 * FRAME_BYTES);
    assert!(size_of::<ReplyHeader>() < FRAME_BYTES);
};

#[cfg(test)]
mod tests;
