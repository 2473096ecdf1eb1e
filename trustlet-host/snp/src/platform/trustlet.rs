//! A trustlet: its space, what it was told, and what it may ring.

use super::bells::Bell;
use super::board::Board;
use super::image::{Image, Loaded};
use super::own_memory::filled;
use super::refusal::{no_pages, not_mapped, unsuitable};
use super::region::Region;
use crate::abi::{Handle, handle};
use crate::frame::{FRAME_BYTES, Frame};
use crate::ledger::{PageLedger, Purpose, Refused, SpaceId};
use crate::space::{ADDRESS_END, Access, NotMapped, Space};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use hacher_data_path::attach::message::ZeroizingMessage;
use hacher_monitor_core::ids::ProcessId;
use hacher_monitor_core::platform::{Launch, Platform, PlatformError};

const FRAME: u64 = FRAME_BYTES as u64;
/// Bytes of its stack. The page below it is nobody's.
const STACK_BYTES: u64 = 256 << 10;
/// Its end: a page of nobody's follows.
const STACK_END: u64 = ADDRESS_END - FRAME;
/// Where its heap begins.
const HEAP_AT: u64 = 0x2000_0000_0000;
/// The longest heap: it has all of its pages from the start.
const HEAP_MAX_BYTES: u64 = 4 << 20;
/// Where the first region goes.
const REGIONS_AT: u64 = 0x1000_0000_0000;
/// Bytes of messages, with their handles, that a trustlet has not taken yet. The attachment of the largest
/// chain has fewer: 4,096 rings of 400 bytes.
const UNREAD_MAX_BYTES: usize = 2 << 20;

/// What whoever runs trustlets has to know of a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Newborn {
    /// Its number.
    pub process: ProcessId,
    /// What CR3 is while it runs.
    pub cr3: u64,
    /// Where it begins.
    pub entry: u64,
    /// Where its stack ends.
    pub stack: u64,
    /// Where its heap begins.
    pub heap_at: u64,
    /// How many bytes it has.
    pub heap_bytes: u64,
}

/// A trustlet.
pub(super) struct Trustlet {
    space: Space,
    heap_bytes: u64,
    private_pages: u64,
    next_region: u64,
    unread: VecDeque<(ZeroizingMessage, Vec<Handle>)>,
    unread_bytes: usize,
    /// By number.
    bells: Vec<Bell>,
    own_bell: Option<Bell>,
    prints: bool,
    is_killed: bool,
}

impl Trustlet {
    /// Makes its space and loads its program. On any error nothing of it is left.
    pub(super) fn begin<P: Platform<Image = Image>>(
        board: &mut impl Board,
        ledger: &mut PageLedger,
        id: SpaceId,
        launch: &Launch<'_, P>,
    ) -> Result<Self, PlatformError> {
        if !launch.environment.is_empty() || !launch.arguments.is_empty() {
            return Err(unsuitable(
                "a trustlet of this platform has no arguments and no environment",
            ));
        }
        let encrypted = board.encrypted();
        let space = Space::new(board, ledger, id, encrypted)
            .map_err(|refused| no_pages("making an address space", refused))?;
        let mut trustlet = Self {
            space,
            heap_bytes: launch.limits.memory_bytes.min(HEAP_MAX_BYTES) / FRAME * FRAME,
            private_pages: 0,
            next_region: REGIONS_AT,
            unread: VecDeque::new(),
            unread_bytes: 0,
            bells: Vec::new(),
            own_bell: None,
            prints: launch.forward_logs,
            is_killed: false,
        };
        match trustlet.load(board, ledger, launch.image) {
            Ok(()) => Ok(trustlet),
            Err(error) => {
                // What the processor does not give back is lost, and nobody's.
                let _ = trustlet.end(board, ledger);
                Err(not_mapped(&error))
            }
        }
    }

    fn load(
        &mut self,
        board: &mut impl Board,
        ledger: &mut PageLedger,
        image: &Image,
    ) -> Result<(), NotMapped> {
        for segment in image.segments() {
            match segment {
                Loaded::Shared {
                    address,
                    access,
                    pages,
                } => {
                    for (address, &frame) in (*address..).step_by(FRAME_BYTES).zip(pages.frames()) {
                        self.space.map(board, ledger, address, frame, *access)?;
                    }
                }
                Loaded::Copied { address, pages } => {
                    for (address, (lead, bytes)) in (*address..).step_by(FRAME_BYTES).zip(pages) {
                        self.map_private(board, ledger, address, (*lead, bytes))?;
                    }
                }
            }
        }
        let stack = (STACK_END - STACK_BYTES..STACK_END).step_by(FRAME_BYTES);
        let heap = (HEAP_AT..HEAP_AT + self.heap_bytes).step_by(FRAME_BYTES);
        for address in stack.chain(heap) {
            self.map_private(board, ledger, address, (0, &[]))?;
        }
        Ok(())
    }

    fn map_private(
        &mut self,
        board: &mut impl Board,
        ledger: &mut PageLedger,
        address: u64,
        content: (usize, &[u8]),
    ) -> Result<(), NotMapped> {
        let frame = filled(board, ledger, Purpose::Private(self.space.id()), content)?;
        if let Err(error) = self.space.map(board, ledger, address, frame, Access::Write) {
            ledger.release(board, frame)?;
            return Err(error);
        }
        self.private_pages += 1;
        Ok(())
    }

    /// Maps a region behind those that it has; an empty page lies between.
    pub(super) fn map_region(
        &mut self,
        board: &mut impl Board,
        ledger: &mut PageLedger,
        region: &Region,
        access: Access,
    ) -> Result<Handle, NotMapped> {
        let (begin, len_bytes) = (self.next_region, region.frames().len() as u64 * FRAME);
        let mut mapped: Vec<u64> = Vec::with_capacity(region.frames().len());
        for (address, &frame) in (begin..).step_by(FRAME_BYTES).zip(region.frames()) {
            if let Err(error) = self.space.map(board, ledger, address, frame, access) {
                for address in mapped {
                    let _: Option<Frame> = self.space.unmap(board, ledger, address);
                }
                return Err(error);
            }
            mapped.push(address);
        }
        self.next_region = begin + len_bytes + FRAME;
        Ok(Handle {
            kind: match access {
                Access::Write => handle::WRITE,
                Access::Read | Access::Execute => handle::READ,
            },
            number: 0,
            address: begin,
            len_bytes,
        })
    }

    pub(super) fn give_bell(&mut self, bell: &Bell) -> Handle {
        self.bells.push(*bell);
        bell_handle(handle::BELL, self.bells.len() - 1)
    }

    pub(super) const fn give_own_bell(&mut self, bell: &Bell) -> Handle {
        self.own_bell = Some(*bell);
        bell_handle(handle::OWN_BELL, 0)
    }

    /// Whether it has read so much that it can be told more.
    pub(super) fn check_room(&self, message: &ZeroizingMessage) -> Result<(), PlatformError> {
        if self.unread_bytes.saturating_add(message.as_bytes().len()) > UNREAD_MAX_BYTES {
            return Err(unsuitable("the trustlet does not read what it is told"));
        }
        Ok(())
    }

    pub(super) fn tell(&mut self, message: ZeroizingMessage, handles: Vec<Handle>) {
        self.unread_bytes += told_bytes(&message, &handles);
        self.unread.push_back((message, handles));
    }

    /// The message that was told first and not taken.
    pub(super) fn next_message(&self) -> Option<&(ZeroizingMessage, Vec<Handle>)> {
        self.unread.front()
    }

    pub(super) fn took_message(&mut self) {
        if let Some((message, handles)) = self.unread.pop_front() {
            self.unread_bytes = self.unread_bytes.saturating_sub(told_bytes(&message, &handles));
        }
    }

    pub(super) const fn space(&self) -> &Space {
        &self.space
    }

    pub(super) const fn space_id(&self) -> SpaceId {
        self.space.id()
    }

    pub(super) fn bell(&self, number: u64) -> Option<Bell> {
        self.bells.get(usize::try_from(number).ok()?).copied()
    }

    pub(super) const fn own_bell(&self) -> Option<Bell> {
        self.own_bell
    }

    pub(super) const fn prints(&self) -> bool {
        self.prints
    }

    pub(super) const fn kill(&mut self) {
        self.is_killed = true;
    }

    pub(super) const fn is_killed(&self) -> bool {
        self.is_killed
    }

    pub(super) const fn memory_bytes(&self) -> u64 {
        self.private_pages * FRAME
    }

    pub(super) const fn newborn(&self, process: ProcessId, image: &Image) -> Newborn {
        Newborn {
            process,
            cr3: self.space.cr3(),
            entry: image.entry(),
            stack: STACK_END,
            heap_at: HEAP_AT,
            heap_bytes: self.heap_bytes,
        }
    }

    pub(super) fn end(self, board: &mut impl Board, ledger: &mut PageLedger) -> Result<(), Refused> {
        self.space.end(board, ledger)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "as many bells as handles of an attachment"
)]
const fn bell_handle(kind: u32, number: usize) -> Handle {
    Handle {
        kind,
        number: number as u32,
        address: 0,
        len_bytes: 0,
    }
}

fn told_bytes(message: &ZeroizingMessage, handles: &[Handle]) -> usize {
    message.as_bytes().len() + size_of_val(handles)
}
