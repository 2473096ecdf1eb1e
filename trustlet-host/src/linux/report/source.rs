//! Where reports come from on a machine.

use super::error::ReportError;
use super::sev_guest::{DEVICE, SevGuest};
use super::tsm::{PROVIDER, ROOT, Tsm};
use crate::platform::PlatformReport;
use hacher_monitor_core::evidence::{Kind, REPORT_DATA_BYTES, report_data};
use rustix::io::Errno;
use std::path::Path;

/// Where REPORT_DATA stands in a report (AMD 56860, ATTESTATION_REPORT).
const REPORT_DATA: core::ops::Range<usize> = 0x50..0x50 + REPORT_DATA_BYTES;

/// Where reports come from.
#[derive(Debug, Clone)]
pub struct Source(Way);

#[derive(Debug, Clone)]
enum Way {
    Tsm(Tsm),
    SevGuest(SevGuest),
}

/// A way that is there, and cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{name} is there, but cannot be used: {reason}")]
pub struct SourceFault {
    /// Which way.
    pub name: &'static str,
    /// Why not.
    pub reason: ReportError,
}

impl Source {
    /// That of this machine; `None` if nothing vouches for it.
    ///
    /// # Errors
    /// [`SourceFault`] when something does, but cannot be asked: that is not the same as if there were none.
    pub fn find() -> Result<Option<Self>, SourceFault> {
        Self::among(Tsm::at(Path::new(ROOT)), Path::new(DEVICE))
    }

    /// As [`Source::find`], at other places.
    fn among(tsm: Tsm, device: &Path) -> Result<Option<Self>, SourceFault> {
        let fault = |name| move |reason| SourceFault { name, reason };
        let guest = SevGuest::at(device);
        if tsm.is_there() {
            tsm.sweep();
            match tsm.provider() {
                Ok(provider) if provider == PROVIDER => return Ok(Some(Self(Way::Tsm(tsm)))),
                Ok(provider) => return Err(fault(ROOT)(ReportError::Provider(provider))),
                Err(reason) if !device.exists() && !is_without_provider(&reason) => {
                    return Err(fault(ROOT)(reason));
                }
                Err(_) => {}
            }
        }
        if !device.exists() {
            return Ok(None);
        }
        guest.open().map_err(fault(DEVICE))?;
        Ok(Some(Self(Way::SevGuest(guest))))
    }

    /// Its name, in words.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self.0 {
            Way::Tsm(_) => ROOT,
            Way::SevGuest(_) => DEVICE,
        }
    }

    /// A report over `data`. The device may take its time.
    ///
    /// # Errors
    /// [`ReportError`].
    pub(super) fn report(&self, data: &[u8; REPORT_DATA_BYTES]) -> Result<PlatformReport, ReportError> {
        let report = match &self.0 {
            Way::Tsm(tsm) => tsm.report(data),
            Way::SevGuest(guest) => guest.report(data),
        }?;
        match is_over(&report, data) {
            true => Ok(report),
            false => Err(ReportError::OtherData),
        }
    }
}

/// Whether a report is over these data. A verifier looks at the same; here, a device that mixes answers up is
/// found out before anybody is sent one.
fn is_over(report: &PlatformReport, data: &[u8; REPORT_DATA_BYTES]) -> bool {
    let expected = match report.kind {
        Kind::Emulated | Kind::Snp => *data,
        Kind::SnpSvsm => report_data(data, &report.service),
    };
    report.report.get(REPORT_DATA) == Some(&expected)
}

/// Whether nobody makes reports: the interface is there, and the machine is no confidential guest.
fn is_without_provider(error: &ReportError) -> bool {
    let ReportError::Os { error, .. } = error else {
        return false;
    };
    Errno::from_io_error(error) == Some(Errno::NXIO)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linux::report::tsm::fake::FakeKernel;
    use hacher_monitor_core::evidence::envelope::SNP_REPORT_BYTES;
    use std::fs;

    const DATA: [u8; REPORT_DATA_BYTES] = [7; REPORT_DATA_BYTES];

    /// An interface with one entry, of this provider.
    fn tsm(folder: &Path, provider: Option<&str>) -> Tsm {
        let entry = folder.join("entry");
        fs::create_dir(&entry).unwrap();
        if let Some(provider) = provider {
            fs::write(entry.join("provider"), provider).unwrap();
        }
        Tsm::with_entry_of(folder)
    }

    #[test]
    fn the_newer_interface_is_preferred_and_the_device_is_the_other_way() {
        let folder = tempfile::tempdir().unwrap();
        let (device, none) = (folder.path().join("device"), folder.path().join("none"));
        assert!(Source::among(Tsm::at(&none), &none).unwrap().is_none());
        fs::write(&device, "").unwrap();
        assert_eq!(
            Source::among(Tsm::at(&none), &device).unwrap().unwrap().name(),
            DEVICE
        );
        let tsm = tsm(folder.path(), Some("sev_guest\n"));
        assert_eq!(Source::among(tsm.clone(), &device).unwrap().unwrap().name(), ROOT);
        assert_eq!(Source::among(tsm, &none).unwrap().unwrap().name(), ROOT);
    }

    #[test]
    fn a_way_that_cannot_be_used_is_not_the_same_as_none() {
        let folder = tempfile::tempdir().unwrap();
        let silent = tsm(folder.path(), None);
        let none = folder.path().join("none");
        let fault = Source::among(silent, &none).unwrap_err();
        assert_eq!(fault.name, ROOT);
        let other = tempfile::tempdir().unwrap();
        let fault = Source::among(tsm(other.path(), Some("tdx_guest")), &none).unwrap_err();
        assert!(fault.to_string().contains("tdx_guest"), "{fault}");
        // A folder opens for reading alone.
        let fault = Source::among(Tsm::at(&none), folder.path()).unwrap_err();
        assert_eq!(fault.name, DEVICE);
    }

    /// A report over these data.
    fn over(data: [u8; REPORT_DATA_BYTES]) -> Vec<u8> {
        let mut report = vec![0x5a; SNP_REPORT_BYTES];
        report[REPORT_DATA].copy_from_slice(&data);
        report
    }

    #[test]
    fn a_report_over_other_data_is_not_handed_on() {
        let mut other = DATA;
        other[63] ^= 1;
        for (has_svsm, good) in [(false, DATA), (true, report_data(&DATA, b"services"))] {
            for (data, is_good) in [(good, true), (other, false), (DATA, !has_svsm)] {
                let kernel = FakeKernel::new("sev_guest", has_svsm);
                let writes = if has_svsm { 44 } else { 43 };
                let answers = [
                    ("outblob", over(data)),
                    ("auxblob", Vec::new()),
                    ("manifestblob", b"services".to_vec()),
                ];
                let thread = kernel.answers(answers[..if has_svsm { 3 } else { 2 }].to_vec(), writes);
                let source = Source(Way::Tsm(kernel.tsm()));
                let answer = source.report(&DATA);
                thread.join().unwrap();
                match answer {
                    Ok(report) => assert!(is_good && report.report == over(data)),
                    Err(error) => assert!(!is_good && matches!(error, ReportError::OtherData), "{error}"),
                }
            }
        }
    }

    #[test]
    fn a_report_of_the_device_is_compared_as_well() {
        let report = |report| PlatformReport {
            kind: Kind::Snp,
            report,
            certificates: Vec::new(),
            service: Vec::new(),
        };
        assert!(is_over(&report(over(DATA)), &DATA));
        assert!(!is_over(&report(over([8; REPORT_DATA_BYTES])), &DATA));
        assert!(!is_over(&report(vec![7; 100]), &DATA), "it is too short");
    }
}
