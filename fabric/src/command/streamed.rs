//! A request whose body is sent as it is read, and whose reply is written as it comes: neither is held.

use super::{Failed, answer, end_line, print, print_bytes};
use crate::cli::ReplyArgs;
use bytes::Bytes;
use hacher_client::caller::{CallError, Caller, Question};
use hacher_client::http::{HttpError, Reply};
use hacher_client::streamed::Streamed;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// The longest reply that is held where no limit is given: an error, or one of several parts.
pub(super) const HELD_MAX_BYTES: u64 = 1 << 30;

/// A reply, and how many bytes its body had.
#[derive(Debug)]
pub(super) struct Delivered {
    /// The reply; without its body, if that was written already.
    pub(super) reply: Reply,
    /// Bytes of the body.
    pub(super) len_bytes: u64,
    /// Whether the body was written.
    pub(super) is_written: bool,
}

/// Why a streamed request failed.
#[derive(Debug)]
pub(super) enum StreamError {
    /// There is no whole reply.
    Call(CallError),
    /// Something on this machine cannot be read or written.
    Here(Failed),
}

impl<E: Into<CallError>> From<E> for StreamError {
    fn from(error: E) -> Self {
        Self::Call(error.into())
    }
}

/// The body of a request; `-` is standard input.
///
/// # Errors
/// When it cannot be opened.
pub(super) fn input(path: &Path) -> Result<Streamed, Failed> {
    let unread =
        |error: io::Error| Failed::new(format!("cannot read the input `{}`: {error}", path.display()));
    if path == Path::new("-") {
        return Streamed::of(io::stdin(), None).map_err(unread);
    }
    let file = File::open(path).map_err(unread)?;
    let metadata = file.metadata().map_err(unread)?;
    // Files that the kernel makes up as they are read, as in /proc, say that they are empty.
    let len_bytes = (metadata.is_file() && metadata.len() > 0).then_some(metadata.len());
    Streamed::of(file, len_bytes).map_err(unread)
}

/// Sends `body`, and writes the reply as it comes, if it is no error and has one part. `max_bytes`: the
/// longest that is taken.
///
/// # Errors
/// [`StreamError`]; no file of a reply that is not whole is left.
pub(super) async fn exchange(
    caller: &Caller,
    question: &Question,
    body: Option<Streamed>,
    arguments: &ReplyArgs,
    max_bytes: Option<u64>,
) -> Result<Delivered, StreamError> {
    let mut arriving = caller.begin_unverified(question, body).await?;
    let head = arriving.head();
    if !answer::is_success(&head) || is_of_parts(&head) {
        let most = usize::try_from(max_bytes.unwrap_or(HELD_MAX_BYTES)).unwrap_or(usize::MAX);
        let reply = arriving.collect(most).await?;
        return Ok(Delivered {
            len_bytes: reply.body.len() as u64,
            reply,
            is_written: false,
        });
    }
    let mut output = Output::begin(&head, arguments).map_err(StreamError::Here)?;
    let mut len_bytes = 0_u64;
    while let Some(data) = arriving.next().await? {
        len_bytes = len_bytes.saturating_add(data.len() as u64);
        if let Some(max_bytes) = max_bytes.filter(|max_bytes| len_bytes > *max_bytes) {
            let max_bytes = usize::try_from(max_bytes).unwrap_or(usize::MAX);
            let address = arriving.address().clone();
            return Err(HttpError::TooLong { address, max_bytes }.into());
        }
        output.write(&data).map_err(StreamError::Here)?;
    }
    output.finish().map_err(StreamError::Here)?;
    Ok(Delivered {
        reply: head,
        len_bytes,
        is_written: true,
    })
}

fn is_of_parts(head: &Reply) -> bool {
    let content_type = head.header("content-type").unwrap_or_default();
    content_type
        .trim_start()
        .to_ascii_lowercase()
        .starts_with("multipart/")
}

/// Where the body of a reply is written.
enum Output {
    Standard(Printing),
    /// A file; it has its name when it is whole, if there was no other kind of file of this name.
    File(Writing),
}

/// Ends its line when dropped: also what failed halfway has a message below it.
#[derive(Default)]
struct Printing {
    last: Option<u8>,
}

impl Drop for Printing {
    fn drop(&mut self) {
        // Whoever cannot read it reads no message either.
        let _ = end_line(self.last.as_ref());
    }
}

struct Writing {
    file: File,
    path: PathBuf,
    /// Its name until it is whole.
    unfinished: Option<PathBuf>,
}

impl Output {
    /// Writes what comes before the body.
    fn begin(head: &Reply, arguments: &ReplyArgs) -> Result<Self, Failed> {
        if arguments.include {
            print(&answer::head(head))?;
        }
        match &arguments.output {
            None => Ok(Self::Standard(Printing::default())),
            Some(path) => Writing::begin(path).map(Self::File),
        }
    }

    fn write(&mut self, data: &Bytes) -> Result<(), Failed> {
        match self {
            Self::Standard(printing) => {
                printing.last = data.last().copied().or(printing.last);
                print_bytes(data)
            }
            Self::File(writing) => writing
                .file
                .write_all(data)
                .map_err(|error| unwritten(&writing.path, &error)),
        }
    }

    fn finish(self) -> Result<(), Failed> {
        match self {
            Self::Standard(_) => Ok(()),
            Self::File(mut writing) => match writing.unfinished.take() {
                Some(unfinished) => {
                    fs::rename(unfinished, &writing.path).map_err(|error| unwritten(&writing.path, &error))
                }
                None => Ok(()),
            },
        }
    }
}

impl Writing {
    fn begin(path: &Path) -> Result<Self, Failed> {
        let failed = |error: io::Error| unwritten(path, &error);
        // A device or a pipe is written to, and so is what a link leads to.
        let is_plain = fs::symlink_metadata(path).map_or(true, |found| found.is_file());
        let unfinished = is_plain.then(|| {
            let mut name = path.as_os_str().to_owned();
            name.push(format!(".{}.unfinished", std::process::id()));
            PathBuf::from(name)
        });
        let file = match &unfinished {
            Some(unfinished) => File::create_new(unfinished),
            None => File::create(path),
        };
        Ok(Self {
            file: file.map_err(failed)?,
            path: path.to_owned(),
            unfinished,
        })
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        if let Some(unfinished) = self.unfinished.take() {
            // What is left is named so that nobody takes it for the reply.
            let _ = fs::remove_file(unfinished);
        }
    }
}

fn unwritten(path: &Path, error: &io::Error) -> Failed {
    Failed::new(format!("cannot write the output `{}`: {error}", path.display()))
}
