//! The callers' side of monitor calls, for loader and daemon.

use crate::calls::{
    self, Call, EventNumber, MESSAGE_MAX_BYTES, OPERAND_MAX_BYTES, PROTOCOL, ReplyHeader, RequestHeader,
    ResultCode, VERSION,
};
use crate::ids::number;
use core::time::Duration;
use hacher_libos_net::attach::seqpacket;
use hacher_libos_net::end::End;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use std::collections::VecDeque;
use zerocopy::FromBytes;

/// A call failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The monitor said no.
    #[error("{text}")]
    Refused {
        /// The kind of refusal.
        code: Option<ResultCode>,
        /// The monitor's words.
        text: String,
    },
    /// The monitor is gone.
    #[error("the monitor closed the connection")]
    Closed,
    /// The answer is not of the layout that was agreed.
    #[error("the monitor's answer is malformed")]
    Malformed,
    /// The operand is longer than a page.
    #[error("an operand of {len_bytes} bytes is longer than a page")]
    TooLong {
        /// Its length.
        len_bytes: usize,
    },
    /// The kernel refused.
    #[error("the connection to the monitor failed: {0}")]
    Os(Errno),
}

impl From<Errno> for ClientError {
    fn from(errno: Errno) -> Self {
        match errno {
            // What was sent found nobody.
            Errno::PIPE | Errno::CONNRESET => Self::Closed,
            errno => Self::Os(errno),
        }
    }
}

/// What a successful call returns.
#[derive(Debug)]
pub struct Answer {
    /// Values; their meaning depends on the call.
    pub values: [u64; 6],
    /// The operand.
    pub operand: Vec<u8>,
    /// Descriptors.
    pub descriptors: Vec<OwnedFd>,
}

/// What the monitor says without being asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// An instance serves.
    InstanceReady {
        /// Its chain, or [`calls::GATEWAY_PROCESS`].
        chain: u64,
        /// Its number; the gateway's, for a gateway's process.
        instance: u64,
        /// Its epoch.
        epoch: u64,
    },
    /// An instance's process is gone.
    InstanceDied {
        /// Its chain, or [`calls::GATEWAY_PROCESS`].
        chain: u64,
        /// Its number; the gateway's, for a gateway's process.
        instance: u64,
        /// The epoch that ended.
        epoch: u64,
        /// How it ended.
        end: End,
        /// How long it lived.
        lived: Duration,
    },
    /// A chain can run.
    ChainSealed {
        /// Which.
        chain: u64,
    },
    /// All chains are defined.
    Loaded {
        /// How many.
        chains: u64,
    },
    /// A system call was refused to an instance, for the first time.
    CallRefused {
        /// Its chain.
        chain: u64,
        /// Its number.
        instance: u64,
    },
    /// The monitor stops.
    ShuttingDown {
        /// How long trustlets have to finish.
        grace: Duration,
    },
}

impl Event {
    fn decode(header: &ReplyHeader) -> Option<Self> {
        let [first, second, third, fourth, fifth, sixth] = header.values;
        Some(match EventNumber::from_number(header.call)? {
            EventNumber::InstanceReady => Self::InstanceReady {
                chain: first,
                instance: second,
                epoch: third,
            },
            EventNumber::InstanceDied => Self::InstanceDied {
                chain: first,
                instance: second,
                epoch: third,
                end: End::decode(u32::try_from(fourth).ok()?, u32::try_from(fifth).ok()?)?,
                lived: Duration::from_nanos(sixth),
            },
            EventNumber::ChainSealed => Self::ChainSealed { chain: first },
            EventNumber::Loaded => Self::Loaded { chains: first },
            EventNumber::CallRefused => Self::CallRefused {
                chain: first,
                instance: second,
            },
            EventNumber::ShuttingDown => Self::ShuttingDown {
                grace: Duration::from_nanos(first),
            },
        })
    }
}

/// A connection to the monitor.
#[derive(Debug)]
pub struct MonitorClient {
    socket: OwnedFd,
    sequence: u32,
    events: VecDeque<Event>,
}

impl MonitorClient {
    /// Speaks over `socket`, which the monitor gave to this process.
    #[must_use]
    pub fn new(socket: OwnedFd) -> Self {
        Self {
            socket,
            sequence: 0,
            events: VecDeque::new(),
        }
    }

    /// Makes a call and waits for its answer, keeping events that come before it.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn call(
        &mut self,
        call: Call,
        arguments: &[u64],
        operand: &[u8],
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<Answer, ClientError> {
        if operand.len() > OPERAND_MAX_BYTES {
            return Err(ClientError::TooLong {
                len_bytes: operand.len(),
            });
        }
        self.sequence = self.sequence.checked_add(1).unwrap_or(1);
        let mut header = RequestHeader {
            protocol: PROTOCOL,
            call: call.number(),
            version: VERSION,
            sequence: self.sequence,
            arguments: [0; 6],
            operand_bytes: number(operand.len()),
            descriptor_count: number(descriptors.len()),
        };
        for (to, from) in header.arguments.iter_mut().zip(arguments) {
            *to = *from;
        }
        seqpacket::send(
            &self.socket,
            &calls::message(&header, operand),
            descriptors,
            SendFlags::empty(),
        )?;
        loop {
            let (reply, answer) = self.receive(RecvFlags::empty())?;
            if reply.sequence == 0 {
                self.events.extend(Event::decode(&reply));
            } else if reply.sequence == self.sequence {
                return finish(&reply, answer);
            }
        }
    }

    /// The next event, if there is one; does not wait.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn try_event(&mut self) -> Result<Option<Event>, ClientError> {
        while self.events.is_empty() {
            match self.receive(RecvFlags::DONTWAIT) {
                Ok((reply, _)) => self.events.extend(Event::decode(&reply)),
                Err(ClientError::Os(Errno::AGAIN)) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        Ok(self.events.pop_front())
    }

    fn receive(&self, flags: RecvFlags) -> Result<(ReplyHeader, Answer), ClientError> {
        let mut buffer = vec![0; MESSAGE_MAX_BYTES];
        let (len, descriptors) =
            seqpacket::receive(&self.socket, &mut buffer, flags)?.ok_or(ClientError::Closed)?;
        buffer.truncate(len);
        let (header, operand) = ReplyHeader::read_from_prefix(&buffer).map_err(|_| ClientError::Malformed)?;
        let answer = Answer {
            values: header.values,
            operand: operand.to_vec(),
            descriptors,
        };
        Ok((header, answer))
    }
}

fn finish(reply: &ReplyHeader, answer: Answer) -> Result<Answer, ClientError> {
    let code = ResultCode::from_number(reply.result);
    if code == Some(ResultCode::Success) {
        return Ok(answer);
    }
    let said = String::from_utf8_lossy(&answer.operand).into_owned();
    let text = match code {
        _ if !said.is_empty() => said,
        Some(code) => code.text().to_owned(),
        None => format!("result {:#010x}", reply.result),
    };
    Err(ClientError::Refused { code, text })
}

impl AsFd for MonitorClient {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_monitor_that_has_gone_is_no_failure_of_the_system() {
        let (ours, theirs) = seqpacket::pair().unwrap();
        let mut client = MonitorClient::new(ours);
        drop(theirs);
        let refused = client.call(Call::QueryMonitor, &[], &[], &[]);
        assert!(matches!(refused, Err(ClientError::Closed)), "{refused:?}");
        assert!(matches!(client.try_event(), Err(ClientError::Closed)));
    }
}
