//! Forwards what a function prints, where its chain file says `logs = "forward"`: line by line to the daemon's standard
//! error, each with the name of its instance before it.

use crate::watched::watch;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use std::io;
use std::os::fd::OwnedFd;

/// The longest line; a longer one is cut into several.
const LINE_MAX_BYTES: usize = 8 * 1024;

/// Forwards until all writers of the pipe are gone.
pub(super) async fn forward(name: String, pipe: OwnedFd) {
    if let Err(error) = forward_lines(&name, pipe).await {
        tell!("hacher-daemon: the log of {name} cannot be read: {error}");
    }
}

async fn forward_lines(name: &str, pipe: OwnedFd) -> io::Result<()> {
    let flags = fcntl_getfl(&pipe)?;
    fcntl_setfl(&pipe, flags | OFlags::NONBLOCK)?;
    let pipe = watch(pipe)?;
    let mut line = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let mut ready = pipe.readable().await?;
        let read =
            ready.try_io(|pipe| rustix::io::read(pipe.get_ref(), &mut buffer).map_err(io::Error::from));
        let count = match read {
            Err(_would_block) => continue,
            Ok(count) => count?,
        };
        for byte in buffer.get(..count).unwrap_or(&[]) {
            if *byte != b'\n' {
                line.push(*byte);
            }
            if *byte == b'\n' || line.len() >= LINE_MAX_BYTES {
                print(name, &line);
                line.clear();
            }
        }
        if count == 0 {
            if !line.is_empty() {
                print(name, &line);
            }
            return Ok(());
        }
    }
}

fn print(name: &str, line: &[u8]) {
    // What a function prints must not steer the operator's terminal.
    let text: String = String::from_utf8_lossy(line)
        .chars()
        .map(|c| {
            if c.is_control() && c != '\t' {
                char::REPLACEMENT_CHARACTER
            } else {
                c
            }
        })
        .collect();
    tell!("[{name}] {text}");
}
