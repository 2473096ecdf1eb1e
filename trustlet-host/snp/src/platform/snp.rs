//! The platform itself: who has which region, which trustlets live, and what they were told.

use super::bells::{Bell, Bells};
use super::board::Board;
use super::image::Image;
use super::refusal::{gone, no_files, no_pages, not_mapped, unsuitable};
use super::region::{Region, Returned};
use super::trustlet::{Newborn, Trustlet};
use crate::ledger::{PageLedger, Refused, SpaceId};
use crate::space::Access;
use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, VecDeque};

use alloc::vec::Vec;
use hacher_data_path::attach::message::ZeroizingMessage;
use hacher_monitor_core::evidence::REPORT_DATA_BYTES;
use hacher_monitor_core::ids::ProcessId;
use hacher_monitor_core::platform::{
    Asker, Grant, Launch, LayerStatus, MeasuredFile, Measurement, Platform, PlatformError, PlatformReport,
    Spawned, SystemCalls, TrustletRole,
};
use zeroize::Zeroizing;

/// Somebody's word that a trustlet runs on no processor, and that none will take up its page tables again:
/// its processor state (VMSA) is no longer one, or has another CR3. The hypervisor chooses which state runs,
/// so that none of them runs now is not enough: with tables that are another's memory by then, it would reach
/// what that other writes there.
#[derive(Debug, Clone, Copy)]
pub struct RunsNowhere(());

impl RunsNowhere {
    /// Whoever runs trustlets gives it.
    #[must_use]
    pub const fn vouched() -> Self {
        Self(())
    }
}

/// The platform on a board.
pub struct Snp<B: Board> {
    pub(super) board: B,
    pub(super) ledger: PageLedger,
    pub(super) trustlets: BTreeMap<ProcessId, Trustlet>,
    newborn: VecDeque<Newborn>,
    pub(super) bells: Bells,
    /// Pages of regions that nobody holds any more.
    returned: Returned,
    next_space: u32,
}

impl<B: Board> Snp<B> {
    /// The platform that has these pages.
    #[must_use]
    pub fn new(board: B, ledger: PageLedger) -> Self {
        Self {
            board,
            ledger,
            trustlets: BTreeMap::new(),
            newborn: VecDeque::new(),
            bells: Bells::default(),
            returned: Returned::default(),
            next_space: 1,
        }
    }

    /// The board.
    pub const fn board(&mut self) -> &mut B {
        &mut self.board
    }

    /// The board and the ledger, for calls of the operating system about memory.
    pub fn memory(&mut self) -> (&mut B, &mut PageLedger) {
        self.take_back();
        (&mut self.board, &mut self.ledger)
    }

    /// The next trustlet that was started and not taken yet.
    pub fn take_newborn(&mut self) -> Option<Newborn> {
        self.newborn.pop_front()
    }

    /// Whether a trustlet is to be ended: the core has said so. It makes no more calls.
    #[must_use]
    pub fn is_killed(&self, process: ProcessId) -> bool {
        self.trustlets.get(&process).is_none_or(Trustlet::is_killed)
    }

    /// A trustlet runs no more, and cannot again: takes back what it alone had. The core is told afterwards.
    pub fn reap(&mut self, process: ProcessId, _runs_nowhere: RunsNowhere) {
        if let Some(trustlet) = self.trustlets.remove(&process) {
            // What the processor does not give back is lost, and nobody's.
            let _ = trustlet.end(&mut self.board, &mut self.ledger);
        }
        self.newborn.retain(|newborn| newborn.process != process);
        self.take_back();
    }

    /// Takes back pages of regions that were dropped and that nobody has mapped any more.
    fn take_back(&mut self) {
        for frame in self.returned.take() {
            if self.ledger.release(&mut self.board, frame) == Err(Refused::Mapped) {
                self.returned.put(frame);
            }
        }
    }

    fn tell(
        &mut self,
        process: ProcessId,
        message: ZeroizingMessage,
        grants: &[Grant<'_, Self>],
    ) -> Result<(), PlatformError> {
        self.trustlet(process).ok_or_else(gone)?.check_room(&message)?;
        let mut handles = Vec::with_capacity(grants.len());
        for grant in grants {
            handles.push(match *grant {
                Grant::ReadWrite(region) => self.give_region(process, region, Access::Write)?,
                Grant::ReadOnly(region) => self.give_region(process, region, Access::Read)?,
                Grant::Doorbell(bell) => self.trustlet(process).ok_or_else(gone)?.give_bell(bell),
                Grant::OwnDoorbell(bell) => {
                    let trustlet = self.trustlet(process).ok_or_else(gone)?;
                    trustlet.give_own_bell(bell)
                }
                Grant::File(_) => return no_files(),
            });
        }
        self.trustlet(process).ok_or_else(gone)?.tell(message, handles);
        Ok(())
    }

    fn trustlet(&mut self, process: ProcessId) -> Option<&mut Trustlet> {
        self.trustlets.get_mut(&process)
    }

    /// Gives a trustlet a region; what it finds it by.
    fn give_region(
        &mut self,
        process: ProcessId,
        region: &Region,
        access: Access,
    ) -> Result<crate::abi::Handle, PlatformError> {
        let Some(trustlet) = self.trustlets.get_mut(&process) else {
            return Err(gone());
        };
        if access == Access::Write {
            for &frame in region.frames() {
                self.ledger
                    .set_writer(frame, Some(trustlet.space_id()))
                    .map_err(|refused| no_pages("giving a region to its writer", refused))?;
            }
        }
        trustlet
            .map_region(&mut self.board, &mut self.ledger, region, access)
            .map_err(|error| not_mapped(&error))
    }
}

impl<B: Board> Platform for Snp<B> {
    /// What it holds.
    type File = Vec<u8>;
    type Image = Image;
    type Library = Measurement;
    type Files = ();
    type Region = Region;
    type Doorbell = Bell;
    type Log = ();

    fn backend(&self) -> &'static str {
        self.board.backend()
    }

    fn is_snp(&self) -> bool {
        self.board.is_snp()
    }

    fn layers(&self) -> Vec<LayerStatus> {
        self.board.layers()
    }

    fn admits(&self, calls: SystemCalls) -> Result<(), PlatformError> {
        match calls {
            SystemCalls::Native => Ok(()),
            SystemCalls::Program { .. } => Err(PlatformError::Unsuitable(
                "without an operating system there are no programs to start".to_owned(),
            )),
        }
    }

    fn random(&mut self, bytes: &mut [u8]) -> Result<(), PlatformError> {
        self.board.random(bytes)
    }

    fn load_image(&mut self, _: &str, file: Vec<u8>) -> Result<Image, PlatformError> {
        self.take_back();
        Image::load(&mut self.board, &mut self.ledger, &self.returned, &file)
    }

    fn image_measurement(image: &Image) -> Measurement {
        image.measurement()
    }

    fn load_library(&mut self, _: Vec<u8>, _: &str, _: bool) -> Result<Measurement, PlatformError> {
        no_files()
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

    fn read_secret(&mut self, file: Vec<u8>, max_bytes: usize) -> Result<Zeroizing<Vec<u8>>, PlatformError> {
        let secret = Zeroizing::new(file);
        if secret.len() > max_bytes {
            return Err(PlatformError::Unsuitable("the secret is too long".to_owned()));
        }
        Ok(secret)
    }

    fn is_listener(&self, _: &Vec<u8>) -> bool {
        false
    }

    fn create_region(&mut self, _: &str, len_bytes: usize) -> Result<Region, PlatformError> {
        self.take_back();
        Region::new(&mut self.board, &mut self.ledger, &self.returned, len_bytes)
            .map_err(|refused| no_pages("making a region", refused))
    }

    fn create_doorbell(&mut self) -> Result<Bell, PlatformError> {
        Ok(self.bells.create())
    }

    fn spawn(&mut self, launch: Launch<'_, Self>) -> Result<Spawned<Self>, PlatformError> {
        self.take_back();
        let id = SpaceId(self.next_space);
        let next = self.next_space.checked_add(1);
        let next = next.ok_or_else(|| unsuitable("as many trustlets were started as there are numbers"))?;
        let trustlet = Trustlet::begin(&mut self.board, &mut self.ledger, id, &launch)?;
        self.next_space = next;
        self.newborn
            .push_back(trustlet.newborn(launch.process, launch.image));
        self.trustlets.insert(launch.process, trustlet);
        Ok(Spawned {
            log: launch.forward_logs.then_some(()),
        })
    }

    /// No call of a trustlet does more than it may: there is nothing to take away later.
    fn lockdown(&self, _: TrustletRole) -> Option<Vec<[u8; 8]>> {
        None
    }

    fn send(
        &mut self,
        process: ProcessId,
        message: ZeroizingMessage,
        grants: &[Grant<'_, Self>],
    ) -> Result<(), PlatformError> {
        // One that was killed counts as told.
        if self.is_killed(process) {
            return Ok(());
        }
        let told = self.tell(process, message, grants);
        if told.is_err() {
            // It may have some of what the message was about: it gets no further.
            self.kill(process);
        }
        told
    }

    fn kill(&mut self, process: ProcessId) {
        if let Some(trustlet) = self.trustlet(process) {
            trustlet.kill();
        }
    }

    fn memory_bytes(&self, process: ProcessId) -> Option<u64> {
        self.trustlets.get(&process).map(Trustlet::memory_bytes)
    }

    fn report(&mut self, _: Asker, data: &[u8; REPORT_DATA_BYTES]) -> Result<PlatformReport, PlatformError> {
        self.board.report(data)
    }
}
