//! The process platform without processes: it loads what a chain is measured by, and starts nothing.

use super::files::Files;
use super::image::Image;
use super::library::Library;
use super::measured_files::MeasuredFiles;
use super::platform::{BACKEND, measured};
use super::shelf::Shelf;
use crate::evidence::REPORT_DATA_BYTES;
use crate::ids::ProcessId;
use crate::platform::{
    Asker, Grant, Launch, LayerStatus, MeasuredFile, Measurement, Platform, PlatformError, PlatformReport,
    Spawned, SystemCalls, TrustletRole,
};
use hacher_libos_net::attach::ZeroizingMessage;
use ring::rand::{SecureRandom, SystemRandom};
use rustix::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::rc::Rc;
use zeroize::Zeroizing;

/// Weighs, and does nothing else.
pub struct Scales {
    measured: MeasuredFiles,
}

impl Default for Scales {
    fn default() -> Self {
        Self {
            measured: MeasuredFiles::new(Shelf::scales()),
        }
    }
}

/// Stands for whatever is not made.
pub struct Nothing;

impl Platform for Scales {
    type File = OwnedFd;
    type Image = Rc<Image>;
    type Library = Library;
    type Files = Files;
    type Region = Nothing;
    type Doorbell = Nothing;
    type Log = Nothing;

    fn backend(&self) -> &'static str {
        BACKEND
    }

    fn is_snp(&self) -> bool {
        false
    }

    fn layers(&self) -> Vec<LayerStatus> {
        Vec::new()
    }

    fn admits(&self, _calls: SystemCalls) -> Result<(), PlatformError> {
        // A chain has the same digest on a machine that could not run it.
        Ok(())
    }

    fn random(&mut self, bytes: &mut [u8]) -> Result<(), PlatformError> {
        // Port secrets are made at sealing, and thrown away with the core.
        SystemRandom::new()
            .fill(bytes)
            .map_err(|_| PlatformError::Unsuitable("there is no randomness".to_owned()))
    }

    fn load_image(&mut self, name: &str, file: Self::File) -> Result<Self::Image, PlatformError> {
        self.measured
            .image(name, file.as_fd())
            .map_err(|error| PlatformError::Unsuitable(error.to_string()))
    }

    fn image_measurement(image: &Self::Image) -> Measurement {
        *image.measurement()
    }

    fn load_library(
        &mut self,
        file: Self::File,
        path: &str,
        interpreter: bool,
    ) -> Result<Self::Library, PlatformError> {
        self.measured
            .library(Path::new(path), file.as_fd(), interpreter)
            .map_err(|error| PlatformError::Unsuitable(error.to_string()))
    }

    fn library_measurement(library: &Self::Library) -> Measurement {
        *library.measurement()
    }

    fn add_folder(&mut self, files: &mut Files, path: &str) -> Result<(), PlatformError> {
        self.measured
            .add_folder(files, Path::new(path))
            .map_err(|error| PlatformError::Unsuitable(error.to_string()))
    }

    fn add_file(
        &mut self,
        files: &mut Files,
        path: &str,
        file: Self::File,
        max_bytes: u64,
    ) -> Result<MeasuredFile, PlatformError> {
        let added = self
            .measured
            .add_file(files, Path::new(path), file.as_fd(), max_bytes);
        added
            .map(measured)
            .map_err(|error| PlatformError::Unsuitable(error.to_string()))
    }

    fn add_link(&mut self, files: &mut Files, path: &str, target: &str) -> Result<(), PlatformError> {
        self.measured
            .add_link(files, Path::new(path), target)
            .map_err(|error| PlatformError::Unsuitable(error.to_string()))
    }

    fn read_secret(
        &mut self,
        _file: Self::File,
        _max_bytes: usize,
    ) -> Result<Zeroizing<Vec<u8>>, PlatformError> {
        // Values of secrets are not part of the digest.
        Ok(Zeroizing::new(Vec::new()))
    }

    fn is_listener(&self, _file: &Self::File) -> bool {
        false
    }

    fn create_region(&mut self, _name: &str, _len_bytes: usize) -> Result<Self::Region, PlatformError> {
        Ok(Nothing)
    }

    fn create_doorbell(&mut self) -> Result<Self::Doorbell, PlatformError> {
        Ok(Nothing)
    }

    fn spawn(&mut self, _launch: Launch<'_, Self>) -> Result<Spawned<Self>, PlatformError> {
        Err(PlatformError::MeasuresOnly)
    }

    fn lockdown(&self, _role: TrustletRole) -> Option<Vec<[u8; 8]>> {
        None
    }

    fn send(
        &mut self,
        _process: ProcessId,
        _message: ZeroizingMessage,
        _grants: &[Grant<'_, Self>],
    ) -> Result<(), PlatformError> {
        Err(PlatformError::MeasuresOnly)
    }

    fn kill(&mut self, _process: ProcessId) {}

    fn memory_bytes(&self, _process: ProcessId) -> Option<u64> {
        None
    }

    fn report(
        &mut self,
        _asker: Asker,
        _data: &[u8; REPORT_DATA_BYTES],
    ) -> Result<PlatformReport, PlatformError> {
        Err(PlatformError::MeasuresOnly)
    }
}
