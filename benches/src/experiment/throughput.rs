//! Records over one edge, as many as it takes.

use super::super::fabric::{Fabric, Protection, Shape};
use super::super::report::row::Row;
use super::super::step::Work;
use super::super::subject::Subject;
use super::hop::places;
use super::run::{Cell, Run};
use hacher_fabric::failed::Failed;

const FULL_BYTES: [usize; 7] = [64, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20];
const QUICK_BYTES: [usize; 3] = [64, 4 << 10, 64 << 10];

/// Measures throughput.
///
/// # Errors
/// When a subject does not start, or fails.
pub fn throughput(run: &mut Run) -> Result<(), Failed> {
    if !run.wants("fabric") {
        return Ok(());
    }
    let mut subjects: Vec<Box<dyn Subject>> = Vec::new();
    // Records that are opened and then not read: what the cipher alone allows.
    let kinds = [
        (Protection::Sealed, true),
        (Protection::Sealed, false),
        (Protection::Mapped, true),
    ];
    for (protection, touched) in kinds {
        for place in places(run) {
            let shape = Shape {
                functions: 1,
                work: Work::Sink,
                protection,
                place,
                touched,
            };
            subjects.push(Box::new(Fabric::start(&run.fabric, shape, run.cores)?));
        }
    }
    let sizes: &[usize] = if run.effort.full {
        &FULL_BYTES
    } else {
        &QUICK_BYTES
    };
    let mut cells = Vec::new();
    for (index, subject) in subjects.iter().enumerate() {
        let of = (index, subject.as_ref());
        cells.extend(sizes.iter().map(|size| Cell::new("throughput", of, *size, 1)));
    }
    let before = run.rows.len();
    run.measure("throughput", &mut subjects, cells)?;
    run.rows.iter_mut().skip(before).for_each(add_rates);
    Ok(())
}

/// The samples of a stream are mean times between records; the rates are what the median of them amounts to.
#[expect(clippy::cast_precision_loss, reason = "times and sizes are far below 2^53")]
fn add_rates(row: &mut Row) {
    let per_s = 1e9 / row.p50_ns.max(1) as f64;
    row.rate_per_s = Some(per_s);
    row.bytes_per_s = Some(per_s * row.payload_bytes as f64);
}
