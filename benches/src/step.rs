//! The function that benchmark chains are made of: reads its input to the last byte, and passes something on.

use super::subject::Checksum;
use hacher_libos_net::Failure;
use hacher_libos_net::Input;
use hacher_libos_net::Output;
use hacher_libos_net::clock::{self, Monotonic};
use std::io::BufRead;
use std::process::ExitCode;

/// What the names of functions of benchmark chains start with; an executable that is started under such a
/// name is one.
pub const ROLE: &str = "bench-step";
/// The variable that says which [`Work`] a function does.
pub const WORK: &str = "WORK";
/// The variable that is `no` where a function does not read its input.
pub const TOUCH: &str = "TOUCH";
/// The port of a sink that leads nowhere.
pub const NOWHERE: &str = "nowhere";
/// The first byte of a record whose receipt a sink is to send.
pub const WANTS_RECEIPT: u8 = 1;

/// What a function does with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Passes it on.
    Forward,
    /// Answers with a [`Receipt`].
    Receipt,
    /// Answers with a receipt if asked to, and else with nothing.
    Sink,
}

impl Work {
    /// Its word in a chain file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Receipt => "receipt",
            Self::Sink => "sink",
        }
    }

    fn from_environment() -> Self {
        match std::env::var(WORK).as_deref() {
            Ok("receipt") => Self::Receipt,
            Ok("sink") => Self::Sink,
            _ => Self::Forward,
        }
    }

    fn run(self, touches: bool, mut input: Input<'_>, output: &mut Output<'_>) -> Result<(), Failure> {
        if self == Self::Forward {
            let body = input.bytes()?;
            core::hint::black_box(super::subject::checksum(body));
            return output.send(body);
        }
        let (checksum, first) = read(&mut input, touches)?;
        let checksum = core::hint::black_box(checksum.finish());
        if self == Self::Sink && first != Some(WANTS_RECEIPT) {
            return output.send_to(NOWHERE, &[]);
        }
        let receipt = Receipt {
            checksum,
            read_at: clock::now(),
        };
        output.send(&receipt.encode())
    }
}

/// Reads the body to its end: its checksum and its first byte. Where it is not to be touched, a mapped one is
/// only looked up, and a sealed one is opened and not read.
fn read(input: &mut Input<'_>, touches: bool) -> Result<(Checksum, Option<u8>), Failure> {
    let start = (Checksum::default(), None);
    let go_on = |(mut checksum, first): (Checksum, Option<u8>), chunk: &[u8]| {
        if touches {
            checksum.update(chunk);
        }
        (checksum, first.or_else(|| chunk.first().copied()))
    };
    if let Some(view) = input.view()? {
        return Ok(if touches { view.fold(start, go_on) } else { start });
    }
    let mut read = start;
    let mut reader = input.reader();
    loop {
        let chunk = reader
            .fill_buf()
            .map_err(|_| Failure::retry("the input broke off"))?;
        if chunk.is_empty() {
            return Ok(read);
        }
        read = go_on(read, chunk);
        let len = chunk.len();
        reader.consume(len);
    }
}

/// Says that a record was read, and when. All processes of a machine share the clock, so that a hop can be
/// timed one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// Of the record's body.
    pub checksum: u64,
    /// When its last byte had been read.
    pub read_at: Monotonic,
}

impl Receipt {
    fn encode(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        let (checksum, time) = bytes.split_at_mut(8);
        checksum.copy_from_slice(&self.checksum.to_le_bytes());
        time.copy_from_slice(&self.read_at.as_ns().to_le_bytes());
        bytes
    }

    /// Reads one; `None` if these bytes are none.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (checksum, time) = bytes.split_first_chunk::<8>()?;
        Some(Self {
            checksum: u64::from_le_bytes(*checksum),
            read_at: Monotonic::from_ns(u64::from_le_bytes(time.try_into().ok()?)),
        })
    }
}

/// The function's life.
#[must_use]
pub fn main() -> ExitCode {
    let work = Work::from_environment();
    let touches = std::env::var(TOUCH).as_deref() != Ok("no");
    hacher_libos_net::serve(move |input, output| work.run(touches, input, output))
}
