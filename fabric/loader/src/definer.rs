//! Whom a chain is defined to.

use hacher_trustlet_host::calls::Call;
use hacher_trustlet_host::client::{ClientError, MonitorClient};
use hacher_trustlet_host::measure::Measurer;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The monitor, as the definition of chains sees it: over a socket, or in this process to measure only.
pub trait Definer {
    /// Makes a call; returns value 0 and the operand of the answer.
    ///
    /// # Errors
    /// The monitor's refusal in words.
    fn call(
        &mut self,
        call: Call,
        arguments: &[u64],
        operand: &[u8],
        files: Vec<OwnedFd>,
    ) -> Result<(u64, Vec<u8>), String>;
}

impl Definer for MonitorClient {
    fn call(
        &mut self,
        call: Call,
        arguments: &[u64],
        operand: &[u8],
        files: Vec<OwnedFd>,
    ) -> Result<(u64, Vec<u8>), String> {
        let borrowed: Vec<BorrowedFd<'_>> = files.iter().map(AsFd::as_fd).collect();
        let answer = Self::call(self, call, arguments, operand, &borrowed);
        let answer = answer.map_err(|error| {
            // Closing them may wait for a file system that does not answer, which may be why.
            core::mem::forget(files);
            match error {
                ClientError::Refused { text, .. } => text,
                other => other.to_string(),
            }
        })?;
        Ok((answer.values[0], answer.operand))
    }
}

impl Definer for Measurer {
    fn call(
        &mut self,
        call: Call,
        arguments: &[u64],
        operand: &[u8],
        files: Vec<OwnedFd>,
    ) -> Result<(u64, Vec<u8>), String> {
        Self::call(self, call, arguments, operand, files).map(|(values, operand)| (values[0], operand))
    }
}
