//! The calls of trustlets, each served in the caller's name. Every argument is hostile.

use super::board::Board;
use super::own_memory;
use super::snp::Snp;
use crate::abi::{PRINT_MAX_BYTES, RANDOM_MAX_BYTES, REFUSED, SAY_MAX_BYTES, call};
use alloc::vec::Vec;
use hacher_data_path::attach::message::MESSAGE_MAX_BYTES;
use hacher_monitor_core::ids::ProcessId;
use zerocopy::IntoBytes;
use zeroize::Zeroizing;

/// What became of a call.
#[derive(Debug, PartialEq, Eq)]
pub enum Served {
    /// It is answered.
    Answer(u64),
    /// The trustlet sleeps until [`Snp::is_awake`] says that it does not, or this time comes; then the answer
    /// is 0.
    Sleeps {
        /// As [`Board::now_ns`] counts.
        until_ns: u64,
    },
    /// It says this to the core; the answer is 0.
    Says(Vec<u8>),
    /// It prints this; the answer is 0.
    Prints(Vec<u8>),
    /// It has ended, with this code.
    Ended(u64),
}

impl<B: Board> Snp<B> {
    /// Serves a call of a trustlet.
    pub fn call(&mut self, process: ProcessId, number: u64, [first, second, third]: [u64; 3]) -> Served {
        if self.is_killed(process) {
            return Served::Answer(REFUSED);
        }
        let served = match number {
            call::EXIT => Some(Served::Ended(first)),
            call::RECEIVE => self.receive(process, first, second, third).map(Served::Answer),
            call::SAY => self
                .bytes(process, first, second, SAY_MAX_BYTES)
                .map(Served::Says),
            call::RING => self.ring(process, first),
            call::WAIT => self.wait(process, first),
            call::NOW => Some(Served::Answer(self.board.now_ns())),
            call::RANDOM => self.random_bytes(process, first, second),
            call::PRINT => self.print(process, first, second),
            _ => None,
        };
        served.unwrap_or(Served::Answer(REFUSED))
    }

    /// Whether a trustlet that sleeps is to go on: its bell has rung, or it was told something. A ring is
    /// heard once.
    pub fn is_awake(&mut self, process: ProcessId) -> bool {
        let Some(trustlet) = self.trustlets.get(&process) else {
            return true;
        };
        let has_news = trustlet.next_message().is_some();
        let own_bell = trustlet.own_bell();
        own_bell.is_some_and(|bell| self.bells.hear(bell)) || has_news
    }

    /// The message goes only if it fits; else it waits for a caller with more room.
    fn receive(&mut self, process: ProcessId, at: u64, room: u64, handles_at: u64) -> Option<u64> {
        let trustlet = self.trustlets.get(&process)?;
        if room < MESSAGE_MAX_BYTES as u64 {
            return None;
        }
        let Some((message, handles)) = trustlet.next_message() else {
            return Some(0);
        };
        let memory = (trustlet.space(), &self.ledger);
        let (message, handles) = (message.as_bytes(), handles.as_bytes());
        if !own_memory::can_copy_out(memory, at, message.len()) {
            return None;
        }
        own_memory::copy_out(&mut self.board, memory, handles_at, handles)?;
        own_memory::copy_out(&mut self.board, memory, at, message)?;
        let count = handles.len() / size_of::<crate::abi::Handle>();
        let answer = (count as u64) << 32 | message.len() as u64;
        self.trustlets.get_mut(&process)?.took_message();
        Some(answer)
    }

    fn ring(&mut self, process: ProcessId, number: u64) -> Option<Served> {
        let bell = self.trustlets.get(&process)?.bell(number)?;
        self.bells.ring(bell);
        Some(Served::Answer(0))
    }

    fn wait(&mut self, process: ProcessId, until_ns: u64) -> Option<Served> {
        self.trustlets.get(&process)?.own_bell()?;
        Some(if self.is_awake(process) || until_ns <= self.board.now_ns() {
            Served::Answer(0)
        } else {
            Served::Sleeps { until_ns }
        })
    }

    fn random_bytes(&mut self, process: ProcessId, at: u64, len_bytes: u64) -> Option<Served> {
        let len_bytes = usize::try_from(len_bytes)
            .ok()
            .filter(|len| *len <= RANDOM_MAX_BYTES)?;
        let memory = (self.trustlets.get(&process)?.space(), &self.ledger);
        if !own_memory::can_copy_out(memory, at, len_bytes) {
            return None;
        }
        let mut bytes = Zeroizing::new([0; RANDOM_MAX_BYTES]);
        let bytes = bytes.get_mut(..len_bytes)?;
        self.board.random(bytes).ok()?;
        own_memory::copy_out(&mut self.board, memory, at, bytes)?;
        Some(Served::Answer(0))
    }

    fn print(&mut self, process: ProcessId, at: u64, len_bytes: u64) -> Option<Served> {
        let bytes = self.bytes(process, at, len_bytes, PRINT_MAX_BYTES)?;
        let prints = self.trustlets.get(&process)?.prints();
        Some(if prints {
            Served::Prints(bytes)
        } else {
            Served::Answer(0)
        })
    }

    /// A copy of bytes of a trustlet.
    fn bytes(&self, process: ProcessId, at: u64, len_bytes: u64, max_bytes: usize) -> Option<Vec<u8>> {
        let len_bytes = usize::try_from(len_bytes).ok().filter(|len| *len <= max_bytes)?;
        let memory = (self.trustlets.get(&process)?.space(), &self.ledger);
        own_memory::copy_in(&self.board, memory, at, len_bytes)
    }
}
