//! The parts of a reply that joins several records (`multipart/mixed`, RFC 2046, section 5.1).

use crate::http::Reply;
use bytes::Bytes;
use core::ops::Range;

/// The media type of such a reply.
pub const MEDIA_TYPE: &str = "multipart/mixed";
/// The header of a joined reply that says how many parts it has. Only the gateway writes it: without it, a
/// body of [`MEDIA_TYPE`] is one function's own, with whatever names of functions in it.
pub const COUNT_HEADER: &str = "hacher-parts";
/// A chain joins no more records than this.
const PARTS_MAX: usize = 64;
/// The longest boundary (RFC 2046, section 5.1.1).
const BOUNDARY_MAX_BYTES: usize = 70;
/// Ends the headers of a part.
const HEAD_END: &[u8] = b"\r\n\r\n";

/// One part of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Bytes,
}

impl Part {
    /// The first value of a header, by its name in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(found, _)| found == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Who has sent it, as a chain file writes it: `score`, or `split.reject`.
    #[must_use]
    pub fn source(&self) -> String {
        let function = self.header("hacher-function").unwrap_or("?");
        match self.header("hacher-port") {
            None | Some("out") => function.to_owned(),
            Some(port) => format!("{function}.{port}"),
        }
    }
}

/// The parts of a reply that joins several; `None` if it does not.
#[must_use]
pub fn of_reply(reply: &Reply) -> Option<Vec<Part>> {
    let announced = reply.header(COUNT_HEADER)?;
    let parts = parts(reply.header("content-type")?, &reply.body)?;
    (parts.len().to_string() == announced).then_some(parts)
}

/// The parts of a body, whoever wrote it; `None` if `content_type` is not [`MEDIA_TYPE`], or the body does
/// not keep to it.
#[must_use]
pub fn parts(content_type: &str, body: &Bytes) -> Option<Vec<Part>> {
    let delimiter = format!("\r\n--{}", boundary(content_type)?).into_bytes();
    // The first one stands at the beginning, without a line before it.
    let first = delimiter.strip_prefix(b"\r\n")?;
    let mut at = body.starts_with(first).then_some(first.len())?;
    let mut parts = Vec::new();
    loop {
        let rest = body.get(at..)?;
        if rest.starts_with(b"--") {
            return Some(parts);
        }
        let head_at = at + rest.starts_with(b"\r\n").then_some(2)?;
        let end = head_at + position(body.get(head_at..)?, &delimiter)?;
        if parts.len() == PARTS_MAX {
            return None;
        }
        parts.push(part(body, head_at..end)?);
        at = end + delimiter.len();
    }
}

fn part(body: &Bytes, range: Range<usize>) -> Option<Part> {
    let text = body.get(range.clone())?;
    // A part without headers begins with the empty line.
    let (head_len, body_at) = match text.strip_prefix(b"\r\n") {
        Some(_) => (0, 2),
        None => {
            let head_len = position(text, HEAD_END)?;
            (head_len, head_len + HEAD_END.len())
        }
    };
    let head = String::from_utf8_lossy(text.get(..head_len)?);
    let lines = head.split("\r\n").filter(|line| !line.is_empty());
    let headers = lines.map(|line| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_ascii_lowercase(), value.trim().to_owned()))
    });
    Some(Part {
        headers: headers.collect::<Option<_>>()?,
        body: body.slice(range.start + body_at..range.end),
    })
}

fn boundary(content_type: &str) -> Option<&str> {
    let mut said = content_type.split(';').map(str::trim);
    if !said.next()?.eq_ignore_ascii_case(MEDIA_TYPE) {
        return None;
    }
    let boundary = said.find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.eq_ignore_ascii_case("boundary")
            .then_some(value.trim_matches('"'))
    })?;
    (1..=BOUNDARY_MAX_BYTES)
        .contains(&boundary.len())
        .then_some(boundary)
}

fn position(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: &str = "multipart/mixed; boundary=xy";

    fn read(body: &'static str) -> Option<Vec<Part>> {
        parts(TYPE, &Bytes::from_static(body.as_bytes()))
    }

    #[test]
    fn parts_have_their_headers_and_exactly_their_bytes() {
        let found = read(
            "--xy\r\nhacher-function: a\r\nhacher-port: out\r\nX-Own: 1: 2\r\n\r\none\r\n--x\r\n\r\n--xy\r\n\
             hacher-function: b\r\nhacher-port: reject\r\n\r\n\r\n--xy\r\n\r\nbare\r\n--xy--\r\n",
        )
        .unwrap();
        let sources: Vec<_> = found.iter().map(Part::source).collect();
        assert_eq!(sources, ["a", "b.reject", "?"]);
        assert_eq!(found[0].header("x-own"), Some("1: 2"));
        let bodies: Vec<&[u8]> = found.iter().map(|part| &part.body[..]).collect();
        assert_eq!(bodies, [&b"one\r\n--x\r\n"[..], b"", b"bare"]);
    }

    #[test]
    fn a_reply_has_the_parts_that_the_gateway_counted_and_no_others() {
        let mut reply = Reply {
            status: hyper::StatusCode::OK,
            headers: [(hyper::header::CONTENT_TYPE, TYPE.parse().unwrap())]
                .into_iter()
                .collect(),
            body: Bytes::from_static(b"--xy\r\nhacher-function: a\r\n\r\none\r\n--xy--\r\n"),
        };
        assert_eq!(of_reply(&reply), None, "a function wrote it");
        for (count, is_joined) in [("1", true), ("2", false), ("", false)] {
            reply.headers.insert(COUNT_HEADER, count.parse().unwrap());
            assert_eq!(of_reply(&reply).is_some(), is_joined, "{count:?}");
        }
    }

    #[test]
    fn what_is_no_multipart_has_no_parts() {
        for body in [
            "",
            "--xy",
            "--xy\r\n",
            "--xy\r\nhacher-function: a\r\n\r\none",
            "--xy\r\nno header\r\n\r\none\r\n--xy--",
            "one\r\n--xy--",
            "--xyz\r\n\r\n\r\n--xyz--",
        ] {
            assert_eq!(read(body), None, "{body:?}");
        }
        let many = format!("{}--xy--", "--xy\r\n\r\n\r\n".repeat(PARTS_MAX + 1));
        assert_eq!(parts(TYPE, &Bytes::from(many)), None);
        let body = Bytes::from_static(b"--xy--");
        for content_type in ["text/plain", "multipart/mixed", "multipart/mixed; boundary="] {
            assert_eq!(parts(content_type, &body), None, "{content_type}");
        }
        assert_eq!(
            parts("Multipart/Mixed;charset=x; Boundary=\"xy\"", &body),
            Some(vec![])
        );
    }
}
