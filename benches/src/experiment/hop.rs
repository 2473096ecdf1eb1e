//! One record from one process to the next.

use super::super::baseline::{self, Kind};
use super::super::fabric::{Fabric, Protection, Shape};
use super::super::floor::{self, Floor};
use super::super::step::Work;
use super::super::subject::{Place, Subject};
use super::run::{Cell, Run};
use hacher_fabric::failed::Failed;

const FULL_BYTES: [usize; 9] = [
    64,
    1 << 10,
    4 << 10,
    16 << 10,
    64 << 10,
    256 << 10,
    1 << 20,
    4 << 20,
    16 << 20,
];
const QUICK_BYTES: [usize; 5] = [64, 4 << 10, 16 << 10, 64 << 10, 1 << 20];

/// Measures hops.
///
/// # Errors
/// When a subject does not start, or fails.
pub fn hop(run: &mut Run) -> Result<(), Failed> {
    let mut subjects = floors(run)?;
    let floors = subjects.len();
    fabrics(run, &mut subjects)?;
    baselines(run, &mut subjects)?;
    subjects.extend(run.start_guests(1)?);
    let sizes: &[usize] = if run.effort.full {
        &FULL_BYTES
    } else {
        &QUICK_BYTES
    };
    let mut cells = Vec::new();
    for (index, subject) in subjects.iter().enumerate() {
        let moves_none = index < floors && !moves_payload(subject.as_ref());
        let sizes = if moves_none { &[0][..] } else { sizes };
        let of = (index, subject.as_ref());
        cells.extend(sizes.iter().map(|size| Cell::new("hop", of, *size, 1)));
    }
    run.measure("hop", &mut subjects, cells)
}

fn moves_payload(floor: &dyn Subject) -> bool {
    Floor::ALL
        .into_iter()
        .any(|known| known.identity() == floor.identity() && known.has_payload())
}

fn floors(run: &mut Run) -> Result<Vec<Box<dyn Subject>>, Failed> {
    let mut floors = Vec::new();
    for kind in Floor::ALL {
        floors.extend(run.ready(floor::start(kind, run.cores)?));
    }
    Ok(floors)
}

fn fabrics(run: &mut Run, subjects: &mut Vec<Box<dyn Subject>>) -> Result<(), Failed> {
    if !run.wants("fabric") {
        return Ok(());
    }
    for protection in Protection::ALL {
        for place in places(run) {
            for touched in [true, false] {
                let shape = Shape {
                    functions: 1,
                    work: Work::Receipt,
                    protection,
                    place,
                    touched,
                };
                subjects.push(Box::new(Fabric::start(&run.fabric, shape, run.cores)?));
            }
        }
    }
    Ok(())
}

/// Where the fabric is measured on this machine.
pub(super) fn places(run: &Run) -> Vec<Place> {
    match run.cores.away {
        Some(_) => vec![Place::Packed, Place::Spread],
        None => vec![Place::Packed],
    }
}

fn baselines(run: &Run, subjects: &mut Vec<Box<dyn Subject>>) -> Result<(), Failed> {
    for kind in Kind::ALL {
        for place in [Place::Packed, Place::Floating] {
            if run.wants(kind.identity(place).transport) {
                subjects.push(baseline::start(kind, place, run.cores, 1)?);
            }
        }
    }
    Ok(())
}
