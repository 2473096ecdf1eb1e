//! A body that is sent as it is read, from a file or a pipe, however long it is.

use bytes::Bytes;
use std::io::{self, Read};
use std::thread;
use tokio::sync::mpsc;

/// Bytes that are read at a time.
const PIECE_BYTES: usize = 64 << 10;
/// Pieces that were read and not sent yet.
const PIECES_AHEAD: usize = 4;

/// A body that is sent as it is read.
#[derive(Debug)]
pub struct Streamed {
    pub(crate) pieces: mpsc::Receiver<io::Result<Bytes>>,
    /// Bytes that are still to be sent, if that is known.
    pub(crate) left: Option<u64>,
}

impl Streamed {
    /// Reads `source` on a thread of its own, as fast as what was read is sent. `len_bytes`: how many bytes
    /// there are, where that is known; the request then says so.
    ///
    /// # Errors
    /// When there can be no thread.
    pub fn of(mut source: impl Read + Send + 'static, len_bytes: Option<u64>) -> io::Result<Self> {
        let (sender, pieces) = mpsc::channel(PIECES_AHEAD);
        // Ends with its source, or when nobody takes the pieces any more.
        thread::Builder::new().name("input".to_owned()).spawn(move || {
            loop {
                let mut piece = vec![0; PIECE_BYTES];
                let read = match source.read(&mut piece) {
                    Ok(0) => return,
                    Ok(count) => {
                        piece.truncate(count);
                        Ok(Bytes::from(piece))
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => Err(error),
                };
                let is_last = read.is_err();
                if sender.blocking_send(read).is_err() || is_last {
                    return;
                }
            }
        })?;
        Ok(Self {
            pieces,
            left: len_bytes,
        })
    }
}
