//! Measuring without running: the same core and the same calls, on a platform that loads executables and
//! starts nothing. So the digest is the one that a monitor would compute.

use crate::calls::{self, Call, PROTOCOL, ReplyHeader, RequestHeader, ResultCode, VERSION};
use crate::chosen::Chosen;
use crate::core::{Caller, Core};
use crate::ids::number;
use crate::machine::Machine;
use crate::platform::PlatformError;
use rustix::fd::OwnedFd;
use zerocopy::FromBytes;

/// What measures for the platform of this build.
type Scales = <Chosen as Machine>::Scales;

/// A monitor that measures chains and runs none.
pub struct Measurer {
    core: Core<Scales>,
    sequence: u32,
}

impl Measurer {
    /// One that knows no chain yet.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn new() -> Result<Self, PlatformError> {
        Ok(Self {
            core: Core::new(Scales::default())?,
            sequence: 0,
        })
    }

    /// Makes a call, as a loader would.
    ///
    /// # Errors
    /// The refusal in words.
    pub fn call(
        &mut self,
        call: Call,
        arguments: &[u64],
        operand: &[u8],
        files: Vec<OwnedFd>,
    ) -> Result<([u64; 6], Vec<u8>), String> {
        self.sequence = self.sequence.checked_add(1).unwrap_or(1);
        let mut header = RequestHeader {
            protocol: PROTOCOL,
            call: call.number(),
            version: VERSION,
            sequence: self.sequence,
            arguments: [0; 6],
            operand_bytes: number(operand.len()),
            descriptor_count: number(files.len()),
        };
        for (to, from) in header.arguments.iter_mut().zip(arguments) {
            *to = *from;
        }
        let reply = self
            .core
            .call(Caller::Loader, &calls::message(&header, operand), files);
        let (header, operand) =
            ReplyHeader::read_from_prefix(&reply.bytes).map_err(|_| "the reply is malformed".to_owned())?;
        match ResultCode::from_number(header.result) {
            Some(ResultCode::Success) => Ok((header.values, operand.to_vec())),
            Some(code) if operand.is_empty() => Err(code.text().to_owned()),
            _ => Err(String::from_utf8_lossy(operand).into_owned()),
        }
    }
}
