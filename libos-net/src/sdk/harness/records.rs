//! Where the records of a handler under test go, within the bounds that they would meet in a chain.

use super::record::Record;
use crate::sdk::failure::Failure;
use crate::sdk::port_buffer::RecordSink;

const TOO_LARGE: Failure = Failure::permanent("the output is larger than the outbox");

/// What was written, by ports.
pub(super) struct Records {
    written: Vec<Record>,
    /// Ports whose records somebody holds.
    held: Vec<bool>,
    outbox_bytes: u64,
    /// A segment was refused: the record has a hole.
    has_failed: bool,
}

impl Records {
    pub(super) const fn new(outbox_bytes: u64) -> Self {
        Self {
            written: Vec::new(),
            held: Vec::new(),
            outbox_bytes,
            has_failed: false,
        }
    }

    /// Declares the ports, of which the `held` are read by somebody who holds their records.
    pub(super) fn declare(&mut self, ports: Vec<String>, held: &[String]) {
        for port in held {
            assert!(ports.contains(port), "there is no port `{port}` to be held");
        }
        self.held = ports.iter().map(|port| held.contains(port)).collect();
        self.written = ports.into_iter().map(Record::new).collect();
    }

    /// Whether so much may leave at once.
    pub(super) const fn check_size(&self, len_bytes: usize) -> Result<(), Failure> {
        if len_bytes as u64 > self.outbox_bytes {
            return Err(TOO_LARGE);
        }
        Ok(())
    }

    pub(super) fn into_written(self) -> Vec<Record> {
        self.written
    }

    fn is_held(&self, port: usize) -> bool {
        self.held.get(port) == Some(&true)
    }
}

impl RecordSink for Records {
    fn place(&mut self, _port: usize, len_bytes: usize) -> Result<bool, Failure> {
        self.check_size(len_bytes).map(|()| false)
    }

    fn segment(&mut self, port: usize, plain: &[u8], last: bool) -> Result<(), Failure> {
        if self.has_failed {
            return Err(Failure::permanent(
                "the handler went on after its output had failed",
            ));
        }
        let (is_held, outbox_bytes) = (self.is_held(port), self.outbox_bytes);
        let Some(record) = self.written.get_mut(port) else {
            return Ok(());
        };
        let len_bytes = record.plain.len() + plain.len();
        if is_held && len_bytes as u64 > outbox_bytes {
            self.has_failed = true;
            return Err(TOO_LARGE);
        }
        record.plain.extend_from_slice(plain);
        record.segments += 1;
        record.complete = last;
        Ok(())
    }

    fn streams(&self, port: usize) -> bool {
        !self.is_held(port)
    }
}
