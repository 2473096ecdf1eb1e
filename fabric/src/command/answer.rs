//! What `call` and `run` send, and how they show what comes back.
//!
//! ```text
//! standard output   the body, also of an error, and before it the head, if that is asked for
//! --output FILE     the body of a reply that is no error, instead
//! standard error    the status for people; the report as data, in one line, while the body is on standard output
//! exit code         0 below 400, else 1
//! ```

use super::{Failed, complain, end_line, print, print_bytes, print_json};
use crate::cli::{Format, ReplyArgs, RequestArgs};
use crate::content_type::content_type_of;
use bytes::Bytes;
use hacher_client::caller::Question;
use hacher_client::http::{PROBLEM_MEDIA_TYPE, Reply};
use hacher_client::multipart::{Part, of_reply};
use hacher_trustlet_host::lines;
use hyper::Method;
use serde_json::{Map, Value, json};
use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write as _};
use std::path::Path;

/// What is asked, with its body.
///
/// # Errors
/// When the input cannot be read.
pub fn question(arguments: &RequestArgs) -> Result<Question, Failed> {
    let body = arguments.input.as_deref().map_or(Ok(Bytes::new()), read_input)?;
    Ok(question_of(arguments, body))
}

/// What is asked, with this body.
pub fn question_of(arguments: &RequestArgs, body: Bytes) -> Question {
    let mut fields = arguments.headers.clone();
    let says = fields.iter().any(|(name, _)| name == "content-type");
    let guessed = arguments.input.as_deref().filter(|_| !says).map(content_type_of);
    if let Some(content_type) = arguments.content_type.as_deref().or(guessed) {
        fields.retain(|(name, _)| name != "content-type");
        fields.insert(0, ("content-type".to_owned(), content_type.to_owned()));
    }
    let (path, query) = match arguments.path.split_once('?') {
        Some((path, query)) => (path, Some(query.to_owned())),
        None => (arguments.path.as_str(), None),
    };
    Question {
        method: arguments.method.clone().unwrap_or(Method::POST),
        path: path.to_owned(),
        query,
        fields,
        body,
    }
}

/// Reads a request's body; `-` is standard input.
fn read_input(path: &Path) -> Result<Bytes, Failed> {
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        std::io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        fs::read(path)
    };
    read.map(Bytes::from)
        .map_err(|error| Failed::new(format!("cannot read the input `{}`: {error}", path.display())))
}

/// Shows head and body.
///
/// # Errors
/// When they cannot be written.
pub fn show(reply: &Reply, arguments: &ReplyArgs, format: Format) -> Result<(), Failed> {
    if arguments.include {
        print(&head(reply))?;
    }
    let body = match &arguments.part {
        Some(source) if is_success(reply) => part_named(reply, source)?.body,
        _ => reply.body.clone(),
    };
    match &arguments.output {
        Some(path) if is_success(reply) => fs::write(path, &body)
            .map_err(|error| Failed::new(format!("cannot write the output `{}`: {error}", path.display()))),
        // It is in the report, which is on standard output.
        Some(_) if format == Format::Json => Ok(()),
        _ => print_bytes(&body).and_then(|()| end_line(body.last())),
    }
}

fn part_named(reply: &Reply, source: &str) -> Result<Part, Failed> {
    let Some(parts) = of_reply(reply) else {
        return Err(Failed::new(format!(
            "the reply has no part `{source}`: it is one record ({})",
            summary(reply)
        )));
    };
    let sources: Vec<String> = parts.iter().map(Part::source).collect();
    let found = parts
        .into_iter()
        .zip(&sources)
        .find(|(_, known)| *known == source);
    found.map(|(part, _)| part).ok_or_else(|| {
        let sources = sources.join("`, `");
        Failed::new(format!(
            "the reply has no part `{source}`; its parts are `{sources}`"
        ))
    })
}

/// Whether the reply is no error: what a function redirects or answers with 304 is what its author wants.
pub fn is_success(reply: &Reply) -> bool {
    reply.status.as_u16() < 400
}

/// Says the status to people, and fails if it is an error. What is said of a problem (RFC 9457) is its own
/// words.
///
/// # Errors
/// When the reply is an error; as data that is said in the report.
pub fn verdict(reply: &Reply, format: Format) -> Result<(), Failed> {
    match (is_success(reply), format) {
        (true, Format::Human) => complain(&format!("{}\n{}", summary(reply), parts_in_words(reply))),
        (true, Format::Json) => Ok(()),
        (false, Format::Human) if is_problem(reply) => Err(Failed::new(reply.problem())),
        (false, Format::Human) => {
            complain(&parts_in_words(reply))?;
            Err(Failed::new(summary(reply)))
        }
        (false, Format::Json) => Err(Failed::reported()),
    }
}

/// Writes the report as data: to standard output if the body is not there.
///
/// # Errors
/// When it cannot be written.
pub fn report(report: &Value, arguments: &ReplyArgs) -> Result<(), Failed> {
    if arguments.output.is_some() {
        return print_json(report);
    }
    let mut stderr = std::io::stderr().lock();
    writeln!(stderr, "{report}").map_err(|error| Failed::unwritten("standard error", &error))
}

/// What the reply is, as data.
pub fn data(reply: &Reply, arguments: &ReplyArgs) -> Map<String, Value> {
    let mut headers: Map<String, Value> = Map::new();
    for (name, value) in &reply.headers {
        let value = Value::from(String::from_utf8_lossy(value.as_bytes()));
        let values = headers.entry(name.as_str()).or_insert_with(|| json!([]));
        values
            .as_array_mut()
            .into_iter()
            .for_each(|values| values.push(value.clone()));
    }
    let said = json!({
        "event": "reply",
        "success": is_success(reply),
        "status": reply.status.as_u16(),
        "reason": reply.status.canonical_reason(),
        "headers": headers,
        "content_type": reply.header("content-type"),
        "bytes": reply.body.len(),
        "parts": of_reply(reply).map(|parts| parts.iter().map(part_data).collect::<Vec<_>>()),
        "invocation": reply.header("hacher-invocation"),
        "problem": if is_problem(reply) { reply.json() } else { Value::Null },
        // Of an error that is nowhere else.
        "body": (arguments.output.is_some() && !is_success(reply)).then(|| String::from_utf8_lossy(&reply.body)),
    });
    match said {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

/// A part of a reply, as data.
fn part_data(part: &Part) -> Value {
    json!({
        "source": part.source(),
        "status": part.header("hacher-status").and_then(|status| status.parse::<u16>().ok()),
        "content_type": part.header("content-type"),
        "bytes": part.body.len(),
    })
}

/// A line for each part of a reply that joins several.
fn parts_in_words(reply: &Reply) -> String {
    let parts = of_reply(reply).unwrap_or_default();
    parts.iter().fold(String::new(), |mut text, part| {
        let (source, status) = (part.source(), part.header("hacher-status").unwrap_or("?"));
        let content_type = part.header("content-type").map(|said| format!(", {said}"));
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "  {}: {status}{}, {} B",
            lines::visible(&source),
            lines::visible(&content_type.unwrap_or_default()),
            part.body.len()
        );
        text
    })
}

fn is_problem(reply: &Reply) -> bool {
    reply.header("content-type") == Some(PROBLEM_MEDIA_TYPE)
}

/// Status line and headers, as HTTP/1.1 has them.
pub fn head(reply: &Reply) -> String {
    let mut text = format!("HTTP/1.1 {}\n", status(reply));
    for (name, value) in &reply.headers {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{name}: {}", String::from_utf8_lossy(value.as_bytes()));
    }
    text.push('\n');
    text
}

/// The status, and what its number means where that is registered.
pub fn status(reply: &Reply) -> String {
    let reason = reply.status.canonical_reason().unwrap_or_default();
    format!("{} {reason}", reply.status.as_u16())
        .trim_end()
        .to_owned()
}

fn summary(reply: &Reply) -> String {
    summary_of(reply, reply.body.len() as u64)
}

/// Status and type of a reply whose body has so many bytes.
pub fn summary_of(reply: &Reply, len_bytes: u64) -> String {
    let content_type = reply.header("content-type").map(|said| format!(", {said}"));
    format!(
        "{}{}, {len_bytes} B",
        status(reply),
        content_type.unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::{HeaderName, HeaderValue};
    use hyper::{HeaderMap, StatusCode};

    fn reply(status: u16, fields: &[(&'static str, &'static str)], body: &'static str) -> Reply {
        let fields = fields
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(name, value);
        }
        Reply {
            status: StatusCode::from_u16(status).unwrap(),
            headers,
            body: Bytes::from_static(body.as_bytes()),
        }
    }

    #[test]
    fn an_error_is_what_its_status_says_and_data_has_all_of_it() {
        let to_file = ReplyArgs {
            output: Some("out".into()),
            include: false,
            part: None,
        };
        let found = reply(
            302,
            &[("location", "/a"), ("set-cookie", "a=1"), ("set-cookie", "b=2")],
            "x",
        );
        assert!(verdict(&found, Format::Json).is_ok());
        let said = data(&found, &to_file);
        assert_eq!(
            said["headers"],
            json!({ "location": ["/a"], "set-cookie": ["a=1", "b=2"] })
        );
        assert_eq!((&said["success"], &said["body"]), (&json!(true), &Value::Null));
        assert_eq!(
            head(&found),
            "HTTP/1.1 302 Found\nlocation: /a\nset-cookie: a=1\nset-cookie: b=2\n\n"
        );
        let own = reply(422, &[("content-type", "text/plain")], "sorry");
        assert_eq!(
            verdict(&own, Format::Human).unwrap_err().message,
            "422 Unprocessable Entity, text/plain, 5 B"
        );
        let said = data(&own, &to_file);
        assert_eq!(
            (&said["success"], &said["body"], &said["problem"]),
            (&json!(false), &json!("sorry"), &Value::Null)
        );
        let problem = reply(
            413,
            &[("content-type", PROBLEM_MEDIA_TYPE)],
            "{\"title\":\"too large\",\"detail\":\"a\"}",
        );
        assert_eq!(
            verdict(&problem, Format::Human).unwrap_err().message,
            "413 too large: a"
        );
        assert_eq!(data(&problem, &to_file)["problem"]["title"], "too large");
        assert_eq!(status(&reply(299, &[], "")), "299");
    }
}
