//! A platform for tests: regions and processes are entries of a table, and everything that a process is given
//! is written down.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "plays the machine for tests and fuzzers, which want a panic where the core breaks a rule"
)]

use crate::evidence::REPORT_DATA_BYTES;
use crate::evidence::cryptography::sha384;
use crate::evidence::emulated::EmulatedRoot;
use crate::ids::ProcessId;
use crate::platform::{
    Asker, Grant, Launch, LayerStatus, Limits, MeasuredFile, Measurement, Platform, PlatformError,
    PlatformReport, Spawned, SystemCalls, TrustletRole,
};
use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use hacher_data_path::attach::message::ZeroizingMessage;
use zeroize::Zeroizing;

/// Private memory of each live process.
pub const SIMULATED_MEMORY_BYTES: u64 = 1 << 20;

/// A descriptor beside a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SimulatedFile {
    /// A file of this content.
    Bytes(Vec<u8>),
    /// A listening socket.
    Listener,
}

/// An executable or library: what is left of it is its measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measured(Measurement);

/// A region.
#[derive(Debug, PartialEq, Eq)]
pub struct SimulatedRegion {
    /// Counts the regions of the platform.
    pub number: u32,
    /// Its length.
    pub len_bytes: usize,
}

/// A doorbell, by its number.
#[derive(Debug, PartialEq, Eq)]
pub struct SimulatedDoorbell(pub u32);

/// What a process prints.
#[derive(Debug, PartialEq, Eq)]
pub struct SimulatedLog(pub ProcessId);

/// All that one process was ever given.
#[derive(Debug, Clone)]
pub struct SimulatedProcess {
    /// The chain's name.
    pub chain: String,
    /// Its arguments, after its name.
    pub arguments: Vec<String>,
    /// The paths of the files that it finds.
    pub finds: Vec<String>,
    /// Its environment.
    pub environment: Vec<(String, String)>,
    /// Its limits.
    pub limits: Limits,
    /// Bytes of regions that its instance has room for.
    pub regions_bytes: u64,
    /// Where it was put.
    pub cpu: Option<u32>,
    /// Whether it lets its waker finish.
    pub patient: bool,
    /// The messages on its channel.
    pub messages: Vec<Vec<u8>>,
    /// Regions that it can write.
    pub writable: BTreeSet<u32>,
    /// Regions that it can read.
    pub readable: BTreeSet<u32>,
    /// Doorbells that it can ring, and its own.
    pub doorbells: BTreeSet<u32>,
    /// How many files it was given.
    pub files: usize,
    /// Whether it is alive; a test says otherwise when it lets it die.
    pub alive: bool,
    /// Whether it was killed.
    pub killed: bool,
}

/// The platform.
pub struct Simulated {
    root: EmulatedRoot,
    /// Whether the device that reports has not answered yet.
    pub report_is_late: bool,
    /// What reports were asked for.
    pub reports: Vec<[u8; REPORT_DATA_BYTES]>,
    random: u64,
    /// How many regions were made.
    pub regions: u32,
    /// The length of each, in bytes.
    pub region_lengths: BTreeMap<u32, usize>,
    doorbells: u32,
    /// How many can be.
    pub region_limit: u32,
    /// Whether processes cannot be started now.
    pub refuse_spawns: bool,
    /// Whether messages cannot be sent now.
    pub refuse_sends: bool,
    /// Its name.
    pub backend: &'static str,
    /// Whether it says that hardware vouches for it.
    pub snp: bool,
    /// Whether it says that it keeps processes apart.
    pub keeps_apart: bool,
    /// Whether functions can have programs of their own.
    pub admits_programs: bool,
    /// All processes that were ever started.
    pub processes: BTreeMap<ProcessId, SimulatedProcess>,
}

impl Simulated {
    /// A machine on which nothing runs.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "a machine is made on purpose")]
    pub fn new() -> Self {
        Self {
            root: EmulatedRoot::new(&[3; 32]),
            report_is_late: false,
            reports: Vec::new(),
            random: 0,
            regions: 0,
            region_lengths: BTreeMap::new(),
            doorbells: 0,
            region_limit: u32::MAX,
            refuse_spawns: false,
            refuse_sends: false,
            backend: "simulated",
            snp: false,
            keeps_apart: true,
            admits_programs: true,
            processes: BTreeMap::new(),
        }
    }

    /// Live processes, in the order of their starts.
    #[must_use]
    pub fn live(&self) -> Vec<ProcessId> {
        self.processes
            .iter()
            .filter(|(_, process)| process.alive)
            .map(|(&id, _)| id)
            .collect()
    }
}

fn measure(file: SimulatedFile) -> Result<Measured, PlatformError> {
    match file {
        SimulatedFile::Bytes(bytes) => Ok(Measured(sha384(&bytes))),
        SimulatedFile::Listener => Err(PlatformError::Unsuitable("a socket is no program".to_owned())),
    }
}

fn short_of(what: &'static str) -> PlatformError {
    PlatformError::Refused {
        what,
        why: "there is no more".to_owned(),
        is_transient: true,
    }
}

impl Platform for Simulated {
    type File = SimulatedFile;
    type Image = Measured;
    type Library = Measured;
    type Files = Vec<String>;
    type Region = SimulatedRegion;
    type Doorbell = SimulatedDoorbell;
    type Log = SimulatedLog;

    fn backend(&self) -> &'static str {
        self.backend
    }

    fn is_snp(&self) -> bool {
        self.snp
    }

    fn layers(&self) -> Vec<LayerStatus> {
        vec![
            LayerStatus {
                name: "table".to_owned(),
                missing_because: None,
            },
            LayerStatus {
                name: "hardware".to_owned(),
                missing_because: Some("this is a simulation".to_owned()),
            },
        ]
    }

    fn keeps_apart(&self) -> bool {
        self.keeps_apart
    }

    fn admits(&self, calls: SystemCalls) -> Result<(), PlatformError> {
        match calls {
            SystemCalls::Program { .. } if !self.admits_programs => Err(PlatformError::Unsuitable(
                "a simulated machine without programs".to_owned(),
            )),
            _ => Ok(()),
        }
    }

    fn random(&mut self, bytes: &mut [u8]) -> Result<(), PlatformError> {
        // Never twice the same, and never a run that occurs elsewhere.
        for chunk in bytes.chunks_mut(48) {
            self.random += 1;
            let block = sha384(&self.random.to_le_bytes());
            chunk.copy_from_slice(&block[..chunk.len()]);
        }
        Ok(())
    }

    fn load_image(&mut self, _name: &str, file: SimulatedFile) -> Result<Measured, PlatformError> {
        measure(file)
    }

    fn image_measurement(image: &Measured) -> Measurement {
        image.0
    }

    fn load_library(&mut self, file: SimulatedFile, _: &str, _: bool) -> Result<Measured, PlatformError> {
        measure(file)
    }

    fn library_measurement(library: &Measured) -> Measurement {
        library.0
    }

    fn add_folder(&mut self, files: &mut Vec<String>, path: &str) -> Result<(), PlatformError> {
        files.push(path.to_owned());
        Ok(())
    }

    fn add_file(
        &mut self,
        files: &mut Vec<String>,
        path: &str,
        file: SimulatedFile,
        max_bytes: u64,
    ) -> Result<MeasuredFile, PlatformError> {
        let SimulatedFile::Bytes(bytes) = file else {
            return Err(PlatformError::Unsuitable("a socket is no file".to_owned()));
        };
        if bytes.len() as u64 > max_bytes {
            return Err(PlatformError::Unsuitable("the file is too long".to_owned()));
        }
        files.push(path.to_owned());
        let (executable, len_bytes) = (bytes.starts_with(b"#!"), bytes.len() as u64);
        Ok(MeasuredFile {
            executable,
            len_bytes,
            measurement: measure(SimulatedFile::Bytes(bytes))?.0,
        })
    }

    fn add_link(&mut self, files: &mut Vec<String>, path: &str, target: &str) -> Result<(), PlatformError> {
        files.push(format!("{path} -> {target}"));
        Ok(())
    }

    fn read_secret(
        &mut self,
        file: SimulatedFile,
        max_bytes: usize,
    ) -> Result<Zeroizing<Vec<u8>>, PlatformError> {
        match file {
            SimulatedFile::Bytes(bytes) if bytes.len() <= max_bytes => Ok(Zeroizing::new(bytes)),
            _ => Err(PlatformError::Unsuitable("no secret".to_owned())),
        }
    }

    fn is_listener(&self, file: &SimulatedFile) -> bool {
        *file == SimulatedFile::Listener
    }

    fn create_region(&mut self, _: &str, len_bytes: usize) -> Result<SimulatedRegion, PlatformError> {
        if self.regions >= self.region_limit {
            return Err(short_of("cannot make a region"));
        }
        self.regions += 1;
        self.region_lengths.insert(self.regions, len_bytes);
        Ok(SimulatedRegion {
            number: self.regions,
            len_bytes,
        })
    }

    fn create_doorbell(&mut self) -> Result<SimulatedDoorbell, PlatformError> {
        self.doorbells += 1;
        Ok(SimulatedDoorbell(self.doorbells))
    }

    fn spawn(&mut self, launch: Launch<'_, Self>) -> Result<Spawned<Self>, PlatformError> {
        assert!(
            !self.processes.contains_key(&launch.process),
            "a process number was used twice"
        );
        if self.refuse_spawns {
            return Err(short_of("cannot start a process"));
        }
        self.processes.insert(
            launch.process,
            SimulatedProcess {
                chain: launch.chain.to_owned(),
                arguments: launch.arguments.to_vec(),
                finds: launch.files.clone(),
                environment: launch.environment.to_vec(),
                limits: launch.limits,
                regions_bytes: launch.regions_bytes,
                cpu: launch.cpu,
                patient: launch.patient,
                messages: Vec::new(),
                writable: BTreeSet::new(),
                readable: BTreeSet::new(),
                doorbells: BTreeSet::new(),
                files: 0,
                alive: true,
                killed: false,
            },
        );
        Ok(Spawned {
            log: launch.forward_logs.then_some(SimulatedLog(launch.process)),
        })
    }

    fn lockdown(&self, _: TrustletRole) -> Option<Vec<[u8; 8]>> {
        Some(vec![[6, 0, 0, 0, 0, 0, 255, 127]])
    }

    fn send(
        &mut self,
        process: ProcessId,
        message: ZeroizingMessage,
        grants: &[Grant<'_, Self>],
    ) -> Result<(), PlatformError> {
        if self.refuse_sends {
            return Err(short_of("cannot send"));
        }
        let process = self.processes.get_mut(&process).unwrap();
        assert!(process.alive, "a message to a dead process");
        process.messages.push(message.as_bytes().to_vec());
        for grant in grants {
            match grant {
                Grant::ReadWrite(region) => {
                    process.writable.insert(region.number);
                }
                Grant::ReadOnly(region) => {
                    process.readable.insert(region.number);
                }
                Grant::Doorbell(doorbell) | Grant::OwnDoorbell(doorbell) => {
                    process.doorbells.insert(doorbell.0);
                }
                Grant::File(_) => process.files += 1,
            }
        }
        Ok(())
    }

    fn kill(&mut self, process: ProcessId) {
        self.processes.get_mut(&process).unwrap().killed = true;
    }

    fn memory_bytes(&self, process: ProcessId) -> Option<u64> {
        let process = self.processes.get(&process)?;
        process.alive.then_some(SIMULATED_MEMORY_BYTES)
    }

    fn report(&mut self, _: Asker, data: &[u8; REPORT_DATA_BYTES]) -> Result<PlatformReport, PlatformError> {
        self.reports.push(*data);
        if self.report_is_late {
            return Err(short_of("no report yet"));
        }
        Ok(PlatformReport::emulated(self.root.report(data)))
    }
}
