//! Names that the monitor gives itself, and those that it takes.

use super::refusal::{Refusal, refuse};
use crate::calls::ResultCode;
use hacher_data_path::name::Name;

/// The implicit port of every function, with the fault edge to the gateway.
pub(crate) const FAULT_PORT: &str = "fault";
/// The port that carries what a function gave up on; used only if an edge leaves it.
pub(crate) const ERROR_PORT: &str = "error";
/// The gateway's port, and the name under which functions see the gateway.
pub(crate) const INGRESS: &str = "ingress";

/// The name of a gateway's image, and of the gateway as a function.
pub(crate) const GATEWAY: &str = "gateway";

/// A name from the wire of which nothing but visible ASCII characters is a part: what a line of a manifest
/// names.
pub(crate) fn word(name: &Name) -> Result<Name, Refusal> {
    let name = canonical_name(name)?;
    if name.as_str().bytes().all(|c| c.is_ascii_graphic()) {
        Ok(name)
    } else {
        refuse(
            ResultCode::InvalidFormat,
            "a name of a chain, function or port has visible ASCII characters and no blank",
        )
    }
}

/// A name from the wire with nothing behind its text, so that equal names have equal bytes.
pub(crate) fn canonical_name(name: &Name) -> Result<Name, Refusal> {
    if name.as_str().chars().any(char::is_control) {
        return refuse(ResultCode::InvalidFormat, "a name has no control characters");
    }
    Name::new(name.as_str())
        .map_err(|_| Refusal::new(ResultCode::InvalidFormat, "a name has 1 to 63 bytes of text"))
}
