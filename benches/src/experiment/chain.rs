//! One payload through the functions of a chain.

use super::super::baseline::{self, Kind};
use super::super::fabric::{Fabric, Protection, Shape};
use super::super::floor::circle::{Circle, TRANSPORT as CIRCLE};
use super::super::step::Work;
use super::super::subject::{Place, Subject};
use super::hop::places;
use super::run::{Cell, Run};
use hacher_fabric::failed::Failed;

const FULL_LENGTHS: [u32; 6] = [1, 2, 4, 8, 16, 32];
const QUICK_LENGTHS: [u32; 4] = [1, 2, 4, 32];
const FULL_BYTES: [usize; 4] = [64, 4 << 10, 16 << 10, 64 << 10];
const QUICK_BYTES: [usize; 2] = [4 << 10, 16 << 10];

/// Measures chains.
///
/// # Errors
/// When a subject does not start, or fails.
pub fn chain(run: &mut Run) -> Result<(), Failed> {
    let (lengths, sizes): (&[u32], &[usize]) = if run.effort.full {
        (&FULL_LENGTHS, &FULL_BYTES)
    } else {
        (&QUICK_LENGTHS, &QUICK_BYTES)
    };
    let mut subjects: Vec<Box<dyn Subject>> = Vec::new();
    if run.wants("fabric") {
        for protection in Protection::ALL {
            for place in places(run).into_iter().chain([Place::Auto]) {
                for functions in lengths.iter().copied() {
                    let shape = Shape {
                        functions,
                        work: Work::Forward,
                        protection,
                        place,
                        touched: true,
                    };
                    subjects.push(Box::new(Fabric::start(&run.fabric, shape, run.cores)?));
                }
            }
        }
    }
    if run.wants(CIRCLE) {
        for functions in lengths.iter().copied() {
            subjects.push(Box::new(Circle::start(functions, run.cores)?));
        }
    }
    baselines(run, lengths, &mut subjects)?;
    let mut cells = Vec::new();
    for (index, subject) in subjects.iter().enumerate() {
        let of = (index, subject.as_ref());
        let its_lengths = lengths
            .iter()
            .filter(|length| subject.hops().is_none_or(|hops| hops == **length));
        for length in its_lengths {
            // The circle moves nothing.
            let its_sizes: &[usize] = if of.1.identity().transport == CIRCLE {
                &[0]
            } else {
                sizes
            };
            cells.extend(
                its_sizes
                    .iter()
                    .map(|size| Cell::new("chain", of, *size, *length)),
            );
        }
    }
    run.measure("chain", &mut subjects, cells)
}

fn baselines(run: &mut Run, lengths: &[u32], subjects: &mut Vec<Box<dyn Subject>>) -> Result<(), Failed> {
    let longest = lengths.iter().copied().max().unwrap_or(1);
    for kind in Kind::ALL {
        let spread = (kind == Kind::Https && run.cores.away.is_some()).then_some(Place::Spread);
        for place in [Place::Packed, Place::Floating].into_iter().chain(spread) {
            if run.wants(kind.identity(place).transport) {
                subjects.push(baseline::start(kind, place, run.cores, longest)?);
            }
        }
    }
    subjects.extend(run.start_guests(longest)?);
    Ok(())
}
