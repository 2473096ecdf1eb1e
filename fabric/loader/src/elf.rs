//! What an ELF file says of itself that decides what it links: pure, over bytes that anybody may have made.

use object::read::elf::{Dyn, FileHeader, ProgramHeader};
use object::{Endianness, ReadRef, elf};

/// Longest dynamic section, name of an interpreter, or table of names.
const PIECE_MAX_BYTES: u64 = 16 * 1024 * 1024;
/// Most program headers: the kernel executes no file with more than 64 KiB of them.
const PROGRAM_HEADERS_MAX: u16 = 1170;
/// Most libraries that one file may name.
const NEEDED_MAX: usize = 256;
/// Longest name or list of folders.
const STRING_MAX_BYTES: usize = 16 * 1024;

/// What a file links, as it says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Links {
    /// Whether it has a place to start at, as programs do.
    pub(super) has_entry: bool,
    /// `PT_INTERP`.
    pub(super) interpreter: Option<String>,
    /// `DT_NEEDED`, in order.
    pub(super) needed: Vec<String>,
    /// `DT_SONAME`.
    pub(super) soname: Option<String>,
    /// `DT_RPATH`, not expanded.
    pub(super) rpath: Option<String>,
    /// `DT_RUNPATH`, not expanded.
    pub(super) runpath: Option<String>,
    /// `DF_1_NODEFLIB`: not to be looked for in the loader's own folders.
    pub(super) no_default_folders: bool,
    /// A filter: `DT_FILTER`.
    pub(super) is_filter: bool,
}

/// Why a file is of no use here.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    /// It is for another machine, or of another word size: the dynamic loader looks further.
    Foreign(String),
    /// It is no ELF file, or damaged.
    Malformed(String),
}

impl Unfit {
    pub(super) fn into_reason(self) -> String {
        match self {
            Self::Foreign(reason) | Self::Malformed(reason) => reason,
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the signature of `map_err`")]
fn malformed(error: impl ToString) -> Unfit {
    Unfit::Malformed(error.to_string())
}

/// Refuses a piece of a file that is longer than any linker makes it: what is read is kept in memory.
fn bounded(len_bytes: u64) -> Result<(), Unfit> {
    if len_bytes > PIECE_MAX_BYTES {
        return Err(Unfit::Malformed(format!(
            "a part of {len_bytes} bytes, at most {PIECE_MAX_BYTES} are expected"
        )));
    }
    Ok(())
}

/// Reads what matters of an executable or a library.
///
/// # Errors
/// [`Unfit`]; no bytes make it panic.
pub(super) fn parse<'a>(bytes: impl ReadRef<'a>) -> Result<Links, Unfit> {
    let ident = bytes
        .read_bytes_at(0, 6)
        .map_err(|()| malformed("it is too short"))?;
    if ident.get(..4) != Some(&elf::ELFMAG) {
        return Err(malformed("it does not begin as an ELF file"));
    }
    if ident.get(4) != Some(&elf::ELFCLASS64) {
        return Err(Unfit::Foreign("it is not of 64 bits".to_owned()));
    }
    let header = elf::FileHeader64::<Endianness>::parse(bytes).map_err(malformed)?;
    let endian = header.endian().map_err(malformed)?;
    let machine = header.e_machine.get(endian);
    let expected = if cfg!(target_arch = "aarch64") {
        elf::EM_AARCH64
    } else {
        elf::EM_X86_64
    };
    if machine != expected || endian != Endianness::Little {
        return Err(Unfit::Foreign(format!(
            "it is built for machine {machine}, this one is {expected}"
        )));
    }
    let mut links = Links {
        has_entry: header.e_entry.get(endian) != 0,
        ..Links::default()
    };
    // Before they are read: a number that does not fit says that it stands elsewhere, and is any.
    if header.e_phnum.get(endian) > PROGRAM_HEADERS_MAX {
        return Err(malformed(format!(
            "it has more than {PROGRAM_HEADERS_MAX} program headers"
        )));
    }
    let segments = header.program_headers(endian, bytes).map_err(malformed)?;
    let first = |kind| {
        let segment = segments.iter().find(|segment| segment.p_type(endian) == kind)?;
        Some(bounded(segment.p_filesz(endian)).map(|()| segment))
    };
    if let Some(segment) = first(elf::PT_INTERP).transpose()? {
        let interpreter = segment.interpreter(endian, bytes).map_err(malformed)?;
        links.interpreter = Some(text(interpreter.unwrap_or_default())?);
    }
    let dynamic = match first(elf::PT_DYNAMIC).transpose()? {
        Some(segment) => segment.dynamic(endian, bytes).map_err(malformed)?,
        None => None,
    };
    let Some(dynamic) = dynamic else { return Ok(links) };
    // The loader stops at the first entry that says so.
    let entries = || {
        dynamic
            .iter()
            .take_while(|entry| entry.d_tag(endian) != elf::DT_NULL)
    };
    let value = |tag: i64| {
        let mut found = entries().filter(|entry| entry.d_tag(endian) == tag);
        found.next().map(|entry| entry.d_val(endian))
    };
    let (Some(at), Some(len)) = (value(elf::DT_STRTAB), value(elf::DT_STRSZ)) else {
        return Ok(links);
    };
    bounded(len)?;
    let strings = segments
        .iter()
        .find_map(|segment| segment.data_range(endian, bytes, at, len).ok().flatten())
        .ok_or_else(|| malformed("its string table lies outside the file"))?;
    for entry in entries() {
        let string = || string(strings, entry.d_val(endian));
        match entry.d_tag(endian) {
            elf::DT_NEEDED if links.needed.len() >= NEEDED_MAX => {
                return Err(malformed(format!("it names more than {NEEDED_MAX} libraries")));
            }
            elf::DT_NEEDED => links.needed.push(string()?),
            elf::DT_SONAME => links.soname = Some(string()?),
            elf::DT_RPATH => links.rpath = Some(string()?),
            elf::DT_RUNPATH => links.runpath = Some(string()?),
            elf::DT_FILTER => links.is_filter = true,
            elf::DT_FLAGS_1 => {
                links.no_default_folders = entry.d_val(endian) & u64::from(elf::DF_1_NODEFLIB) != 0;
            }
            _ => {}
        }
    }
    Ok(links)
}

/// The string at `offset` of a table of strings.
fn string(strings: &[u8], offset: u64) -> Result<String, Unfit> {
    let rest = usize::try_from(offset)
        .ok()
        .and_then(|offset| strings.get(offset..));
    let rest = rest.ok_or_else(|| malformed("a name lies outside its string table"))?;
    let end = rest.iter().take(STRING_MAX_BYTES).position(|byte| *byte == 0);
    let end = end.ok_or_else(|| malformed("a name has no end"))?;
    text(rest.get(..end).unwrap_or_default())
}

fn text(bytes: &[u8]) -> Result<String, Unfit> {
    if bytes.len() > STRING_MAX_BYTES {
        return Err(malformed("a name is too long"));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| malformed("a name is not UTF-8"))?;
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_bytes_there_are_nothing_breaks() {
        let this = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let mut head = this.get(..4096).unwrap().to_vec();
        assert!(parse(&*this).unwrap().interpreter.is_some());
        // Each byte of the headers in turn, as the largest and the smallest that it can be.
        for at in 0..1024 {
            for value in [0, 0x7f, 0xff] {
                let kept = std::mem::replace(head.get_mut(at).unwrap(), value);
                let _ = parse(&*head);
                *head.get_mut(at).unwrap() = kept;
            }
        }
        for len in 0..256 {
            let _ = parse(this.get(..len).unwrap());
        }
    }

    #[test]
    fn more_program_headers_than_the_kernel_takes_are_refused_unread() {
        let mut head = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        for count in [PROGRAM_HEADERS_MAX + 1, u16::MAX] {
            head.get_mut(56..58)
                .unwrap()
                .copy_from_slice(&count.to_le_bytes());
            let refused = parse(&*head).unwrap_err().into_reason();
            assert!(refused.contains("program headers"), "{refused}");
        }
    }

    #[test]
    fn other_machines_are_foreign_and_texts_are_malformed() {
        let mut head = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        *head.get_mut(18).unwrap() = 3;
        assert!(matches!(parse(&*head), Err(Unfit::Foreign(_))));
        *head.get_mut(4).unwrap() = 1;
        assert!(matches!(parse(&*head), Err(Unfit::Foreign(_))));
        assert!(matches!(parse(&b"#!/bin/sh\n"[..]), Err(Unfit::Malformed(_))));
    }
}
