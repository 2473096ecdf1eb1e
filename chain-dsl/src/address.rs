//! Addresses that a gateway listens on: an IP address and a port, never a name that would have to be looked
//! up.

use std::net::{IpAddr, SocketAddr};

use crate::code::Code;
use crate::diagnostic::{Diagnostic, Problems};
use crate::section::{Entry, excerpt, wrong_type};
use crate::source::Spanned;
use toml::de::DeValue;

/// What is expected, in words.
const EXPECTED: &str = "an address with a port such as \"127.0.0.1:9001\"";

/// The address that an entry holds.
pub(crate) fn address(entry: &Entry<'_>, problems: &mut Problems) -> Option<Spanned<SocketAddr>> {
    let DeValue::String(text) = entry.value.get_ref() else {
        let diagnostic = wrong_type(entry, EXPECTED);
        problems.push(match entry.value.get_ref() {
            DeValue::Integer(port) => {
                diagnostic.with_help(format!("write {} = \"127.0.0.1:{}\"", entry.name, port.as_str()))
            }
            _ => diagnostic,
        });
        return None;
    };
    match text.parse() {
        Ok(address) => Some(Spanned::new(address, entry.span())),
        Err(_) => {
            problems.push(not_an_address(entry, text));
            None
        }
    }
}

fn not_an_address(entry: &Entry<'_>, text: &str) -> Diagnostic {
    let message = format!("\"{}\" is not an address", excerpt(text));
    let (label, meant) = what_is_wrong(text);
    let diagnostic = Diagnostic::new(Code::BadAddress, entry.span(), message, label).with_expected(EXPECTED);
    match meant {
        Some(meant) => diagnostic
            .with_help(format!("did you mean \"{meant}\"?"))
            .with_nearest(meant),
        None => diagnostic.with_help(format!("write {EXPECTED}")),
    }
}

/// What is wrong with a text that is no address, and the address that was probably meant.
fn what_is_wrong(text: &str) -> (&'static str, Option<String>) {
    if text.parse::<IpAddr>().is_ok() && !text.contains(':') {
        return ("the port is missing", None);
    }
    let bracketed = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if bracketed.is_some_and(|ip| ip.parse::<IpAddr>().is_ok()) {
        return ("the port is missing", None);
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        let meant = text.parse::<u16>().ok().map(|port| format!("127.0.0.1:{port}"));
        return ("the port stands after an address and a `:`", meant);
    };
    let Ok(port) = port.parse::<u16>() else {
        return ("a port is a number from 0 to 65535", None);
    };
    match host {
        "localhost" => ("names are not looked up", Some(format!("127.0.0.1:{port}"))),
        "" => ("the address is missing", Some(format!("127.0.0.1:{port}"))),
        "*" => ("every address is 0.0.0.0", Some(format!("0.0.0.0:{port}"))),
        host if host.parse::<IpAddr>().is_ok() => (
            "such an address stands in brackets",
            Some(format!("[{host}]:{port}")),
        ),
        _ => ("names are not looked up, and this is no IP address", None),
    }
}
