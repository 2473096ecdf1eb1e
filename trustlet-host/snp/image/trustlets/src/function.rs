//! The life of a function: a record comes, is changed, goes on, and is released.

use crate::channel::attach;
use alloc::vec::Vec;
use hacher_data_path::inlet::Step;
use hacher_data_path::seal::RecordContext;

/// Serves for ever. Records are whole in one segment here: a function of the SDK on Linux takes longer ones
/// apart.
///
/// # Panics
/// When the attachment cannot be taken, or a record cannot be sent: the monitor sees it end.
pub fn serve(mut change: impl FnMut(&mut Vec<u8>)) -> ! {
    let (mut place, _) = match attach() {
        Ok(attached) => attached,
        Err(why) => panic!("no attachment: {why}"),
    };
    let mut record = Vec::new();
    loop {
        let Some(ring) = place.receiver.ring_with_news() else {
            place.receiver.wait(&place.own, None);
            continue;
        };
        record.clear();
        let Step::Opened(opened) = place.receiver.step(&place.own, ring, &mut record) else {
            continue;
        };
        let descriptor = &opened.descriptor;
        if opened.begins && descriptor.last && !descriptor.abort {
            change(&mut record);
            let context = RecordContext {
                invocation: descriptor.invocation,
                deadline: descriptor.deadline,
                attempt: 1,
            };
            let sent = place.sender.send(&place.own, 0, &context, &record, true);
            assert!(
                sent.is_ok(),
                "the outbox of a chain with one request in flight has room"
            );
        }
        place.receiver.release(&place.own, opened.record);
    }
}
