//! The monitor's part of an exchange: what a broker is shown, and what becomes of its answer.

use super::sealed::Sealed;
use crate::failed::Failed;
use hacher_loader::define::Awaited;
use hacher_trustlet_host::calls::{Call, ReleaseEntry, ResultCode};
use hacher_trustlet_host::client::{ClientError, MonitorClient};
use hacher_trustlet_host::evidence::envelope::EVIDENCE_MAX_BYTES;
use hacher_trustlet_host::evidence::release::ReleaseKey;
use rustix::fs::{MemfdFlags, SeekFrom, memfd_create, seek};
use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::time::Duration;
use zerocopy::{FromBytes, IntoBytes};

/// How long to wait before a platform that is busy with its report is asked again.
const ASKED_EVERY: Duration = Duration::from_millis(50);

/// What a broker is shown.
pub(super) struct Shown {
    /// The monitor's key for this secret.
    pub(super) key: ReleaseKey,
    /// Evidence over it.
    pub(super) evidence: Vec<u8>,
}

/// Has the monitor make a key for a secret, and evidence over that and the broker's nonce.
pub(super) async fn ask(monitor: &mut MonitorClient, secret: &Awaited, nonce: &str) -> Result<Shown, Failed> {
    let mut bytes = Vec::new();
    loop {
        let from = bytes.len() as u64;
        let arguments = [secret.chain, secret.function, secret.secret, from];
        match monitor.call(Call::AskForSecret, &arguments, nonce.as_bytes(), &[]) {
            Err(ClientError::Refused {
                code: Some(ResultCode::Busy),
                ..
            }) => tokio::time::sleep(ASKED_EVERY).await,
            Err(error) => return Err(error.into()),
            Ok(answer) => {
                bytes.extend_from_slice(&answer.operand);
                if bytes.len() as u64 >= answer.values[0] {
                    break;
                }
                if answer.operand.is_empty() || bytes.len() > EVIDENCE_MAX_BYTES {
                    return Err(Failed::new(
                        "the monitor's answer has another length than it says",
                    ));
                }
            }
        }
    }
    let (ReleaseEntry { x, y }, evidence) = ReleaseEntry::read_from_prefix(&bytes)
        .map_err(|_| Failed::new("the monitor's answer has another layout"))?;
    Ok(Shown {
        key: ReleaseKey { x, y },
        evidence: evidence.to_vec(),
    })
}

/// Gives the monitor what the broker has sealed for that key.
pub(super) fn hand_over(
    monitor: &mut MonitorClient,
    secret: &Awaited,
    sealed: &Sealed,
) -> Result<(), Failed> {
    let mut file = File::from(memfd_create("sealed-secret", MemfdFlags::CLOEXEC)?);
    file.write_all(&sealed.ciphertext)?;
    seek(&file, SeekFrom::Start(0))?;
    let operand = [sealed.entry.as_bytes(), sealed.protected.as_bytes()].concat();
    let arguments = [secret.chain, secret.function, secret.secret];
    monitor.call(Call::OpenSecret, &arguments, &operand, &[file.as_fd()])?;
    Ok(())
}
