//! What an answer of the guest becomes.

use crate::reason::fixed;
use hacher::headers::{OF_THE_CONNECTION, OWN_PREFIX};
use hacher::{DEFAULT_PORT, Failure, Output, PortWriter};
use http::HeaderMap;
use http::header::CONNECTION;
use http::response::Parts;

/// The port of answers with a status of 4xx, where the function has it.
const REJECT_PORT: &str = "reject";
const NO_TEXT: Failure = Failure::permanent("a header of the program's answer is not UTF-8");

/// Begins the record that an answer with this head becomes.
///
/// # Errors
/// A transient failure for a status that is no answer; a permanent one for headers that no record can have.
pub(crate) fn begin<'o>(
    output: &'o mut Output<'_>,
    head: &Parts,
    streams: bool,
) -> Result<PortWriter<'o>, Failure> {
    let status = head.status.as_u16();
    if !(200..500).contains(&status) {
        let reason = fixed(&format!("the program answered with status {status}"));
        return Err(Failure::retry(reason));
    }
    // Asking begins the record of the port, if there is such a port.
    let is_rejected = head.status.is_client_error() && output.port(REJECT_PORT).is_ok();
    let mut writer = output.port(if is_rejected { REJECT_PORT } else { DEFAULT_PORT })?;
    writer.set_status(status)?;
    let named = named_by_connection(&head.headers);
    for name in head.headers.keys().map(http::HeaderName::as_str) {
        if OF_THE_CONNECTION.contains(&name)
            || name.starts_with(OWN_PREFIX)
            || named.iter().any(|named| named.eq_ignore_ascii_case(name))
        {
            continue;
        }
        // In place of what the record inherits.
        writer.remove_header(name)?;
        for value in head.headers.get_all(name) {
            let value = core::str::from_utf8(value.as_bytes()).map_err(|_| NO_TEXT)?;
            writer.append_header(name, value)?;
        }
    }
    if streams {
        writer.stream();
    }
    Ok(writer)
}

/// The headers that speak of the connection because `connection` names them.
fn named_by_connection(headers: &HeaderMap) -> Vec<&str> {
    let lists = headers.get_all(CONNECTION).into_iter();
    let lists = lists.filter_map(|list| list.to_str().ok());
    lists.flat_map(|list| list.split(',')).map(str::trim).collect()
}
