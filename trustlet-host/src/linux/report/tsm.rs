//! Reports through configfs-tsm (Documentation/ABI/testing/configfs-tsm-report): a folder is made, what to
//! report over is written into it, and the report is read from it.
//!
//! Each question has an entry of its own, so nobody disturbs it as a rule; that nobody did is checked by the
//! count of writes that the kernel keeps. One that was left behind by a process of the same number is used.

use super::error::ReportError;
use crate::platform::PlatformReport;
use hacher_monitor_core::evidence::envelope::{CERTIFICATES_MAX_BYTES, SERVICE_MAX_BYTES, SNP_REPORT_BYTES};
use hacher_monitor_core::evidence::{Kind, REPORT_DATA_BYTES};
use std::fs::{self, OpenOptions};
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

/// The folder of all entries.
#[derive(Debug, Clone)]
pub(super) struct Tsm {
    root: PathBuf,
}

impl Tsm {
    pub(super) fn at(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    /// Who makes reports on this machine.
    pub(super) fn provider(&self) -> Result<String, ReportError> {
        Entry::make(&self.root)?.text("provider", "reading who makes reports")
    }

    /// A report over `data`.
    pub(super) fn report(&self, data: &[u8; REPORT_DATA_BYTES]) -> Result<PlatformReport, ReportError> {
        let entry = Entry::make(&self.root)?;
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
struct Entry(PathBuf);

impl Entry {
    fn make(root: &Path) -> Result<Self, ReportError> {
        let path = root.join(format!("hacher-{}", std::process::id()));
        match fs::create_dir(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(ReportError::os("making an entry for a report")(error)),
        }
        Ok(Self(path))
    }

    fn report(&self, data: &[u8; REPORT_DATA_BYTES]) -> Result<PlatformReport, ReportError> {
        let before = self.generation()?;
        // Only where there is an SVSM.
        let asks_svsm = self.0.join("service_provider").exists();
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
            .open(self.0.join(attribute))
            .map_err(&refused)?;
        match file.write(bytes) {
            Ok(written) if written == bytes.len() => Ok(()),
            Ok(_) => Err(refused(io::ErrorKind::WriteZero.into())),
            Err(error) => Err(refused(error)),
        }
    }

    fn read(&self, attribute: &str, what: &'static str, max_bytes: usize) -> Result<Vec<u8>, ReportError> {
        let file = fs::File::open(self.0.join(attribute)).map_err(ReportError::os(what))?;
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
        // The kernel takes the attributes with it. An entry that stays is used by the next question.
        let _ = fs::remove_dir(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    use std::thread::JoinHandle;

    const DATA: [u8; REPORT_DATA_BYTES] = [7; REPORT_DATA_BYTES];

    /// A folder as configfs-tsm lays it out, with a thread in the kernel's place: what the kernel makes when
    /// it is read is a pipe, so a reader waits for it.
    struct FakeKernel {
        folder: tempfile::TempDir,
        entry: PathBuf,
    }

    impl FakeKernel {
        fn new(provider: &str, has_svsm: bool) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let entry = folder.path().join(format!("hacher-{}", std::process::id()));
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

        fn tsm(&self) -> Tsm {
            Tsm::at(self.folder.path())
        }

        /// Answers one question; what it was over.
        fn answers(&self, answers: Vec<(&'static str, Vec<u8>)>, generation: u32) -> JoinHandle<Vec<u8>> {
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

        fn said(&self, name: &str) -> String {
            fs::read_to_string(self.entry.join(name)).unwrap()
        }
    }

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
        let entry = kernel.entry.clone();
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
