//! The channel to the monitor: messages until an attachment is complete.

use crate::call;
use crate::machine::Calls;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use hacher_data_path::attach::message::{
    ATTACH_VERSION, MESSAGE_MAX_BYTES, MESSAGE_MAX_DESCRIPTORS, MessageHeader, kind,
};
use hacher_data_path::place::entries::{Delivered, Entries};
use hacher_data_path::place::making::Place;
use hacher_snp::abi::Handle;
use zerocopy::IntoBytes;
use zeroize::Zeroizing;

const NO_HANDLE: Handle = Handle {
    kind: 0,
    number: 0,
    address: 0,
    len_bytes: 0,
};

/// Waits for the next attachment, takes it, and says that it stands; the place, and the regions that came
/// with it.
///
/// # Errors
/// Why it cannot be taken.
pub fn attach() -> Result<(Place, Vec<Handle>), String> {
    let mut entries = Entries::default();
    let mut regions = Vec::new();
    let mut bytes = Zeroizing::new(vec![0; MESSAGE_MAX_BYTES]);
    let mut handles = vec![NO_HANDLE; MESSAGE_MAX_DESCRIPTORS];
    loop {
        let Some((len_bytes, count)) = call::receive(&mut bytes, &mut handles) else {
            // Nobody rings before there is a bell, and the monitor sends all messages of an attachment at
            // once.
            call::wait(u64::MAX);
            continue;
        };
        let message = bytes.get(..len_bytes).ok_or("a message that is too long")?;
        let beside = handles.get(..count).ok_or("more handles than there can be")?;
        let mut message =
            Delivered::new(message, beside.iter().copied()).map_err(|error| error.to_string())?;
        regions.extend(beside.iter().filter(|handle| handle.len_bytes > 0));
        match message.kind() {
            kind::GO => break,
            // For whoever speaks HTTP; nobody does here.
            kind::BELL
            | kind::REQUEST_KEY
            | kind::REQUESTS
            | kind::HEADER
            | kind::READINESS
            | kind::ACCESS_LOG
            | kind::TRACING => {}
            _ => {
                if !entries.take(&mut message).map_err(|error| error.to_string())? {
                    return Err("a message of unknown kind".into());
                }
            }
        }
    }
    let version = entries.begin.as_ref().map(|(begin, _)| begin.version);
    if version != Some(ATTACH_VERSION) {
        return Err("a monitor of another version".into());
    }
    let place = Place::take(entries, &mut Calls).map_err(|error| error.to_string())?;
    place.set_serving();
    let ready = MessageHeader {
        kind: kind::READY,
        count: 0,
    };
    if call::say(ready.as_bytes()) {
        Ok((place, regions))
    } else {
        Err("the monitor does not listen".into())
    }
}
