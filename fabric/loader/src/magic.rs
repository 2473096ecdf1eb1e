//! What a file is that is no executable for this machine, by its first bytes, and what to do about it.

use std::fs::File;
use std::os::unix::fs::FileExt;

/// What a file is instead, and help.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Misfit {
    /// `it is ...`.
    pub(super) what: String,
    /// What to do.
    pub(super) help: &'static str,
    /// Whether an interpreter could run it.
    pub(super) is_script: bool,
}

/// As much as says what kind of file it is: the ELF header up to the machine (elf(5)), or a script's first
/// line.
const HEAD_BYTES: usize = 64;
const ELF_CLASS_AT: usize = 4;
const ELF_CLASS_64: u8 = 2;
const ELF_TYPE_AT: usize = 16;
/// `ET_EXEC` and `ET_DYN`.
const ELF_TYPES_RUN: [u16; 2] = [2, 3];
const ELF_MACHINE_AT: usize = 18;
/// Machines that people build for, by their number.
const MACHINES: [(u16, &str); 7] = [
    (3, "x86"),
    (8, "mips"),
    (21, "powerpc64"),
    (22, "s390x"),
    (62, "x86_64"),
    (183, "aarch64"),
    (243, "riscv64"),
];
/// The first bytes of other things that people name by mistake.
const OTHERS: [(&[u8], &str); 6] = [
    (b"\xcf\xfa\xed\xfe", "an executable for macOS"),
    (b"MZ", "an executable for Windows"),
    (b"\0asm", "a WebAssembly module"),
    (b"!<arch>\n", "a static library"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\x1f\x8b", "a gzip archive"),
];
const BUILD_HELP: &str = "a function is a 64-bit Linux executable that is built for this machine";

/// `None` for what may be an executable of this machine.
pub(super) fn misfit(file: &File) -> Option<Misfit> {
    let mut head = [0; HEAD_BYTES];
    let mut len = 0;
    while let Some(rest) = head.get_mut(len..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, len as u64) {
            Ok(0) => break,
            Ok(count) => len += count,
            // Whoever reads the rest of it says so.
            Err(_) => return None,
        }
    }
    head.get(..len).and_then(misfit_of)
}

fn misfit_of(head: &[u8]) -> Option<Misfit> {
    let is_script = head.starts_with(b"#!");
    let misfit = |what: String, help| {
        Some(Misfit {
            what,
            help,
            is_script,
        })
    };
    if head.is_empty() {
        return misfit("it is empty".to_owned(), BUILD_HELP);
    }
    if let Some(line) = head.strip_prefix(b"#!") {
        let line = line.split(|byte| *byte == b'\n').next().unwrap_or(line);
        let interpreter = String::from_utf8_lossy(line).trim().escape_debug().to_string();
        return misfit(
            format!("it is a script for `{interpreter}`"),
            "a trustlet has no interpreter and no other program in it: name a compiled executable that calls \
             `hacher::serve`",
        );
    }
    if !head.starts_with(b"\x7fELF") {
        let other = OTHERS.iter().find(|(magic, _)| head.starts_with(magic));
        let what = other.map_or("not an ELF file", |(_, what)| what);
        return misfit(format!("it is {what}"), BUILD_HELP);
    }
    if head.get(ELF_CLASS_AT) != Some(&ELF_CLASS_64) {
        return misfit("it is a 32-bit executable".to_owned(), BUILD_HELP);
    }
    let half = |at: usize| {
        head.get(at..)?
            .first_chunk()
            .map(|bytes| u16::from_le_bytes(*bytes))
    };
    let (Some(kind), Some(machine)) = (half(ELF_TYPE_AT), half(ELF_MACHINE_AT)) else {
        return misfit("it ends within its ELF header".to_owned(), BUILD_HELP);
    };
    let here = std::env::consts::ARCH;
    let name = MACHINES.iter().find(|(number, _)| *number == machine);
    if name.map(|(_, name)| *name) != Some(here) {
        let built = name.map_or_else(|| format!("machine {machine}"), |(_, name)| (*name).to_owned());
        return misfit(
            format!("it is built for {built}, and this machine is {here}"),
            BUILD_HELP,
        );
    }
    if !ELF_TYPES_RUN.contains(&kind) {
        return misfit("it is an object file or a core dump".to_owned(), BUILD_HELP);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_test_is_an_executable_of_this_machine() {
        let own = File::open("/proc/self/exe").unwrap();
        assert_eq!(misfit(&own), None);
    }

    #[test]
    fn what_is_no_executable_is_named() {
        let elf = |class: u8, kind: u8, machine: u8| {
            let mut head = b"\x7fELF".to_vec();
            head.extend([class, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, kind, 0, machine, 0]);
            head
        };
        let cases: [(Vec<u8>, &str); 9] = [
            (Vec::new(), "empty"),
            (b"#!/bin/sh\nexit\n".to_vec(), "a script for `/bin/sh`"),
            (b"#!\x1b[2J".to_vec(), r"a script for `\u{1b}[2J`"),
            (b"hello".to_vec(), "not an ELF file"),
            (b"MZ\x90".to_vec(), "Windows"),
            (b"\x7fELF\x02".to_vec(), "ends within"),
            (elf(1, 2, 3), "32-bit"),
            (elf(2, 2, 8), "built for mips"),
            (
                elf(2, 4, if cfg!(target_arch = "x86_64") { 62 } else { 183 }),
                "object file or a core dump",
            ),
        ];
        for (head, part) in cases {
            let found = misfit_of(&head).map(|misfit| misfit.what).unwrap_or_default();
            assert!(found.contains(part), "{found:?} lacks {part:?}");
        }
    }
}
