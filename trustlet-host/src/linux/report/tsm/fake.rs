//! The kernel's interface, as tests see it.

use super::{Entry, Tsm};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

/// The name of the only entry, which is there already.
const ENTRY: &str = "entry";

impl Tsm {
    /// One whose questions all use the entry `entry` of a folder.
    pub(in super::super) fn with_entry_of(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            make: |root| Ok(Entry::lock(root.join(ENTRY)).unwrap()),
        }
    }
}

/// A folder as configfs-tsm lays it out, with a thread in the kernel's place: what the kernel makes when
/// it is read is a pipe, so a reader waits for it.
pub(in super::super) struct FakeKernel {
    folder: tempfile::TempDir,
    entry: PathBuf,
}

impl FakeKernel {
    pub(in super::super) fn new(provider: &str, has_svsm: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let entry = folder.path().join(ENTRY);
        fs::create_dir(&entry).unwrap();
        let write = |name: &str, text: &str| fs::write(entry.join(name), text).unwrap();
        write("provider", &format!("{provider}\n"));
        write("generation", "41\n");
        write("privlevel_floor", "2\n");
        write("privlevel", "");
        let mut pipes = vec!["inblob", "outblob", "auxblob"];
        if has_svsm {
            write("service_provider", "");
            pipes.push("manifestblob");
        }
        for pipe in pipes {
            let mode = Mode::RUSR | Mode::WUSR;
            mknodat(CWD, entry.join(pipe), FileType::Fifo, mode, 0).unwrap();
        }
        Self { folder, entry }
    }

    pub(in super::super) fn entry(&self) -> &Path {
        &self.entry
    }

    pub(in super::super) fn tsm(&self) -> Tsm {
        Tsm::with_entry_of(self.folder.path())
    }

    /// Answers one question; what it was over.
    pub(in super::super) fn answers(
        &self,
        answers: Vec<(&'static str, Vec<u8>)>,
        generation: u32,
    ) -> JoinHandle<Vec<u8>> {
        let entry = self.entry.clone();
        std::thread::spawn(move || {
            let asked = fs::read(entry.join("inblob")).unwrap();
            fs::write(entry.join("generation"), format!("{generation}\n")).unwrap();
            for (name, bytes) in answers {
                // A reader that has had enough closes it before all is written.
                let _ = fs::write(entry.join(name), bytes);
            }
            asked
        })
    }

    pub(in super::super) fn said(&self, name: &str) -> String {
        fs::read_to_string(self.entry.join(name)).unwrap()
    }
}
