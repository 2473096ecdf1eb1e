//! The program of a trustlet: a static ELF executable for x86-64 (System V ABI, chapter 5 of the generic
//! part).
//!
//! Whatever is not needed is refused: an interpreter, libraries, relocations, storage of threads, segments
//! that are writable and executable, that share a page, or lie where other things do.

use crate::frame::FRAME_BYTES;
use crate::space::Access;
use alloc::vec::Vec;
use zerocopy::{FromBytes, Immutable, KnownLayout};

/// The longest program, in memory.
pub const MEMORY_MAX_BYTES: u64 = 64 << 20;
/// Programs lie below this address.
pub const ADDRESS_END: u64 = 1 << 40;
/// The most segments.
const SEGMENTS_MAX: u16 = 16;

const FRAME: u64 = FRAME_BYTES as u64;

#[derive(FromBytes, Immutable, KnownLayout)]
#[repr(C)]
struct FileHeader {
    magic: [u8; 4],
    class: u8,
    data: u8,
    version: u8,
    abi: [u8; 9],
    kind: u16,
    machine: u16,
    file_version: u32,
    entry: u64,
    headers_at: u64,
    sections_at: u64,
    flags: u32,
    header_bytes: u16,
    segment_bytes: u16,
    segments: u16,
    section_bytes: u16,
    sections: u16,
    names: u16,
}

#[derive(FromBytes, Immutable, KnownLayout)]
#[repr(C)]
struct SegmentHeader {
    kind: u32,
    flags: u32,
    at: u64,
    address: u64,
    physical: u64,
    file_bytes: u64,
    memory_bytes: u64,
    align: u64,
}

mod elf {
    pub(super) const CLASS_64: u8 = 2;
    pub(super) const LITTLE_ENDIAN: u8 = 1;
    pub(super) const EXECUTABLE: u16 = 2;
    pub(super) const X86_64: u16 = 62;
    pub(super) const LOAD: u32 = 1;
    pub(super) const DYNAMIC: u32 = 2;
    pub(super) const INTERPRETER: u32 = 3;
    pub(super) const THREADS: u32 = 7;
    pub(super) const STACK: u32 = 0x6474_e551;
    pub(super) const EXECUTE: u32 = 1;
    pub(super) const WRITE: u32 = 2;
}

/// Why a file is no program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAProgram {
    /// It is not an executable of this machine.
    #[error("it is no static executable for x86-64 (ELF64, ET_EXEC)")]
    Form,
    /// It asks for a dynamic loader, or storage of threads.
    #[error("it is not self-contained: no interpreter, dynamic section or thread-local storage is loaded")]
    NotStatic,
    /// A segment is wrong.
    #[error(
        "a segment is longer than its file or its memory, shares a page with another, or is out of place"
    )]
    Segment,
    /// A segment, or the stack, is writable and executable.
    #[error("a segment or the stack is writable and executable")]
    WritableCode,
    /// It does not begin in code.
    #[error("its entry is not in an executable segment")]
    Entry,
    /// It is too long.
    #[error("it takes more than {MEMORY_MAX_BYTES} bytes of memory")]
    TooLong,
}

/// A segment of whole pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment<'a> {
    /// Where its first page is.
    pub address: u64,
    /// How many bytes of that page lie before what the file has.
    pub lead: usize,
    /// What the file has; zeros follow.
    pub bytes: &'a [u8],
    /// How many pages.
    pub pages: usize,
    /// What may be done with it.
    pub access: Access,
}

/// A program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program<'a> {
    /// Where it begins.
    pub entry: u64,
    /// In ascending order.
    pub segments: Vec<Segment<'a>>,
}

impl<'a> Program<'a> {
    /// Reads a file.
    ///
    /// # Errors
    /// [`NotAProgram`].
    pub fn read(file: &'a [u8]) -> Result<Self, NotAProgram> {
        let (header, _) = FileHeader::read_from_prefix(file).map_err(|_| NotAProgram::Form)?;
        let is_ours = header.magic == *b"\x7fELF"
            && (header.class, header.data, header.version) == (elf::CLASS_64, elf::LITTLE_ENDIAN, 1)
            && (header.kind, header.machine, header.file_version) == (elf::EXECUTABLE, elf::X86_64, 1)
            && usize::from(header.segment_bytes) == size_of::<SegmentHeader>()
            && (1..=SEGMENTS_MAX).contains(&header.segments);
        if !is_ours {
            return Err(NotAProgram::Form);
        }
        let mut segments = Vec::new();
        for number in 0..u64::from(header.segments) {
            let at = header
                .headers_at
                .checked_add(number * size_of::<SegmentHeader>() as u64);
            let bytes = slice(
                file,
                at.ok_or(NotAProgram::Form)?,
                size_of::<SegmentHeader>() as u64,
            );
            let segment = SegmentHeader::read_from_bytes(bytes.ok_or(NotAProgram::Form)?);
            let segment = segment.map_err(|_| NotAProgram::Form)?;
            match segment.kind {
                elf::LOAD if segment.memory_bytes == 0 => {}
                elf::LOAD => segments.push(Segment::read(file, &segment)?),
                elf::DYNAMIC | elf::INTERPRETER | elf::THREADS => return Err(NotAProgram::NotStatic),
                elf::STACK if segment.flags & elf::EXECUTE != 0 => return Err(NotAProgram::WritableCode),
                _ => {}
            }
        }
        let program = Self {
            entry: header.entry,
            segments,
        };
        program.check()?;
        Ok(program)
    }

    fn check(&self) -> Result<(), NotAProgram> {
        let mut end = 0;
        let mut pages = 0;
        for segment in &self.segments {
            if segment.address < end {
                return Err(NotAProgram::Segment);
            }
            end = segment.end();
            pages += segment.pages as u64;
        }
        if pages * FRAME > MEMORY_MAX_BYTES {
            return Err(NotAProgram::TooLong);
        }
        let mut code = self
            .segments
            .iter()
            .filter(|segment| segment.access == Access::Execute);
        if code.any(|segment| (segment.address..segment.end()).contains(&self.entry)) {
            Ok(())
        } else {
            Err(NotAProgram::Entry)
        }
    }
}

impl<'a> Segment<'a> {
    fn read(file: &'a [u8], header: &SegmentHeader) -> Result<Self, NotAProgram> {
        let address = header.address & !(FRAME - 1);
        let end = header.address.checked_add(header.memory_bytes);
        let end = end
            .filter(|&end| end <= ADDRESS_END)
            .ok_or(NotAProgram::Segment)?;
        if header.memory_bytes > MEMORY_MAX_BYTES {
            return Err(NotAProgram::TooLong);
        }
        // Null pointers lead to the first page.
        if header.file_bytes > header.memory_bytes || address == 0 {
            return Err(NotAProgram::Segment);
        }
        let bytes = slice(file, header.at, header.file_bytes).ok_or(NotAProgram::Segment)?;
        let access = match (header.flags & elf::WRITE != 0, header.flags & elf::EXECUTE != 0) {
            (true, true) => return Err(NotAProgram::WritableCode),
            (true, false) => Access::Write,
            (false, true) => Access::Execute,
            (false, false) => Access::Read,
        };
        let pages = (end - address).div_ceil(FRAME);
        Ok(Self {
            address,
            lead: usize::try_from(header.address - address).map_err(|_| NotAProgram::Segment)?,
            bytes,
            pages: usize::try_from(pages).map_err(|_| NotAProgram::TooLong)?,
            access,
        })
    }

    /// Where the page after its last one is.
    const fn end(&self) -> u64 {
        self.address + self.pages as u64 * FRAME
    }

    /// The bytes of one of its pages, and where in it they begin; zeros are around them.
    #[must_use]
    pub fn page(&self, page: usize) -> (usize, &'a [u8]) {
        let begin = page * FRAME_BYTES;
        let from = begin.saturating_sub(self.lead).min(self.bytes.len());
        let to = (begin + FRAME_BYTES)
            .saturating_sub(self.lead)
            .min(self.bytes.len());
        let lead = if page == 0 { self.lead } else { 0 };
        (lead, self.bytes.get(from..to).unwrap_or(&[]))
    }
}

fn slice(file: &[u8], at: u64, len_bytes: u64) -> Option<&[u8]> {
    let at = usize::try_from(at).ok()?;
    let end = at.checked_add(usize::try_from(len_bytes).ok()?)?;
    file.get(at..end)
}

#[cfg(test)]
pub(crate) mod tests;
