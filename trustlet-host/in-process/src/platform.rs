//! The platform: regions and doorbells are real, a trustlet is its end of a channel.

use crate::regions::{Bell, Ledger, Region};
use hacher_libos_net::attach::{Begin, MessageHeader, ZeroizingMessage, kind, seqpacket};
use hacher_monitor_core::evidence::REPORT_DATA_BYTES;
use hacher_monitor_core::evidence::emulated::EmulatedRoot;
use hacher_monitor_core::ids::ProcessId;
use hacher_monitor_core::platform::{
    Asker, Grant, Launch, LayerStatus, MeasuredFile, Measurement, Platform, PlatformError, PlatformReport,
    Spawned, SystemCalls, TrustletRole,
};
use ring::digest::{SHA384, digest};
use ring::rand::{SecureRandom, SystemRandom};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::SendFlags;
use rustix::net::sockopt::set_socket_send_buffer_size;
use std::collections::BTreeMap;
use std::sync::Arc;
use zerocopy::FromBytes;
use zeroize::Zeroizing;

/// Room for the messages of an attachment, which are all sent before the first is read.
const CHANNEL_BYTES: usize = 4 * 1024 * 1024;

/// The platform.
pub(crate) struct InProcess {
    root: EmulatedRoot,
    random: SystemRandom,
    pub(crate) ledger: Ledger,
    /// The monitor's ends of the channels of live trustlets.
    channels: BTreeMap<ProcessId, OwnedFd>,
    /// The trustlet that was started last, and its end.
    newborn: Option<(ProcessId, OwnedFd)>,
    /// How long the next trustlet looks for work, in place of what the monitor tells it.
    pub(crate) spin_ns: Option<u64>,
}

impl Default for InProcess {
    fn default() -> Self {
        let random = SystemRandom::new();
        let mut seed = [0; 32];
        random.fill(&mut seed).expect("random bytes");
        Self {
            root: EmulatedRoot::new(&seed),
            random,
            ledger: Ledger::default(),
            channels: BTreeMap::new(),
            newborn: None,
            spin_ns: None,
        }
    }
}

impl InProcess {
    /// The trustlet that was started since the last call, and its end of its channel.
    pub(crate) fn take_newborn(&mut self) -> Option<(ProcessId, OwnedFd)> {
        self.newborn.take()
    }
}

fn os(what: &'static str) -> impl Fn(Errno) -> PlatformError {
    move |errno| PlatformError::Refused {
        what,
        why: errno.to_string(),
        is_transient: false,
    }
}

fn measure(bytes: &[u8]) -> Measurement {
    let mut measurement = [0; 48];
    measurement.copy_from_slice(digest(&SHA384, bytes).as_ref());
    measurement
}

fn no_files<T>() -> Result<T, PlatformError> {
    Err(PlatformError::Unsuitable(
        "a trustlet of this process has its files".to_owned(),
    ))
}

impl Platform for InProcess {
    /// What it holds.
    type File = Vec<u8>;
    type Image = Measurement;
    type Library = Measurement;
    type Files = ();
    type Region = Arc<Region>;
    type Doorbell = Arc<Bell>;
    type Log = ();

    fn backend(&self) -> &'static str {
        "in-process"
    }

    fn is_snp(&self) -> bool {
        false
    }

    fn layers(&self) -> Vec<LayerStatus> {
        vec![LayerStatus {
            name: "isolation".to_owned(),
            missing_because: Some("all trustlets are parts of one process".to_owned()),
        }]
    }

    /// Nothing does; but tests have mapped edges at gateways.
    fn keeps_apart(&self) -> bool {
        true
    }

    fn admits(&self, calls: SystemCalls) -> Result<(), PlatformError> {
        match calls {
            SystemCalls::Native => Ok(()),
            SystemCalls::Program { .. } => Err(PlatformError::Unsuitable(
                "functions that are no processes start no programs".to_owned(),
            )),
        }
    }

    fn random(&mut self, bytes: &mut [u8]) -> Result<(), PlatformError> {
        let filled = self.random.fill(bytes);
        filled.map_err(|_| PlatformError::Unsuitable("there is no randomness".to_owned()))
    }

    fn load_image(&mut self, _: &str, file: Vec<u8>) -> Result<Measurement, PlatformError> {
        Ok(measure(&file))
    }

    fn image_measurement(image: &Measurement) -> Measurement {
        *image
    }

    fn load_library(&mut self, file: Vec<u8>, _: &str, _: bool) -> Result<Measurement, PlatformError> {
        Ok(measure(&file))
    }

    fn library_measurement(library: &Measurement) -> Measurement {
        *library
    }

    fn add_folder(&mut self, (): &mut (), _: &str) -> Result<(), PlatformError> {
        no_files()
    }

    fn add_file(&mut self, (): &mut (), _: &str, _: Vec<u8>, _: u64) -> Result<MeasuredFile, PlatformError> {
        no_files()
    }

    fn add_link(&mut self, (): &mut (), _: &str, _: &str) -> Result<(), PlatformError> {
        no_files()
    }

    fn read_secret(&mut self, file: Vec<u8>, _: usize) -> Result<Zeroizing<Vec<u8>>, PlatformError> {
        Ok(Zeroizing::new(file))
    }

    fn is_listener(&self, _: &Vec<u8>) -> bool {
        false
    }

    fn create_region(&mut self, name: &str, len_bytes: usize) -> Result<Arc<Region>, PlatformError> {
        self.ledger.region(name, len_bytes).map_err(os("making a region"))
    }

    fn create_doorbell(&mut self) -> Result<Arc<Bell>, PlatformError> {
        self.ledger.bell().map_err(os("making a doorbell"))
    }

    fn spawn(&mut self, launch: Launch<'_, Self>) -> Result<Spawned<Self>, PlatformError> {
        let (ours, theirs) = seqpacket::pair().map_err(os("making a channel"))?;
        set_socket_send_buffer_size(&ours, CHANNEL_BYTES).map_err(os("sizing a channel"))?;
        self.channels.insert(launch.process, ours);
        self.newborn = Some((launch.process, theirs));
        Ok(Spawned { log: None })
    }

    fn lockdown(&self, _: TrustletRole) -> Option<Vec<[u8; 8]>> {
        None
    }

    fn send(
        &mut self,
        process: ProcessId,
        mut message: ZeroizingMessage,
        grants: &[Grant<'_, Self>],
    ) -> Result<(), PlatformError> {
        if let Some(spin_ns) = self.spin_ns
            && let Ok((header, begin)) = MessageHeader::read_from_prefix(message.as_bytes())
            && header.kind == kind::BEGIN
            && let Ok(begin) = Begin::read_from_bytes(begin)
        {
            message = ZeroizingMessage::new(kind::BEGIN, &[Begin { spin_ns, ..begin }]);
        }
        let descriptor = |grant: &Grant<'_, Self>| match grant {
            Grant::ReadWrite(region) => rustix::io::dup(&region.fd).map_err(os("duplicating a region")),
            Grant::ReadOnly(region) => region.read_only().map_err(os("opening a region for reading")),
            Grant::Doorbell(bell) => rustix::io::dup(&bell.ringing).map_err(os("duplicating a doorbell")),
            Grant::OwnDoorbell(bell) => rustix::io::dup(&bell.own).map_err(os("duplicating a doorbell")),
            Grant::File(_) => no_files(),
        };
        let descriptors = grants.iter().map(descriptor).collect::<Result<Vec<_>, _>>()?;
        let descriptors: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
        let channel = self
            .channels
            .get(&process)
            .ok_or_else(|| PlatformError::Unsuitable("the trustlet is gone".to_owned()))?;
        seqpacket::send(channel, message.as_bytes(), &descriptors, SendFlags::DONTWAIT)
            .map_err(os("sending an attachment"))
    }

    fn kill(&mut self, process: ProcessId) {
        self.channels.remove(&process);
    }

    fn memory_bytes(&self, _: ProcessId) -> Option<u64> {
        None
    }

    fn report(&mut self, _: Asker, data: &[u8; REPORT_DATA_BYTES]) -> Result<PlatformReport, PlatformError> {
        Ok(PlatformReport::emulated(self.root.report(data)))
    }
}
