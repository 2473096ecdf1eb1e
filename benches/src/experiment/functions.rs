//! Functions in Python: in a chain, behind a server that speaks HTTPS, and in a new process for each call. Of
//! each call its time, that of the handler in it, and what is left: the share of the way it was called in.

use super::super::peer::this_program;
use super::super::python::call::Call;
use super::super::python::function::{ALL, Function};
use super::super::python::in_chain::{self, InChain};
use super::super::python::once::{self, Once};
use super::super::python::over_https::{self, OverHttps};
use super::super::python::sources::Sources;
use super::super::python::venv::{SERVER, Venv};
use super::super::python::way::Way;
use super::super::report::row::Measured;
use super::super::subject::Place;
use super::run::{Run, progress};
use hacher_fabric::failed::Failed;
use std::time::{Duration, Instant};

/// The parts of a call, in the order of reports.
const PHASES: [&str; 3] = ["total", "handler", "share"];

/// Calls to find out how long one takes; also the warm-up.
const CALLS_FIRST: u32 = 3;
/// Calls of a round that are not counted: those after others have used the caches.
const CALLS_UNCOUNTED: u32 = 2;
/// Most calls of a round, however short one is.
const CALLS_MAX: u32 = 5_000;

/// What one round of one way may take, and how many calls it has at least.
struct Pace {
    budget: Duration,
    calls_min: u32,
}

const QUICK: Pace = Pace {
    budget: Duration::from_millis(20),
    calls_min: 1,
};
const FULL: Pace = Pace {
    budget: Duration::from_millis(250),
    calls_min: 3,
};

/// A function, and the ways in which it is measured.
struct Task {
    function: Function,
    /// How many of it, in a row.
    functions: u32,
    chain: &'static [Place],
    https: &'static [Place],
    process: &'static [Place],
}

const PLACES: &[Place] = &[Place::Packed, Place::Auto];
const SERVER_PLACES: &[Place] = &[Place::Packed, Place::Spread, Place::Floating];
/// Functions that do something: as the fabric places them, and left to the scheduler.
const DEFAULT_PLACE: &[Place] = &[Place::Auto];
const SCHEDULER: &[Place] = &[Place::Floating];

fn tasks() -> impl Iterator<Item = Task> {
    ALL.iter().flat_map(|function| {
        let function = *function;
        if !function.does_nothing() {
            return vec![Task {
                function,
                functions: 1,
                chain: DEFAULT_PLACE,
                https: SCHEDULER,
                process: SCHEDULER,
            }];
        }
        let row = |functions, process| Task {
            function,
            functions,
            chain: PLACES,
            https: SERVER_PLACES,
            process,
        };
        vec![row(1, SCHEDULER), row(3, &[])]
    })
}

/// Measures functions in Python.
///
/// # Errors
/// When there is no environment for them, or one does not start, or fails.
pub fn functions(run: &mut Run) -> Result<(), Failed> {
    let sources = Sources::write()?;
    let venv = Venv::ready(run.venv.as_deref(), &sources)?;
    run.notices.push(venv.told());
    run.notices
        .extend(venv.lacks("the server that speaks HTTPS", SERVER));
    let wanted = run.functions.clone();
    let is_wanted = |task: &Task| wanted.is_empty() || wanted.iter().any(|name| name == task.function.name);
    for task in tasks().filter(is_wanted) {
        if let Some(why) = venv.lacks(task.function.name, task.function.packages) {
            run.notices.push(why);
            continue;
        }
        let ways = task.start(run, &venv, &sources)?;
        measure(run, &task, ways)?;
    }
    Ok(())
}

impl Task {
    /// The chosen ways of calling it, started.
    fn start(&self, run: &Run, venv: &Venv, sources: &Sources) -> Result<Vec<Box<dyn Way>>, Failed> {
        let mut ways: Vec<Box<dyn Way>> = Vec::new();
        let is_possible = |place: &&Place| **place != Place::Spread || run.cores.away.is_some();
        let of = (venv, sources);
        if run.wants(in_chain::TRANSPORT) {
            for place in self.chain.iter().filter(is_possible) {
                let at = (*place, run.cores);
                let chain = InChain::start(&run.fabric, &self.function, self.functions, of, at)?;
                ways.push(Box::new(chain));
            }
        }
        if run.wants(over_https::TRANSPORT) && venv.lacks("", SERVER).is_none() {
            for place in self.https.iter().filter(is_possible) {
                let at = (*place, run.cores);
                ways.push(Box::new(OverHttps::start(
                    &this_program(),
                    &self.function,
                    self.functions,
                    of,
                    at,
                )?));
            }
        }
        if run.wants(once::TRANSPORT) {
            for place in self.process.iter().filter(is_possible) {
                ways.push(Box::new(Once::new(&self.function, of, (*place, run.cores))?));
            }
        }
        Ok(ways)
    }
}

/// A way, and what was measured of it.
struct Cell {
    way: Box<dyn Way>,
    /// As [`PHASES`] has them.
    parts: [Measured; 3],
    /// Calls of a round.
    calls: u32,
}

impl Cell {
    fn note(&mut self, round: usize, call: Call) {
        let times = [call.total_ns, call.handler_ns, call.share_ns()];
        for (measured, ns) in self.parts.iter_mut().zip(times) {
            measured.record(round, ns);
        }
    }

    /// Calls it until its caches are warm; what it answers, as a checksum.
    fn calibrate(&mut self, pace: &Pace) -> Result<u64, Failed> {
        let answer = self.way.call(1, &mut |_| ())?;
        let start = Instant::now();
        self.way.call(CALLS_FIRST, &mut |_| ())?;
        let each = start.elapsed() / CALLS_FIRST;
        let fitting = pace.budget.as_nanos() / each.as_nanos().max(1);
        self.calls = u32::try_from(fitting)
            .unwrap_or(CALLS_MAX)
            .clamp(pace.calls_min, CALLS_MAX);
        Ok(answer)
    }

    fn round(&mut self, round: usize) -> Result<(), Failed> {
        // A new process has no caches of its own that others could have used.
        if self.way.identity().transport != once::TRANSPORT {
            self.way.call(CALLS_UNCOUNTED, &mut |_| ())?;
        }
        let mut calls = Vec::with_capacity(usize::try_from(self.calls).unwrap_or(0));
        self.way.call(self.calls, &mut |call| calls.push(call))?;
        for call in calls {
            self.note(round, call);
        }
        Ok(())
    }
}

/// Measures all ways of calling one function in turn, and keeps their rows.
fn measure(run: &mut Run, task: &Task, ways: Vec<Box<dyn Way>>) -> Result<(), Failed> {
    let pace = if run.effort.full { &FULL } else { &QUICK };
    let payload_bytes = task.function.input().len();
    let part = |way: &dyn Way, phase| {
        Measured::new("functions", way.identity(), payload_bytes, task.functions)
            .with_function(task.function.name)
            .with_phase(phase)
    };
    let mut cells: Vec<Cell> = ways
        .into_iter()
        .map(|way| Cell {
            parts: PHASES.map(|phase| part(way.as_ref(), phase)),
            way,
            calls: 0,
        })
        .collect();
    let steps = cells.len() * (run.effort.rounds + 1);
    let progress = progress(u64::try_from(steps).unwrap_or(u64::MAX), task.function.name);
    let mut answer = None;
    for cell in &mut cells {
        let answered = cell.calibrate(pace)?;
        if *answer.get_or_insert(answered) != answered {
            return Err(Failed::new(format!(
                "{} does not answer the same in each way it is called in",
                task.function.name
            )));
        }
        progress.inc(1);
    }
    let mut order: Vec<usize> = (0..cells.len()).collect();
    for round in 0..run.effort.rounds {
        run.random.shuffle(&mut order);
        for index in &order {
            if let Some(cell) = cells.get_mut(*index) {
                cell.round(round)?;
            }
            progress.inc(1);
        }
    }
    progress.finish_and_clear();
    let rows = cells.into_iter().flat_map(|cell| cell.parts);
    run.rows.extend(rows.filter_map(Measured::row));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subject::Identity;

    /// Calls that take this long, one longer than the other.
    struct Fixed(Vec<Call>);

    impl Way for Fixed {
        fn identity(&self) -> Identity {
            Identity {
                transport: in_chain::TRANSPORT,
                protection: "sealed",
                placement: Place::Auto,
                touched: true,
            }
        }

        fn call(&mut self, samples: u32, record: &mut dyn FnMut(Call)) -> Result<u64, Failed> {
            let samples = usize::try_from(samples)?;
            self.0.iter().cycle().take(samples).copied().for_each(record);
            Ok(1)
        }
    }

    #[test]
    fn the_share_is_of_each_call_and_not_a_difference_of_medians() {
        // Long handlers with small shares, and short ones with large: the medians' difference would be 500.
        let calls = [(1_000, 990), (1_100, 1_085), (600, 100)];
        let calls = calls.map(|(total_ns, handler_ns)| Call { total_ns, handler_ns });
        let way = Fixed(calls.to_vec());
        let part = |phase| Measured::new("functions", way.identity(), 16 << 10, 1).with_phase(phase);
        let mut cell = Cell {
            parts: PHASES.map(part),
            way: Box::new(way),
            calls: 3,
        };
        cell.round(0).unwrap();
        let rows = cell.parts.map(|measured| measured.row().unwrap());
        let medians = rows
            .each_ref()
            .map(|row| (row.phase.as_deref().unwrap(), row.p50_ns));
        assert_eq!(medians, [("total", 1_000), ("handler", 990), ("share", 15)]);
    }

    #[test]
    fn each_function_is_called_in_all_three_ways_and_three_of_one_in_two() {
        let tasks: Vec<Task> = tasks().collect();
        assert_eq!(tasks.len(), ALL.len() + 1);
        for task in &tasks {
            assert!(
                !task.chain.is_empty() && !task.https.is_empty(),
                "{}",
                task.function.name
            );
            assert_eq!(
                task.process.is_empty(),
                task.functions == 3,
                "{}",
                task.function.name
            );
        }
    }
}
