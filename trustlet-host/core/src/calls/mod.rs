//! Monitor calls: a request and a reply of fixed layout, in the shape of the SVSM calling convention (AMD
//! 58019): a protocol and a call number, a few 64-bit arguments, at most one bounded operand page, a result
//! code. Descriptors travel beside the message.
//!
//! ```text
//! request   0 protocol   4 call     8 version    12 sequence   16 six arguments   64 operand bytes   68 descriptors
//! reply     0 protocol   4 call     8 result     12 sequence   16 six values      64 operand bytes   68 descriptors
//! operand   72 ..        at most 4096 bytes
//! ```
//!
//! All numbers are little-endian, as on every machine this runs on. A reply repeats call and sequence of its
//! request. An *event* is a reply with sequence 0 and an event's number as its call; requests count from 1.
//! The operand of a reply with an error is a line of text for the operator, without keys or payload.

mod code;
mod entry;
mod number;

use alloc::vec::Vec;
pub use code::ResultCode;
pub use entry::{
    AwaitedSecret, ChainDefinition, ChainEntry, EdgeDefinition, EdgeEntry, FunctionDefinition, FunctionEntry,
    GatewayDefinition, GatewayEntry, InboundEntry, InstanceEntry, InstanceState, LayerEntry, MonitorEntry,
    PortEntry, ReleaseEntry, SealedSecret, Statistics,
};
pub use number::{Call, EventNumber};

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The protocol of this project.
pub const PROTOCOL: u32 = 1;
/// The version of the protocol.
pub const VERSION: u32 = 7;
/// The longest operand: one page.
pub const OPERAND_MAX_BYTES: usize = 4096;

/// How the records of an edge are protected.
pub mod protection {
    /// Authenticated encryption, in an outbox that every consumer of its producer maps.
    pub const SEALED: u32 = 1;
    /// No cipher: a region of its own for each ring, mapped by its two ends alone.
    pub const MAPPED: u32 = 2;
}

/// How the consumer of an edge reads its records.
pub mod reading {
    /// As the limits of the function say that reads them, or of the one that sends them to egress.
    pub const AS_FUNCTION: u32 = 0;
    /// As a stream, released as they are read: of one record, not of a join.
    pub const STREAM: u32 = 1;
    /// Whole.
    pub const WHOLE: u32 = 2;
}

/// What one entry of a function's files is.
pub mod file_kind {
    /// A folder.
    pub const FOLDER: u64 = 0;
    /// A file; whether it is executable is seen from itself.
    pub const FILE: u64 = 1;
    /// A symbolic link.
    pub const LINK: u64 = 2;
}

/// How a gateway speaks TLS.
pub use hacher_data_path::attach::message::listen_tls as tls;

/// Which of the files of TLS one is.
pub mod tls_file {
    /// The certificate chain (PEM).
    pub const CERTIFICATE: u64 = 0;
    /// The private key (PEM).
    pub const KEY: u64 = 1;
    /// The certificates of those who sign clients' certificates (PEM).
    pub const CLIENT_CA: u64 = 2;
}
/// Most descriptors beside one message.
pub const DESCRIPTORS_MAX: usize = 4;
/// The longest message.
pub const MESSAGE_MAX_BYTES: usize = size_of::<RequestHeader>() + OPERAND_MAX_BYTES;
/// In place of a chain's number: a gateway's process. What else says an instance says the gateway's number
/// then.
pub const GATEWAY_PROCESS: u64 = u64::MAX;
/// In place of a CPU's number: any.
pub const ANY_CPU: u64 = u64::MAX;

/// Starts every request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RequestHeader {
    /// [`PROTOCOL`].
    pub protocol: u32,
    /// The number of a [`Call`].
    pub call: u32,
    /// [`VERSION`].
    pub version: u32,
    /// Chosen by the caller, not 0; the reply repeats it.
    pub sequence: u32,
    /// Arguments; their meaning depends on the call.
    pub arguments: [u64; 6],
    /// Bytes of operand that follow.
    pub operand_bytes: u32,
    /// Descriptors beside the message.
    pub descriptor_count: u32,
}

/// Starts every reply and every event.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ReplyHeader {
    /// [`PROTOCOL`].
    pub protocol: u32,
    /// The number of the [`Call`], or an [`EventNumber`].
    pub call: u32,
    /// The number of a [`ResultCode`].
    pub result: u32,
    /// That of the request; 0 in an event.
    pub sequence: u32,
    /// Results; their meaning depends on the call.
    pub values: [u64; 6],
    /// Bytes of operand that follow.
    pub operand_bytes: u32,
    /// Descriptors beside the message.
    pub descriptor_count: u32,
}

const _: () = {
    assert!(size_of::<RequestHeader>() == 72);
    assert!(size_of::<ReplyHeader>() == 72);
    assert!(size_of::<ChainEntry>() < OPERAND_MAX_BYTES);
    assert!(size_of::<FunctionEntry>() < OPERAND_MAX_BYTES);
};

/// A request whose frame is right; its arguments are not checked yet.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// What is asked.
    pub call: Call,
    /// The caller's number of the request.
    pub sequence: u32,
    /// Arguments.
    pub arguments: [u64; 6],
    /// The operand.
    pub operand: &'a [u8],
}

impl<'a> Request<'a> {
    /// Checks the frame of a message that came with `descriptor_count` descriptors.
    ///
    /// # Errors
    /// The result code to answer with.
    pub fn decode(message: &'a [u8], descriptor_count: usize) -> Result<Self, ResultCode> {
        let (header, operand) =
            RequestHeader::read_from_prefix(message).map_err(|_| ResultCode::InvalidFormat)?;
        if header.protocol != PROTOCOL {
            return Err(ResultCode::UnsupportedProtocol);
        }
        if header.version != VERSION {
            return Err(ResultCode::InvalidFormat);
        }
        let call = Call::from_number(header.call).ok_or(ResultCode::UnsupportedCall)?;
        let counts_agree = usize::try_from(header.operand_bytes).is_ok_and(|len| len == operand.len())
            && usize::try_from(header.descriptor_count).is_ok_and(|count| count == descriptor_count)
            && operand.len() <= OPERAND_MAX_BYTES
            && descriptor_count <= DESCRIPTORS_MAX;
        if !counts_agree || header.sequence == 0 {
            return Err(ResultCode::InvalidFormat);
        }
        Ok(Self {
            call,
            sequence: header.sequence,
            arguments: header.arguments,
            operand,
        })
    }

    /// Call and sequence as the message states them, right or wrong, so that an error can name what it
    /// answers.
    #[must_use]
    pub fn peek(message: &[u8]) -> (u32, u32) {
        RequestHeader::read_from_prefix(message)
            .map_or((u32::MAX, 0), |(header, _)| (header.call, header.sequence))
    }
}

/// The bytes of a message: a header and its operand.
#[must_use]
pub fn message<H: IntoBytes + Immutable>(header: &H, operand: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(size_of::<H>() + operand.len());
    bytes.extend_from_slice(header.as_bytes());
    bytes.extend_from_slice(operand);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> RequestHeader {
        RequestHeader {
            protocol: PROTOCOL,
            call: Call::SealChain.number(),
            version: VERSION,
            sequence: 7,
            arguments: [1, 2, 3, 4, 5, 6],
            operand_bytes: 2,
            descriptor_count: 1,
        }
    }

    #[test]
    fn a_well_formed_request_is_read_back() {
        let bytes = message(&header(), b"ab");
        let request = Request::decode(&bytes, 1).unwrap();
        assert_eq!(request.call, Call::SealChain);
        assert_eq!(request.arguments, [1, 2, 3, 4, 5, 6]);
        assert_eq!(request.operand, b"ab");
        assert_eq!(Request::peek(&bytes), (Call::SealChain.number(), 7));
    }

    #[test]
    fn each_fault_of_a_frame_has_its_code() {
        let refused = |header: RequestHeader, operand: &[u8], descriptors| {
            Request::decode(&message(&header, operand), descriptors).unwrap_err()
        };
        let good = header();
        assert_eq!(
            refused(RequestHeader { protocol: 2, ..good }, b"ab", 1),
            ResultCode::UnsupportedProtocol
        );
        assert_eq!(
            refused(RequestHeader { call: 9999, ..good }, b"ab", 1),
            ResultCode::UnsupportedCall
        );
        assert_eq!(
            refused(
                RequestHeader {
                    version: VERSION + 1,
                    ..good
                },
                b"ab",
                1
            ),
            ResultCode::InvalidFormat
        );
        assert_eq!(
            refused(RequestHeader { sequence: 0, ..good }, b"ab", 1),
            ResultCode::InvalidFormat
        );
        assert_eq!(refused(good, b"abc", 1), ResultCode::InvalidFormat);
        assert_eq!(refused(good, b"ab", 0), ResultCode::InvalidFormat);
        let long = vec![0; OPERAND_MAX_BYTES + 1];
        assert_eq!(
            refused(
                RequestHeader {
                    operand_bytes: 4097,
                    ..good
                },
                &long,
                1
            ),
            ResultCode::InvalidFormat
        );
        assert_eq!(
            Request::decode(&[1, 0, 0, 0], 0).unwrap_err(),
            ResultCode::InvalidFormat
        );
    }
}
