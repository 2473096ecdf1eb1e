//! The executable in the gateway's place: `hacher-gateway` where it lies beside this executable, else this
//! one under that name.

use crate::companion::{Companion, CompanionError};
use hacher_loader::linked::{ElfError, LinkedFiles, linked};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// The name that another executable is started under in the gateway's place: the driver of `hacher-bench`,
/// which is isolated, keyed and attached as a gateway is.
pub const STAND_IN: &str = "hacher-stand-in";

/// It cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GatewayProgramError {
    /// It cannot be opened.
    #[error("cannot open the gateway's executable, {}: {source}", .path.display())]
    Open {
        /// Where it should lie.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// What lies beside this executable cannot be used.
    #[error(transparent)]
    Companion(#[from] CompanionError),
    /// Its libraries cannot be found.
    #[error(transparent)]
    Elf(#[from] ElfError),
    /// A gateway has no environment that could say where else they are.
    #[error("{} links libraries outside of the folders of its dynamic loader", .0.display())]
    Elsewhere(PathBuf),
}

/// The executable of all gateways of a service.
#[derive(Debug)]
pub struct GatewayProgram {
    /// The name that it is started under.
    pub role: &'static str,
    path: PathBuf,
    file: File,
}

impl GatewayProgram {
    /// The gateway.
    ///
    /// # Errors
    /// When the one beside this executable cannot be used.
    pub fn find() -> Result<Self, GatewayProgramError> {
        let role = hacher_gateway::ROLE;
        match Companion::Gateway.beside(Companion::Fabric)? {
            Some(found) => Ok(Self {
                role,
                path: found.path,
                file: found.file,
            }),
            None => Self::open(role, Path::new("/proc/self/exe")),
        }
    }

    /// Another executable in its place.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn stand_in(path: &Path) -> Result<Self, GatewayProgramError> {
        Self::open(STAND_IN, path)
    }

    fn open(role: &'static str, path: &Path) -> Result<Self, GatewayProgramError> {
        let path = path.to_owned();
        match File::open(&path) {
            Ok(file) => Ok(Self { role, path, file }),
            Err(source) => Err(GatewayProgramError::Open { path, source }),
        }
    }

    /// The executable with its libraries, for one more gateway.
    ///
    /// # Errors
    /// When a library cannot be found.
    pub fn open_all(&self) -> Result<(File, LinkedFiles), GatewayProgramError> {
        let file = self
            .file
            .try_clone()
            .map_err(|source| GatewayProgramError::Open {
                path: self.path.clone(),
                source,
            })?;
        let linked = linked(&file, &self.path, None)?;
        if linked.library_path.is_some() {
            return Err(GatewayProgramError::Elsewhere(self.path.clone()));
        }
        Ok((file, linked))
    }
}
