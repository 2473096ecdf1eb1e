//! Where HTTP/1 messages begin and end (RFC 9112). The gateway refuses what two readers of the same bytes
//! could take for different messages, before hyper sees it: hyper takes a length beside a transfer coding,
//! equal lengths twice, and lines that end without a carriage return. A strict reader beside it may only ever
//! refuse more, so the two cannot come to disagree on what both have taken.
//!
//! ```text
//! head     held back until it is whole, then judged
//! fixed    so many bytes of a body with a length
//! chunked  sizes, data and trailers of a body without one
//! through  HTTP/2, which frames its messages itself
//! ```

use super::problem::Problem;
use super::target::{self, TARGET_MAX_BYTES};
use core::mem::MaybeUninit;
use hyper::StatusCode;
use std::io;

/// The longest line that tells a chunk's size, its extensions included: nobody has a use for them.
const CHUNK_LINE_MAX_BYTES: usize = 256;
/// Most bytes of all trailers of a message. They are dropped.
const TRAILERS_MAX_BYTES: usize = 8 * 1024;
/// The longest head of a request.
pub(super) const HEAD_MAX_BYTES: usize = 32 * 1024;
/// Most header fields of a request; as many as hyper takes.
pub(super) const FIELDS_MAX: usize = 100;
/// How a connection begins that speaks HTTP/2 (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What comes next on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// A head, or the preface of HTTP/2. The lines in its first `scanned` bytes are known to be none that
    /// ends it.
    Head { scanned: usize },
    /// So many bytes of a body.
    Fixed(u64),
    /// A chunked body.
    Chunked(Chunked),
    /// Something else than HTTP/1.
    Through,
}

/// Where in a chunked body (RFC 9112, section 7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Chunked {
    /// In the line that begins a chunk.
    Size { len: usize, size: u64, part: SizePart },
    /// In its data.
    Data(u64),
    /// Behind its data: at the carriage return, or at the line feed.
    DataEnd { cr: bool },
    /// In a trailer, or at the empty line that ends the message.
    Trailer { total: usize, line: usize, cr: bool },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SizePart {
    Digits,
    Extension,
    LineFeed,
}

/// What is to be done with bytes that came in.
#[derive(Debug)]
pub(super) struct Judged {
    /// So many bytes may be read.
    pub(super) passed: usize,
    /// So many heads ended within these.
    pub(super) heads: u64,
    /// Why the bytes after these may not be read, unless they are only the beginning of a head.
    pub(super) refused: Option<Refused>,
}

/// Why bytes may not be read.
#[derive(Debug)]
pub(super) enum Refused {
    /// A request is not one that is answered.
    Head(Box<Problem>),
    /// A body is not framed as it says.
    Body(&'static str),
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self::Head(Box::new(problem))
    }
}

impl From<Refused> for io::Error {
    fn from(refused: Refused) -> Self {
        Self::new(
            io::ErrorKind::InvalidData,
            match refused {
                Refused::Head(_) => "malformed head",
                Refused::Body(why) => why,
            },
        )
    }
}

/// The framing of one connection.
#[derive(Debug)]
pub(super) struct Framing {
    stage: Stage,
    /// Whether no byte has come yet.
    fresh: bool,
}

impl Framing {
    /// Of a connection on which anything may come.
    pub(super) const fn new() -> Self {
        Self {
            stage: Stage::Head { scanned: 0 },
            fresh: true,
        }
    }

    /// Of a connection that is known to speak HTTP/2.
    pub(super) const fn none() -> Self {
        Self {
            stage: Stage::Through,
            fresh: false,
        }
    }

    /// Whether a message is to be read on, so that an end here would cut it.
    pub(super) const fn is_in_body(&self) -> bool {
        matches!(self.stage, Stage::Fixed(_) | Stage::Chunked(_))
    }

    /// Whether all bytes may be read, whatever they are.
    pub(super) const fn is_through(&self) -> bool {
        matches!(self.stage, Stage::Through)
    }

    /// Judges `bytes`, which follow those that were passed before: what was not passed then comes first
    /// again.
    pub(super) fn judge(&mut self, bytes: &[u8]) -> Judged {
        let mut judged = Judged {
            passed: 0,
            heads: 0,
            refused: None,
        };
        while let Some(rest) = bytes.get(judged.passed..).filter(|rest| !rest.is_empty()) {
            let step = match &mut self.stage {
                Stage::Through => Ok(Some((rest.len(), Stage::Through))),
                Stage::Head { scanned } if self.fresh && PREFACE.starts_with(rest) && rest != PREFACE => {
                    *scanned = 0;
                    Ok(None)
                }
                Stage::Head { .. } if self.fresh && rest.starts_with(PREFACE) => {
                    Ok(Some((0, Stage::Through)))
                }
                Stage::Head { scanned } => head(rest, scanned),
                Stage::Fixed(left) => {
                    let taken = rest.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    let left = left.saturating_sub(taken as u64);
                    Ok(Some((taken, body_of(left))))
                }
                Stage::Chunked(at) => chunked(rest, *at).map(Some),
            };
            match step {
                Ok(Some((taken, next))) => {
                    judged.heads += u64::from(matches!(self.stage, Stage::Head { .. }) && taken > 0);
                    judged.passed += taken;
                    self.stage = next;
                    self.fresh = false;
                }
                Ok(None) => break,
                Err(refused) => {
                    judged.refused = Some(refused);
                    break;
                }
            }
        }
        judged
    }
}

const fn body_of(left: u64) -> Stage {
    if left == 0 {
        Stage::Head { scanned: 0 }
    } else {
        Stage::Fixed(left)
    }
}

fn malformed(detail: &'static str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "malformed request", detail)
}

/// Judges a head, if it is whole: how long it is, and what follows it.
fn head(bytes: &[u8], scanned: &mut usize) -> Result<Option<(usize, Stage)>, Refused> {
    // Empty lines before a request are an old habit of clients that ended bodies with one (RFC 9112, section
    // 2.2).
    let empty = bytes.chunks_exact(2).take_while(|pair| pair == b"\r\n").count() * 2;
    *scanned = empty.max(*scanned);
    let Some(len) = end_of_head(bytes, scanned)? else {
        let is_in_line = !bytes.get(empty..).unwrap_or(&[]).contains(&b'\n');
        if is_in_line && bytes.len() > empty + TARGET_MAX_BYTES + 64 {
            return Err(target::too_long().into());
        }
        if bytes.len() > HEAD_MAX_BYTES {
            return Err(head_too_long("bytes", HEAD_MAX_BYTES).into());
        }
        return Ok(None);
    };
    if len > HEAD_MAX_BYTES {
        return Err(head_too_long("bytes", HEAD_MAX_BYTES).into());
    }
    let stage = judge_head(bytes.get(empty..len).unwrap_or(&[]))?;
    Ok(Some((len, stage)))
}

/// Looks for the empty line that ends a head, and refuses what no head has (RFC 9112, section 2.2; RFC 9110,
/// section 5.5). Lines before `scanned` were looked at.
fn end_of_head(bytes: &[u8], scanned: &mut usize) -> Result<Option<usize>, Problem> {
    // No early end, so that the compiler looks at many bytes at once.
    let has_control = |text: &[u8]| {
        text.iter()
            .fold(false, |found, byte| found | matches!(byte, 0..=8 | 10..=31 | 127))
    };
    while let Some(rest) = bytes.get(*scanned..) {
        let end = rest.iter().position(|byte| *byte == b'\n');
        let line = rest.get(..end.unwrap_or(rest.len())).unwrap_or(rest);
        let text = line.strip_suffix(b"\r");
        if has_control(text.unwrap_or(line)) {
            return Err(malformed(
                "a head has no control characters but the CR LF at the end of a line",
            ));
        }
        let Some(end) = end else {
            break;
        };
        if text.is_none() {
            return Err(malformed("a line ends with CR LF"));
        }
        *scanned += end + 1;
        if text.is_some_and(<[u8]>::is_empty) {
            return Ok(Some(*scanned));
        }
    }
    Ok(None)
}

/// The refusal of a head that is past one of its bounds.
pub(super) fn head_too_long(what: &str, limit: usize) -> Problem {
    let detail = format!("the head of a request has at most {limit} {what}");
    let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
    Problem::new(status, "headers too large", detail)
}

/// What the fields of a head say of its body.
#[derive(Default)]
struct Fields<'h> {
    hosts: usize,
    length: Option<&'h [u8]>,
    coding: Option<&'h [u8]>,
}

/// Judges a whole head.
fn judge_head(head: &[u8]) -> Result<Stage, Problem> {
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(head, &mut fields) {
        Ok(httparse::Status::Complete(len)) if len == head.len() => {}
        Err(httparse::Error::TooManyHeaders) => return Err(head_too_long("fields", FIELDS_MAX)),
        Err(httparse::Error::Version) => return Err(version(head)),
        Err(httparse::Error::HeaderName) => {
            return Err(malformed(
                "a field is a name, a colon and a value, on one line, with no space before the colon",
            ));
        }
        Err(httparse::Error::HeaderValue) => return Err(malformed("a field's value is text on one line")),
        _ => {
            return Err(malformed(
                "the first line is a method, a target and a version, with one space between them",
            ));
        }
    }
    target::judge_raw(
        request.method.unwrap_or_default(),
        request.path.unwrap_or_default(),
    )?;
    let is_1_1 = request.version == Some(1);
    let mut found = Fields::default();
    for field in request.headers.iter() {
        found.note(field.name, field.value)?;
    }
    if found.hosts != 1 && (is_1_1 || found.hosts > 1) {
        return Err(malformed("a request has one Host"));
    }
    found.body(is_1_1)
}

/// Another version (RFC 9110, section 15.6.6), or no HTTP at all.
fn version(head: &[u8]) -> Problem {
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let mut words = line.split(|byte| *byte == b' ').skip(2);
    let number = words.next().and_then(|word| word.strip_prefix(b"HTTP/"));
    let is_version =
        |number: &[u8]| matches!(number, [a, b'.', b] if a.is_ascii_digit() && b.is_ascii_digit());
    if number.is_some_and(is_version) && words.next().is_none() {
        Problem::new(
            StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            "version not supported",
            "the gateway speaks HTTP/1.0, HTTP/1.1 and HTTP/2",
        )
    } else {
        malformed("the first line is a method, a target and a version, with one space between them")
    }
}

impl<'h> Fields<'h> {
    fn note(&mut self, name: &str, value: &'h [u8]) -> Result<(), Problem> {
        if name.eq_ignore_ascii_case("host") {
            self.hosts += 1;
            target::judge_host(value)?;
        } else if name.eq_ignore_ascii_case("content-length") {
            if self.length.replace(value).is_some() {
                return Err(malformed("a request has one Content-Length"));
            }
        } else if name.eq_ignore_ascii_case("transfer-encoding") && self.coding.replace(value).is_some() {
            return Err(malformed("a request has one Transfer-Encoding"));
        }
        Ok(())
    }

    /// How the body is framed (RFC 9112, section 6.3).
    fn body(self, is_1_1: bool) -> Result<Stage, Problem> {
        match (self.coding, self.length) {
            (None, None) => Ok(body_of(0)),
            (None, Some(length)) => length_of(length).map(body_of),
            (Some(_), Some(_)) => Err(malformed(
                "a request has a Content-Length or a Transfer-Encoding, not both",
            )),
            (Some(_), None) if !is_1_1 => Err(malformed("HTTP/1.0 has no Transfer-Encoding")),
            (Some(coding), None) if coding.eq_ignore_ascii_case(b"chunked") => {
                Ok(Stage::Chunked(Chunked::START))
            }
            (Some(coding), None) => Err(other_coding(coding)),
        }
    }
}

fn length_of(length: &[u8]) -> Result<u64, Problem> {
    if length.is_empty() || !length.iter().all(u8::is_ascii_digit) {
        return Err(malformed("Content-Length is a number"));
    }
    let digits = core::str::from_utf8(length).unwrap_or_default();
    // hyper keeps the highest values for itself; they are no less absurd.
    digits
        .parse()
        .ok()
        .filter(|size| *size < u64::MAX - 1)
        .ok_or_else(|| {
            Problem::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "the body is too large",
                "no body can be that large",
            )
        })
}

/// A coding that is not spoken here (RFC 9112, section 6.1), or a body whose end could not be found (section
/// 6.3).
fn other_coding(coding: &[u8]) -> Problem {
    let last = coding.rsplit(|byte| *byte == b',').next().unwrap_or_default();
    let is_framed = last.trim_ascii().eq_ignore_ascii_case(b"chunked");
    let has_token = |coding: &[u8]| {
        let coding = coding.trim_ascii();
        !coding.is_empty() && !coding.eq_ignore_ascii_case(b"chunked")
    };
    let others = coding
        .split(|byte| *byte == b',')
        .filter(|coding| has_token(coding))
        .count();
    if is_framed && others > 0 {
        Problem::new(
            StatusCode::NOT_IMPLEMENTED,
            "transfer coding not implemented",
            "the only transfer coding is `chunked`",
        )
    } else {
        malformed("Transfer-Encoding is `chunked`, once")
    }
}

impl Chunked {
    const START: Self = Self::Size {
        len: 0,
        size: 0,
        part: SizePart::Digits,
    };
}

/// Goes on through a chunked body: how many bytes belong to it, and what comes then.
fn chunked(bytes: &[u8], mut at: Chunked) -> Result<(usize, Stage), Refused> {
    let mut taken = 0;
    while let Some(byte) = bytes.get(taken).copied() {
        if let Chunked::Data(left) = at {
            let data = (bytes.len() - taken).min(usize::try_from(left).unwrap_or(usize::MAX));
            taken += data;
            at = match left.saturating_sub(data as u64) {
                0 => Chunked::DataEnd { cr: false },
                left => Chunked::Data(left),
            };
            continue;
        }
        taken += 1;
        match chunk_byte(at, byte).map_err(Refused::Body)? {
            Some(next) => at = next,
            None => return Ok((taken, body_of(0))),
        }
    }
    Ok((taken, Stage::Chunked(at)))
}

/// Takes one byte outside of data; `None` at the end of the message.
fn chunk_byte(at: Chunked, byte: u8) -> Result<Option<Chunked>, &'static str> {
    let is_control = matches!(byte, 0..=8 | 10..=31 | 127);
    Ok(Some(match at {
        Chunked::Size { len, size, part } => return size_byte(len, size, part, byte).map(Some),
        Chunked::Data(_) => at,
        Chunked::DataEnd { cr: false } if byte == b'\r' => Chunked::DataEnd { cr: true },
        Chunked::DataEnd { cr: true } if byte == b'\n' => Chunked::START,
        Chunked::DataEnd { .. } => return Err("a chunk is longer than its size"),
        Chunked::Trailer { total, .. } if total >= TRAILERS_MAX_BYTES => {
            return Err("the trailers are too long");
        }
        Chunked::Trailer {
            line: 0, cr: true, ..
        } if byte == b'\n' => return Ok(None),
        Chunked::Trailer { total, cr: true, .. } if byte == b'\n' => Chunked::Trailer {
            total: total + 1,
            line: 0,
            cr: false,
        },
        Chunked::Trailer {
            total,
            line,
            cr: false,
        } if byte == b'\r' => Chunked::Trailer {
            total: total + 1,
            line,
            cr: true,
        },
        Chunked::Trailer { cr: true, .. } => return Err("a trailer ends with CR LF"),
        Chunked::Trailer { .. } if is_control => return Err("a trailer has no control characters"),
        Chunked::Trailer { total, line, .. } => Chunked::Trailer {
            total: total + 1,
            line: line + 1,
            cr: false,
        },
    }))
}

fn size_byte(len: usize, size: u64, part: SizePart, byte: u8) -> Result<Chunked, &'static str> {
    if len >= CHUNK_LINE_MAX_BYTES {
        return Err("the line before a chunk is too long");
    }
    let on = |size, part| Chunked::Size {
        len: len + 1,
        size,
        part,
    };
    match (part, byte) {
        (SizePart::Digits, _) if byte.is_ascii_hexdigit() => {
            let digit = char::from(byte).to_digit(16).unwrap_or(0);
            let longer = size.checked_mul(16).ok_or("a chunk is too large")?;
            Ok(on(longer | u64::from(digit), part))
        }
        (SizePart::Digits, _) if len == 0 => Err("a chunk begins with its size"),
        (SizePart::Digits, b';') => Ok(on(size, SizePart::Extension)),
        (SizePart::Digits | SizePart::Extension, b'\r') => Ok(on(size, SizePart::LineFeed)),
        (SizePart::Extension, b'\t' | 32..=126 | 128..) => Ok(on(size, part)),
        (SizePart::LineFeed, b'\n') if size == 0 => Ok(Chunked::Trailer {
            total: 0,
            line: 0,
            cr: false,
        }),
        (SizePart::LineFeed, b'\n') => Ok(Chunked::Data(size)),
        _ => Err("the line before a chunk is malformed"),
    }
}

#[cfg(test)]
mod tests;
