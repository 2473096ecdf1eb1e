//! A file system of the kernel's FUSE that answers until it is told not to: a network file system whose
//! server is gone. It has one folder of files, which can be read.
//!
//! It is mounted by the shell that starts a command, in a mount namespace of its own, so that it is nowhere
//! else. The messages are those of linux/fuse.h, version 7.31, as far as a file is looked up, opened and
//! read.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What the kernel asks, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum Ask {
    /// Which file has this name.
    Lookup = 1,
    /// What a file is.
    GetAttributes = 3,
    /// To open a file.
    Open = 14,
    /// For bytes of a file.
    Read = 15,
    /// Whether a file may be closed.
    Flush = 25,
}

const STATFS: u32 = 17;
const RELEASE: u32 = 18;
const INIT: u32 = 26;
const ACCESS: u32 = 34;
const INTERRUPT: u32 = 36;
const FORGET: [u32; 2] = [2, 42];
const HEADER_BYTES: usize = 40;
const ROOT: u64 = 1;
/// `FOPEN_DIRECT_IO`: each read is asked.
const DIRECT: u32 = 1;

/// The file system, as long as this is there; then what waits for it fails.
#[derive(Debug)]
pub struct SilentFileSystem {
    device: File,
    silence: Arc<Mutex<Silence>>,
}

/// What is not answered.
#[derive(Debug, Default)]
struct Silence {
    asks: BTreeSet<u32>,
    /// Those who wait, by the numbers of their requests.
    waiting: Vec<u64>,
}

impl SilentFileSystem {
    /// One that has these files.
    ///
    /// # Errors
    /// Says why there can be none on this machine.
    pub fn of(files: BTreeMap<String, Vec<u8>>) -> Result<Self, String> {
        let device = OpenOptions::new().read(true).write(true).open("/dev/fuse");
        let device = device.map_err(|error| format!("/dev/fuse cannot be opened: {error}"))?;
        let probe = Command::new("unshare")
            .args(["-m", "true"])
            .stderr(Stdio::null())
            .status();
        if !probe.is_ok_and(|status| status.success()) {
            return Err("no mount namespace can be made here".to_owned());
        }
        let silence = Arc::<Mutex<Silence>>::default();
        let mut server = Server {
            device: device.try_clone().map_err(|error| error.to_string())?,
            files: files.into_iter().collect(),
            silence: Arc::clone(&silence),
        };
        std::thread::spawn(move || server.run());
        Ok(Self { device, silence })
    }

    /// Answers no more of these.
    pub fn falls_silent(&self, asks: &[Ask]) {
        let mut silence = self.silence.lock().unwrap_or_else(PoisonError::into_inner);
        silence.asks.extend(asks.iter().map(|ask| *ask as u32));
    }

    /// Answers all again; those who wait get an error. Until then the kernel keeps them, even from being
    /// killed.
    pub fn speaks(&self) {
        let mut silence = self.silence.lock().unwrap_or_else(PoisonError::into_inner);
        silence.asks.clear();
        for unique in silence.waiting.drain(..) {
            answer(&self.device, unique, Err(libc::EIO));
        }
    }

    /// A command that sees the files in `folder`.
    ///
    /// # Panics
    /// When descriptors are short.
    #[must_use]
    pub fn command(&self, folder: &Path, program: &Path) -> Command {
        let device = self.device.try_clone().expect("there are descriptors");
        let mut command = Command::new("unshare");
        let script = "mount -i -t fuse silent \"$0\" \
                      -o fd=0,rootmode=40000,user_id=0,group_id=0,allow_other && exec \"$@\" </dev/null";
        let words: [&OsStr; 4] = ["sh".as_ref(), "-c".as_ref(), script.as_ref(), folder.as_os_str()];
        command.arg("-m").args(words).arg(program).stdin(device);
        command
    }
}

struct Server {
    device: File,
    /// The first is number 2.
    files: Vec<(String, Vec<u8>)>,
    silence: Arc<Mutex<Silence>>,
}

/// Writes the answer to a request. Fails for one that was given up.
fn answer(mut device: &File, unique: u64, answer: Result<Vec<u8>, i32>) {
    let (error, body) = match answer {
        Ok(body) => (0, body),
        Err(errno) => (-errno, Vec::new()),
    };
    let len = u32::try_from(16 + body.len()).unwrap_or(16);
    let mut reply = len.to_le_bytes().to_vec();
    reply.extend(error.to_le_bytes());
    reply.extend(unique.to_le_bytes());
    reply.extend(body);
    let _ = device.write_all(&reply);
}

/// A request's fields, at their places.
struct Request<'a> {
    ask: u32,
    unique: u64,
    node: u64,
    body: &'a [u8],
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes
        .get(at..at + N)
        .and_then(|found| found.try_into().ok())
        .unwrap_or([0; N])
}

impl Server {
    fn is_wanted(&self) -> bool {
        Arc::strong_count(&self.silence) > 1
    }

    fn run(&mut self) {
        let mut buffer = vec![0; 256 * 1024];
        loop {
            let len = match self.device.read(&mut buffer) {
                Ok(len) => len,
                // It is mounted nowhere yet.
                Err(error) if error.raw_os_error() == Some(libc::EPERM) && self.is_wanted() => {
                    std::thread::sleep(Duration::from_millis(5));
                    continue;
                }
                // Or nowhere any more.
                Err(_) => return,
            };
            let message = buffer.get(..len).unwrap_or_default();
            let request = Request {
                ask: u32::from_le_bytes(number(message, 4)),
                unique: u64::from_le_bytes(number(message, 8)),
                node: u64::from_le_bytes(number(message, 16)),
                body: message.get(HEADER_BYTES..).unwrap_or_default(),
            };
            if request.ask == INTERRUPT || FORGET.contains(&request.ask) {
                continue;
            }
            let mut silence = self.silence.lock().unwrap_or_else(PoisonError::into_inner);
            if silence.asks.contains(&request.ask) {
                silence.waiting.push(request.unique);
            } else {
                answer(&self.device, request.unique, self.answer(&request));
            }
        }
    }

    fn answer(&self, request: &Request<'_>) -> Result<Vec<u8>, i32> {
        match request.ask {
            INIT => {
                // Version 7.31, no read-ahead, no flags; writes of a page.
                let mut body = Vec::new();
                for field in [7_u32, 31, 0, 0, 0, 4096, 1] {
                    body.extend(field.to_le_bytes());
                }
                body.resize(64, 0);
                Ok(body)
            }
            ask if ask == Ask::Lookup as u32 => {
                let name = request.body.split(|byte| *byte == 0).next().unwrap_or_default();
                let found = self.files.iter().position(|(other, _)| other.as_bytes() == name);
                let node = found.ok_or(libc::ENOENT)? as u64 + 2;
                let mut body = node.to_le_bytes().to_vec();
                // No generation, and nothing is valid for longer than this answer.
                body.resize(40, 0);
                body.extend(self.attributes(node));
                Ok(body)
            }
            ask if ask == Ask::GetAttributes as u32 => {
                let mut body = vec![0; 16];
                body.extend(self.attributes(request.node));
                Ok(body)
            }
            ask if ask == Ask::Open as u32 => {
                let mut body = vec![0; 8];
                body.extend(DIRECT.to_le_bytes());
                body.resize(16, 0);
                Ok(body)
            }
            ask if ask == Ask::Read as u32 => {
                let at = usize::try_from(u64::from_le_bytes(number(request.body, 8))).unwrap_or(usize::MAX);
                let wanted = u32::from_le_bytes(number(request.body, 16)) as usize;
                let rest = self.content(request.node).get(at..).unwrap_or_default();
                Ok(rest.get(..wanted).unwrap_or(rest).to_vec())
            }
            STATFS => Ok(vec![0; 80]),
            ask if ask == Ask::Flush as u32 => Ok(Vec::new()),
            RELEASE | ACCESS => Ok(Vec::new()),
            _ => Err(libc::ENOSYS),
        }
    }

    fn content(&self, node: u64) -> &[u8] {
        let at = usize::try_from(node).unwrap_or(0).wrapping_sub(2);
        self.files
            .get(at)
            .map(|(_, content)| content.as_slice())
            .unwrap_or_default()
    }

    fn attributes(&self, node: u64) -> Vec<u8> {
        let mode: u32 = if node == ROOT { 0o040_755 } else { 0o100_755 };
        let mut body = Vec::new();
        for field in [node, self.content(node).len() as u64, 0, 0, 0, 0] {
            body.extend(field.to_le_bytes());
        }
        // Three times of nanoseconds, mode, links, owner, group, device, block size, flags.
        for field in [0, 0, 0, mode, 1, 0, 0, 0, 4096, 0] {
            body.extend(field.to_le_bytes());
        }
        body
    }
}
