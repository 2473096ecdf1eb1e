//! A function that reads and writes a stream, and does on the way what the first byte of the body says.

use hacher_libos_net::{Failure, Input, Output};
use ring::digest::{Context, SHA256};
use std::io::{BufRead, Write};
use std::time::Duration;

/// Where it does what it is asked to: in the middle of a stream, after so many bytes.
pub const MIDDLE_BYTES: u64 = 1 << 20;

/// Passes its input on as it comes. A body that begins with `h` is followed by its SHA-256; other letters ask
/// for worse.
///
/// # Errors
/// If the body asks for that.
pub fn pass(mut input: Input<'_>, output: &mut Output<'_>) -> Result<(), Failure> {
    let mut hash = Context::new(&SHA256);
    let mut passed = 0_u64;
    let mut asked = None;
    let mut out = output.out()?;
    out.set_content_type("application/octet-stream")?;
    let mut body = input.reader();
    loop {
        let piece = body.fill_buf()?;
        if piece.is_empty() {
            break;
        }
        let first = *asked.get_or_insert_with(|| piece.first().copied().unwrap_or(0));
        if first == b'e' {
            return Err(Failure::permanent("as the first byte asks"));
        }
        hash.update(piece);
        out.stream().append(piece)?;
        out.flush()?;
        let len = piece.len();
        let before = passed;
        passed += len as u64;
        body.consume(len);
        if before < MIDDLE_BYTES && passed >= MIDDLE_BYTES {
            match first {
                b'f' => return Err(Failure::retry("as the first byte asks")),
                b'k' => std::process::abort(),
                b'w' => std::thread::sleep(Duration::from_secs(60)),
                b'q' => return Ok(()),
                _ => {}
            }
        }
    }
    if asked == Some(b'h') {
        out.append(hash.finish().as_ref())?;
    }
    Ok(())
}

/// Answers with the SHA-256 of a stream of which it holds nothing.
///
/// # Errors
/// If the stream breaks off.
pub fn digest(mut input: Input<'_>, output: &mut Output<'_>) -> Result<(), Failure> {
    let mut hash = Context::new(&SHA256);
    let mut body = input.reader();
    loop {
        let piece = body.fill_buf()?;
        if piece.is_empty() {
            break;
        }
        hash.update(piece);
        let len = piece.len();
        body.consume(len);
    }
    output.send(hash.finish().as_ref())
}

/// Writes for ever.
///
/// # Errors
/// As soon as nobody reads any more.
pub fn endless(_: Input<'_>, output: &mut Output<'_>) -> Result<(), Failure> {
    let piece = [7; 10_000];
    let mut out = output.out()?;
    loop {
        out.stream().append(&piece)?;
    }
}
