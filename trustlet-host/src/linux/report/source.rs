//! Where reports come from on a machine.

use super::error::ReportError;
use super::sev_guest::{DEVICE, SevGuest};
use super::tsm::{PROVIDER, ROOT, Tsm};
use crate::platform::PlatformReport;
use hacher_monitor_core::evidence::REPORT_DATA_BYTES;
use rustix::io::Errno;
use std::path::Path;

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
        Self::among(Path::new(ROOT), Path::new(DEVICE))
    }

    /// As [`Source::find`], at other places.
    fn among(root: &Path, device: &Path) -> Result<Option<Self>, SourceFault> {
        let fault = |name| move |reason| SourceFault { name, reason };
        let guest = SevGuest::at(device);
        if root.is_dir() {
            let tsm = Tsm::at(root);
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
        match &self.0 {
            Way::Tsm(tsm) => tsm.report(data),
            Way::SevGuest(guest) => guest.report(data),
        }
    }
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
    use std::fs;

    /// A folder for entries, with the one of this process, of this provider.
    fn tsm(folder: &Path, provider: Option<&str>) {
        let entry = folder.join(format!("hacher-{}", std::process::id()));
        fs::create_dir(&entry).unwrap();
        if let Some(provider) = provider {
            fs::write(entry.join("provider"), provider).unwrap();
        }
    }

    #[test]
    fn the_newer_interface_is_preferred_and_the_device_is_the_other_way() {
        let folder = tempfile::tempdir().unwrap();
        let (device, none) = (folder.path().join("device"), folder.path().join("none"));
        assert!(Source::among(&none, &none).unwrap().is_none());
        fs::write(&device, "").unwrap();
        assert_eq!(Source::among(&none, &device).unwrap().unwrap().name(), DEVICE);
        tsm(folder.path(), Some("sev_guest\n"));
        assert_eq!(
            Source::among(folder.path(), &device).unwrap().unwrap().name(),
            ROOT
        );
        assert_eq!(Source::among(folder.path(), &none).unwrap().unwrap().name(), ROOT);
    }

    #[test]
    fn a_way_that_cannot_be_used_is_not_the_same_as_none() {
        let folder = tempfile::tempdir().unwrap();
        tsm(folder.path(), None);
        let none = folder.path().join("none");
        let fault = Source::among(folder.path(), &none).unwrap_err();
        assert_eq!(fault.name, ROOT);
        let other = tempfile::tempdir().unwrap();
        tsm(other.path(), Some("tdx_guest"));
        let fault = Source::among(other.path(), &none).unwrap_err();
        assert!(fault.to_string().contains("tdx_guest"), "{fault}");
        // A folder opens for reading alone.
        assert_eq!(Source::among(&none, folder.path()).unwrap_err().name, DEVICE);
    }
}
