//! Reports through configfs-tsm (Documentation/ABI/testing/configfs-tsm-report): a folder is made, what to
//! report over is written into it, and the report is read from it.
//!
//! Each question has an entry of its own, of a name that nobody can foresee and that is locked (flock(2)), so
//! nobody disturbs it as a rule; that nobody did is checked by the count of writes that the kernel keeps. The
//! entry of a process that was killed is locked by nobody, and the next monitor removes it.

use super::error::ReportError;
use crate::platform::PlatformReport;
use hacher_monitor_core::evidence::envelope::{CERTIFICATES_MAX_BYTES, SERVICE_MAX_BYTES, SNP_REPORT_BYTES};
use hacher_monitor_core::evidence::{Kind, REPORT_DATA_BYTES};
use hacher_monitor_core::hex::hex;
use ring::rand::{SecureRandom, SystemRandom};
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// Where Linux has it.
pub(super) const ROOT: &str = "/sys/kernel/config/tsm/report";
/// Who makes reports of SEV-SNP.
pub(super) const PROVIDER: &str = "sev_guest";
/// Longest text of an attribute.
const TEXT_MAX_BYTES: usize = 128;
/// How often a question that somebody disturbed is asked.
const ATTEMPTS_MAX: usize = 3;
/// How the names of entries begin, and how many bytes of chance follow.
const NAME: &str = "hacher-";
const NAME_RANDOM_BYTES: usize = 16;
/// How many entries are looked at for those that were left behind. One is left by a process that was killed
/// while it asked.
const SWEPT_MAX: usize = 4096;

/// The folder of all entries.
#[derive(Debug, Clone)]
pub(super) struct Tsm {
    root: PathBuf,
    /// [`Entry::make`], but in tests, where a folder that is made has no attributes.
    make: fn(&Path) -> Result<Entry, ReportError>,
}

impl Tsm {
    pub(super) fn at(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            make: Entry::make,
        }
    }

    /// Whether this machine has it.
    pub(super) fn is_there(&self) -> bool {
        self.root.is_dir()
    }

    /// Removes entries of processes that ended while they asked.
    pub(super) fn sweep(&self) {
        let Ok(entries) = fs::read_dir(&self.root) else {
            return;
        };
        for entry in entries.take(SWEPT_MAX).flatten() {
            let is_ours = entry.file_name().as_encoded_bytes().starts_with(NAME.as_bytes());
            if is_ours && let Some(left) = Entry::lock(entry.path()) {
                drop(left);
            }
        }
    }

    /// Who makes reports on this machine.
    pub(super) fn provider(&self) -> Result<String, ReportError> {
        (self.make)(&self.root)?.text("provider", "reading who makes reports")
    }

    /// A report over `data`.
    pub(super) fn report(&self, data: &[u8; REPORT_DATA_BYTES]) -> Result<PlatformReport, ReportError> {
        let entry = (self.make)(&self.root)?;
        let provider = entry.text("provider", "reading who makes reports")?;
        if provider != PROVIDER {
            return Err(ReportError::Provider(provider));
        }
        let mut last = ReportError::Disturbed;
        for _ in 0..ATTEMPTS_MAX {
            match entry.report(data) {
                Err(ReportError::Disturbed) => last = ReportError::Disturbed,
                other => return other,
            }
        }
        Err(last)
    }
}

/// A folder of one question; gone when dropped.
struct Entry {
    path: PathBuf,
    /// Says that somebody is still there who uses it.
    _lock: File,
}

impl Entry {
    fn make(root: &Path) -> Result<Self, ReportError> {
        let failed = ReportError::os("making an entry for a report");
        for _ in 0..ATTEMPTS_MAX {
            let mut random = [0; NAME_RANDOM_BYTES];
            SystemRandom::new()
                .fill(&mut random)
                .map_err(|_| failed(io::Error::other("there is no randomness")))?;
            let path = root.join(format!("{NAME}{}", hex(&random)));
            match fs::create_dir(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(failed(error)),
            }
            if let Some(entry) = Self::lock(path) {
                return Ok(entry);
            }
            // Another monitor has just taken it for one that was left behind.
        }
        Err(ReportError::Disturbed)
    }

    /// Takes over an entry that nobody else uses.
    fn lock(path: PathBuf) -> Option<Self> {
        let lock = File::open(&path).ok()?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).ok()?;
        // It may have been removed between the two.
        path.is_dir().then_some(Self { path, _lock: lock })
    }

    fn report(&self, data: &[u8; REPORT_DATA_BYTES]) -> Result<PlatformReport, ReportError> {
        let before = self.generation()?;
        // Only where there is an SVSM.
        let asks_svsm = self.path.join("service_provider").exists();
        let mut writes = 0;
        // The highest level that this guest may ask for.
        if let Ok(level) = self.text("privlevel_floor", "reading the privilege level") {
            self.write("privlevel", level.as_bytes())?;
            writes += 1;
        }
        if asks_svsm {
            self.write("service_provider", b"svsm")?;
            writes += 1;
        }
        self.write("inblob", data)?;
        writes += 1;
        let report = self.read("outblob", "reading a report", SNP_REPORT_BYTES)?;
        if report.len() != SNP_REPORT_BYTES {
            return Err(ReportError::Malformed("it has not the length of one of SEV-SNP"));
        }
        let certificates = self.optional("auxblob", "reading certificates", CERTIFICATES_MAX_BYTES)?;
        let service = match asks_svsm {
            true => self.read("manifestblob", "reading the SVSM's manifest", SERVICE_MAX_BYTES)?,
            false => Vec::new(),
        };
        if self.generation()? != before.wrapping_add(writes) {
            return Err(ReportError::Disturbed);
        }
        Ok(PlatformReport {
            kind: if asks_svsm { Kind::SnpSvsm } else { Kind::Snp },
            report,
            certificates,
            service,
        })
    }

    /// How many writes the entry has seen.
    fn generation(&self) -> Result<u32, ReportError> {
        let text = self.text("generation", "reading an entry's generation")?;
        text.parse()
            .map_err(|_| ReportError::Malformed("its generation is no number"))
    }

    fn text(&self, attribute: &str, what: &'static str) -> Result<String, ReportError> {
        let bytes = self.read(attribute, what, TEXT_MAX_BYTES)?;
        let text = String::from_utf8(bytes).map_err(|_| ReportError::Malformed("an attribute is no text"))?;
        Ok(text.trim_end().to_owned())
    }

    /// Writes all of it at once, as configfs wants it.
    fn write(&self, attribute: &str, bytes: &[u8]) -> Result<(), ReportError> {
        let refused = ReportError::os("asking for a report");
        let mut file = OpenOptions::new()
            .write(true)
            .open(self.path.join(attribute))
            .map_err(&refused)?;
        match file.write(bytes) {
            Ok(written) if written == bytes.len() => Ok(()),
            Ok(_) => Err(refused(io::ErrorKind::WriteZero.into())),
            Err(error) => Err(refused(error)),
        }
    }

    fn read(&self, attribute: &str, what: &'static str, max_bytes: usize) -> Result<Vec<u8>, ReportError> {
        let file = File::open(self.path.join(attribute)).map_err(ReportError::os(what))?;
        let mut bytes = Vec::new();
        let limit = u64::try_from(max_bytes).unwrap_or(u64::MAX).saturating_add(1);
        file.take(limit)
            .read_to_end(&mut bytes)
            .map_err(ReportError::os(what))?;
        if bytes.len() > max_bytes {
            return Err(ReportError::Malformed("it is longer than any"));
        }
        Ok(bytes)
    }

    /// What a host need not have given: nothing then.
    fn optional(
        &self,
        attribute: &str,
        what: &'static str,
        max_bytes: usize,
    ) -> Result<Vec<u8>, ReportError> {
        match self.read(attribute, what, max_bytes) {
            Err(ReportError::Os { error, .. }) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            other => other,
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        // The kernel takes the attributes with it. One that stays is removed by the next monitor.
        let _ = fs::remove_dir(&self.path);
    }
}

#[cfg(test)]
pub(super) mod fake;

#[cfg(test)]
mod tests {
    use super::fake::FakeKernel;
    use super::*;

    const DATA: [u8; REPORT_DATA_BYTES] = [7; REPORT_DATA_BYTES];

    fn report() -> Vec<u8> {
        (0..SNP_REPORT_BYTES)
            .map(|at| u8::try_from(at % 251).unwrap())
            .collect()
    }

    #[test]
    fn a_report_and_its_certificates_are_read_for_what_was_written() {
        let kernel = FakeKernel::new("sev_guest", false);
        let thread = kernel.answers(vec![("outblob", report()), ("auxblob", b"table".to_vec())], 43);
        let found = kernel.tsm().report(&DATA).unwrap();
        assert_eq!(thread.join().unwrap(), DATA);
        assert_eq!(
            (found.kind, found.report, found.certificates),
            (Kind::Snp, report(), b"table".to_vec())
        );
        assert!(found.service.is_empty());
        assert_eq!(kernel.said("privlevel"), "2");
    }

    #[test]
    fn an_svsm_is_asked_where_there_is_one() {
        let kernel = FakeKernel::new("sev_guest", true);
        let answers = vec![
            ("outblob", report()),
            ("auxblob", Vec::new()),
            ("manifestblob", b"services".to_vec()),
        ];
        let thread = kernel.answers(answers, 44);
        let found = kernel.tsm().report(&DATA).unwrap();
        thread.join().unwrap();
        assert_eq!((found.kind, found.service), (Kind::SnpSvsm, b"services".to_vec()));
        assert_eq!(kernel.said("service_provider"), "svsm");
    }

    #[test]
    fn a_question_that_was_disturbed_is_asked_again_and_given_up_in_the_end() {
        let kernel = FakeKernel::new("sev_guest", false);
        let entry = kernel.entry().to_owned();
        let thread = std::thread::spawn(move || {
            for generation in [50, 60, 70] {
                fs::read(entry.join("inblob")).unwrap();
                fs::write(entry.join("generation"), format!("{generation}\n")).unwrap();
                fs::write(entry.join("outblob"), report()).unwrap();
                fs::write(entry.join("auxblob"), b"").unwrap();
            }
        });
        let refused = kernel.tsm().report(&DATA).unwrap_err();
        thread.join().unwrap();
        assert!(matches!(refused, ReportError::Disturbed) && refused.is_transient());
    }

    #[test]
    fn reports_of_other_hardware_and_of_other_lengths_are_refused() {
        let kernel = FakeKernel::new("tdx_guest", false);
        let refused = kernel.tsm().report(&DATA).unwrap_err();
        assert!(
            matches!(&refused, ReportError::Provider(name) if name == "tdx_guest"),
            "{refused}"
        );
        for len in [SNP_REPORT_BYTES - 1, SNP_REPORT_BYTES + 1] {
            let kernel = FakeKernel::new("sev_guest", false);
            let thread = kernel.answers(vec![("outblob", vec![0; len])], 43);
            let refused = kernel.tsm().report(&DATA).unwrap_err();
            assert!(matches!(refused, ReportError::Malformed(_)), "{refused}");
            thread.join().unwrap();
        }
    }

    #[test]
    fn entries_have_names_of_chance_are_locked_and_are_gone_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        let [one, other] = [(); 2].map(|()| Entry::make(folder.path()).unwrap());
        let name = one.path.file_name().unwrap().to_str().unwrap();
        assert_eq!(name.len(), NAME.len() + 2 * NAME_RANDOM_BYTES);
        assert_ne!(one.path, other.path);
        assert!(Entry::lock(one.path.clone()).is_none(), "somebody uses it");
        drop((one, other));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_a_killed_monitor_left_is_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let used = Entry::make(folder.path()).unwrap();
        let others = folder.path().join("somebody-else");
        for left in ["hacher-0123", "hacher-4567", "somebody-else"] {
            fs::create_dir(folder.path().join(left)).unwrap();
        }
        Tsm::at(folder.path()).sweep();
        let mut left: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        left.sort();
        assert_eq!(left, [used.path.clone(), others]);
    }

    #[test]
    fn a_machine_without_it_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let refused = Tsm::at(&folder.path().join("nothing")).report(&DATA).unwrap_err();
        assert!(
            refused.to_string().starts_with("making an entry for a report: "),
            "{refused}"
        );
        assert!(!refused.is_transient());
    }
}
