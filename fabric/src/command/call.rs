//! `call`: one request to a chain that is being served.

use super::{Failed, print_bytes, print_json};
use crate::cli::{CallArgs, Format};
use crate::http::{Connection, Reply, content_type_of};
use bytes::Bytes;
use hyper::Method;
use serde_json::{Value, json};
use std::fs;
use std::io::Read;
use std::path::Path;

/// Sends the input, writes the output.
///
/// # Errors
/// When there is no reply, or the reply is an error.
pub fn call(arguments: &CallArgs) -> Result<(), Failed> {
    let body = read_input(&arguments.input)?;
    let content_type = arguments
        .content_type
        .as_deref()
        .unwrap_or_else(|| content_type_of(&arguments.input));
    let path = format!("/chains/{}", arguments.chain);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let reply = runtime.block_on(async {
        let mut connection = Connection::open(arguments.gateway).await?;
        connection
            .send(Method::POST, &path, Some(content_type), body)
            .await
    })?;
    check_reply(&reply, arguments.format.format)?;
    write_output(arguments.output.as_deref(), &reply.body)?;
    if arguments.format.format == Format::Json && arguments.output.is_some() {
        print_json(&json!({
            "status": reply.status.as_u16(),
            "content_type": reply.header("content-type"),
            "bytes": reply.body.len(),
            "invocation": reply.header("hacher-invocation"),
        }))?;
    }
    Ok(())
}

/// Reads a request's body; `-` is standard input.
///
/// # Errors
/// When it cannot be read.
pub fn read_input(path: &Path) -> Result<Bytes, Failed> {
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        std::io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        fs::read(path)
    };
    read.map(Bytes::from)
        .map_err(|error| Failed::new(format!("cannot read the input `{}`: {error}", path.display())))
}

/// Writes a reply's body; to standard output if there is no file.
///
/// # Errors
/// When it cannot be written.
pub fn write_output(path: Option<&Path>, body: &[u8]) -> Result<(), Failed> {
    let Some(path) = path else {
        return print_bytes(body);
    };
    fs::write(path, body)
        .map_err(|error| Failed::new(format!("cannot write the output `{}`: {error}", path.display())))
}

/// Fails for a reply that is an error, saying what the problem report says (RFC 9457).
///
/// # Errors
/// When the reply's status is no success.
pub fn check_reply(reply: &Reply, format: Format) -> Result<(), Failed> {
    if reply.status.is_success() {
        return Ok(());
    }
    let problem = reply.json();
    if format == Format::Json {
        print_json(&problem)?;
        return Err(Failed::reported());
    }
    let text = |key: &str| problem.get(key).and_then(Value::as_str);
    let title = text("title").unwrap_or("the chain answered with an error");
    let detail = text("detail")
        .map(|detail| format!(": {detail}"))
        .unwrap_or_default();
    Err(Failed::new(format!("{} {title}{detail}", reply.status.as_u16())))
}
