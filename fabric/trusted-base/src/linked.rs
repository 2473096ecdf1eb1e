//! The source lines that an executable has instructions of, from its debug information (DWARF,
//! `.debug_line`).
//!
//! A line counts once, however often it was copied into others, if at least one byte of a section that is
//! executed is attributed to it. Comments, declarations and what the linker has left out have no such byte.
//! Where the compiler says that an instruction is of no line, none is counted.

use crate::origin::{Crate, Origins};
use crate::path::joined;
use gimli::{AttributeValue, Dwarf, EndianSlice, LineProgramHeader, LittleEndian, Unit};
use object::{Object, ObjectSection, SectionFlags, elf};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;

type Slice<'a> = EndianSlice<'a, LittleEndian>;

/// Why lines cannot be counted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CountError {
    /// It is no executable that can be read.
    #[error("it is no ELF file that can be read: {0}")]
    Object(#[from] object::Error),
    /// Its debug information is broken.
    #[error("its debug information is broken: {0}")]
    Broken(#[from] gimli::Error),
    /// It has none.
    #[error("it has no debug information: `dev` builds and those of `--profile profiling` have some")]
    Missing,
    /// It is compressed.
    #[error(
        "its debug information is compressed: `objcopy --decompress-debug-sections` makes a copy that can be read"
    )]
    Compressed,
}

/// How many lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lines {
    /// All.
    pub all: u64,
    /// Those of assembly, of which each is one instruction, and which generators unroll.
    pub assembly: u64,
}

impl Lines {
    fn add(&mut self, path: &str) {
        self.all += 1;
        let is_assembly = [".S", ".s", ".asm"].iter().any(|end| path.ends_with(end));
        self.assembly += u64::from(is_assembly);
    }

    /// Those that are no assembly.
    #[must_use]
    pub const fn without_assembly(self) -> u64 {
        self.all.saturating_sub(self.assembly)
    }
}

impl core::ops::AddAssign for Lines {
    fn add_assign(&mut self, more: Self) {
        self.all += more.all;
        self.assembly += more.assembly;
    }
}

/// The source lines that an executable has code of.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct LinkedLines {
    /// How many of each crate.
    pub by_crate: BTreeMap<Crate, Lines>,
    paths: Vec<String>,
    lines: HashSet<(FileId, u64)>,
}

impl LinkedLines {
    /// Counts the lines of an ELF file.
    ///
    /// # Errors
    /// [`CountError`].
    pub fn count(file: &[u8]) -> Result<Self, CountError> {
        let object = object::File::parse(file)?;
        let mut code = Vec::new();
        for section in object.sections() {
            let SectionFlags::Elf { sh_flags, .. } = section.flags() else {
                continue;
            };
            if section.name().is_ok_and(|name| name.starts_with(".debug_line"))
                && sh_flags & u64::from(elf::SHF_COMPRESSED) != 0
            {
                return Err(CountError::Compressed);
            }
            if sh_flags & u64::from(elf::SHF_EXECINSTR) != 0 {
                code.push(section.address()..section.address().saturating_add(section.size()));
            }
        }
        let sections = Dwarf::load(|id| -> Result<Slice<'_>, CountError> {
            let found = object.section_by_name(id.name());
            let data = found.map_or(Ok(Cow::Borrowed(&[][..])), |section| {
                section.data().map(Cow::Borrowed)
            });
            match data? {
                Cow::Borrowed(data) => Ok(EndianSlice::new(data, LittleEndian)),
                Cow::Owned(_) => Err(CountError::Compressed),
            }
        })?;
        Counting::new(&sections, code).all()
    }

    /// All lines.
    #[must_use]
    pub fn total(&self) -> Lines {
        Self::union(&[self])
    }

    /// The lines of several executables together: what two of them have counts once.
    #[must_use]
    pub fn union(all: &[&Self]) -> Lines {
        let mut seen = HashSet::new();
        let mut lines = Lines::default();
        for executable in all {
            for &(file, line) in &executable.lines {
                let path = executable.paths.get(file).map_or("", String::as_str);
                if seen.insert((path, line)) {
                    lines.add(path);
                }
            }
        }
        lines
    }
}

/// A file of the sources, as a number.
type FileId = usize;

struct Counting<'d, 'a> {
    dwarf: &'d Dwarf<Slice<'a>>,
    code: Vec<Range<u64>>,
    paths: Vec<String>,
    ids: HashMap<String, FileId>,
    lines: HashSet<(FileId, u64)>,
    origins: Origins,
}

impl<'d, 'a> Counting<'d, 'a> {
    fn new(dwarf: &'d Dwarf<Slice<'a>>, code: Vec<Range<u64>>) -> Self {
        Self {
            dwarf,
            code,
            paths: Vec::new(),
            ids: HashMap::new(),
            lines: HashSet::new(),
            origins: Origins::default(),
        }
    }

    fn all(mut self) -> Result<LinkedLines, CountError> {
        let mut units = self.dwarf.units();
        while let Some(header) = units.next()? {
            let unit = self.dwarf.unit(header)?;
            let folder = unit
                .comp_dir
                .map_or(Cow::Borrowed(""), |path| path.to_string_lossy());
            if let Some(name) = unit.name {
                self.origins.learn(&folder, &name.to_string_lossy());
            }
            self.count_unit(&unit, &folder)?;
        }
        if self.lines.is_empty() {
            return Err(CountError::Missing);
        }
        let of_files: Vec<Crate> = self.paths.iter().map(|path| self.origins.of(path)).collect();
        let mut by_crate: BTreeMap<Crate, Lines> = BTreeMap::new();
        for (file, _) in &self.lines {
            if let (Some(origin), Some(path)) = (of_files.get(*file), self.paths.get(*file)) {
                by_crate.entry(origin.clone()).or_default().add(path);
            }
        }
        let Self { paths, lines, .. } = self;
        Ok(LinkedLines {
            by_crate,
            paths,
            lines,
        })
    }

    fn count_unit(&mut self, unit: &Unit<Slice<'a>>, folder: &str) -> Result<(), CountError> {
        let Some(program) = unit.line_program.clone() else {
            return Ok(());
        };
        let mut files: HashMap<u64, FileId> = HashMap::new();
        let mut rows = program.rows();
        // A sequence is what one section had. Those that the linker has left out begin at address 0, and
        // reach into what it has put elsewhere: so the first address decides.
        let mut is_linked = None;
        // A row holds up to the address of the next one of its sequence.
        let mut before: Option<(u64, u64, u64)> = None;
        while let Some((header, row)) = rows.next_row()? {
            let is_of_code = *is_linked.get_or_insert_with(|| self.is_code(row.address()));
            if let Some((address, index, line)) = before.take()
                && row.address() > address
                && is_of_code
            {
                let file = match files.get(&index) {
                    Some(&file) => file,
                    None => {
                        let file = self.file(unit, header, index, folder)?;
                        files.insert(index, file);
                        file
                    }
                };
                self.lines.insert((file, line));
            }
            if row.end_sequence() {
                is_linked = None;
            } else {
                before = row
                    .line()
                    .map(|line| (row.address(), row.file_index(), line.get()));
            }
        }
        Ok(())
    }

    fn is_code(&self, address: u64) -> bool {
        self.code.iter().any(|section| section.contains(&address))
    }

    fn file(
        &mut self,
        unit: &Unit<Slice<'a>>,
        header: &LineProgramHeader<Slice<'a>>,
        index: u64,
        folder: &str,
    ) -> Result<FileId, CountError> {
        let text = |value: AttributeValue<Slice<'a>>| -> Result<String, CountError> {
            Ok(self
                .dwarf
                .attr_string(unit, value)?
                .to_string_lossy()
                .into_owned())
        };
        let path = match header.file(index) {
            Some(file) => {
                let within = match file.directory(header) {
                    Some(within) => text(within)?,
                    None => String::new(),
                };
                joined(&[folder, &within, &text(file.path_name())?])
            }
            None => String::new(),
        };
        let next = self.paths.len();
        let id = *self.ids.entry(path.clone()).or_insert(next);
        if id == next {
            self.paths.push(path);
        }
        Ok(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_executable_is_refused_with_its_reason() {
        assert!(matches!(
            LinkedLines::count(b"#!/bin/sh"),
            Err(CountError::Object(_))
        ));
        assert!(LinkedLines::count(b"").is_err());
    }

    /// Tests are built with debug information.
    #[test]
    fn the_lines_of_this_test_are_counted_and_twice_the_same() {
        let file = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let counted = LinkedLines::count(&file).unwrap();
        let of = |is_meant: fn(&Crate) -> bool| {
            let found = counted.by_crate.iter().find(|(found, _)| is_meant(found));
            found.map_or(0, |(_, lines)| lines.all)
        };
        let (own, core) = (
            of(|found| found.is_in("fabric/trusted-base")),
            of(|found| found.name == "core"),
        );
        assert!(own > 100 && core > 500, "{:?}", counted.by_crate);
        assert_eq!(counted, LinkedLines::count(&file).unwrap());
        assert_eq!(LinkedLines::union(&[&counted, &counted]), counted.total());
    }
}
