//! The way in which all experiments are measured: every cell in every round, in an order drawn anew for each
//! round, so that whatever disturbs the machine hits all alike.

use crate::report::row::{Measured, Row};
use crate::subject::{Cores, Started, Subject};
use hacher_fabric::failed::Failed;
use indicatif::{ProgressBar, ProgressStyle};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Fewest samples of a cell in a round, however long one takes.
const SAMPLES_MIN: u32 = 3;
/// Most samples of a cell in a round, however short one is.
const SAMPLES_MAX: u32 = 5_000;
/// Samples to find out how long one takes; also the warm-up.
const SAMPLES_FIRST: u32 = 5;

/// How thorough a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effort {
    /// Whether all sizes and lengths are measured, or a few.
    pub full: bool,
    /// Repeats of every cell.
    pub rounds: usize,
    /// What one repeat of a cell may take.
    pub budget: Duration,
}

impl Effort {
    /// About a minute in all.
    pub const QUICK: Self = Self {
        full: false,
        rounds: 5,
        budget: Duration::from_millis(8),
    };
    /// About ten minutes in all.
    pub const FULL: Self = Self {
        full: true,
        rounds: 15,
        budget: Duration::from_millis(25),
    };
}

/// A run: what its experiments share.
pub struct Run {
    /// How thorough it is.
    pub effort: Effort,
    /// The command `hacher-fabric`, which serves the chains.
    pub fabric: PathBuf,
    /// Where it measures.
    pub cores: Cores,
    /// Draws the order of cells.
    pub random: fastrand::Rng,
    /// Which transports are measured; all if this is empty. Floors always are.
    pub only: Vec<String>,
    /// The virtual environment of functions in Python; the benchmark's own if none is named.
    pub venv: Option<PathBuf>,
    /// Which of these functions are measured; all if this is empty.
    pub functions: Vec<String>,
    /// What was found.
    pub rows: Vec<Row>,
    /// What was left out, and why.
    pub notices: Vec<String>,
    /// Other projects' transports.
    pub guests: Vec<Guest>,
}

/// Starts a subject that is not always there, for chains of up to so many hops.
pub type Guest = Box<dyn Fn(Cores, u32) -> Result<Started, Failed>>;

/// What is measured of one subject.
pub(super) struct Cell {
    /// Index of the subject.
    subject: usize,
    payload_bytes: usize,
    hops: u32,
    measured: Measured,
    /// In each round; 0 until it is known how long one takes.
    samples: u32,
}

impl Cell {
    /// A cell of `experiment` for the subject at this index.
    pub(super) fn new(
        experiment: &'static str,
        (index, subject): (usize, &dyn Subject),
        payload_bytes: usize,
        hops: u32,
    ) -> Self {
        Self {
            subject: index,
            payload_bytes,
            hops,
            measured: Measured::new(experiment, subject.identity(), payload_bytes, hops),
            samples: 0,
        }
    }
}

impl Run {
    /// Whether this transport is to be measured.
    #[must_use]
    pub fn wants(&self, transport: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == transport)
    }

    /// A subject that could be started; notes why another could not.
    pub(super) fn ready(&mut self, started: Started) -> Option<Box<dyn Subject>> {
        match started {
            Started::Ready(subject) => Some(subject),
            Started::LeftOut(notice) => {
                // Several experiments may miss the same.
                if !self.notices.contains(&notice) {
                    self.notices.push(notice);
                }
                None
            }
        }
    }

    /// The guests that are to be measured, for chains of up to `hops_max` hops.
    pub(super) fn start_guests(&mut self, hops_max: u32) -> Result<Vec<Box<dyn Subject>>, Failed> {
        let start = |guest: &Guest| guest(self.cores, hops_max);
        let started = self.guests.iter().map(start).collect::<Result<Vec<_>, _>>()?;
        let mut subjects: Vec<_> = started
            .into_iter()
            .filter_map(|started| self.ready(started))
            .collect();
        subjects.retain(|subject| self.wants(subject.identity().transport));
        Ok(subjects)
    }

    /// Measures all cells, and keeps their rows.
    ///
    /// # Errors
    /// When a subject fails.
    pub(super) fn measure(
        &mut self,
        title: &str,
        subjects: &mut [Box<dyn Subject>],
        cells: Vec<Cell>,
    ) -> Result<(), Failed> {
        let measured = self.rounds(title, subjects, cells)?;
        self.rows.extend(measured.into_iter().filter_map(Measured::row));
        Ok(())
    }

    fn rounds(
        &mut self,
        title: &str,
        subjects: &mut [Box<dyn Subject>],
        mut cells: Vec<Cell>,
    ) -> Result<Vec<Measured>, Failed> {
        let steps = cells.len() * (self.effort.rounds + 1);
        let progress = progress(u64::try_from(steps).unwrap_or(u64::MAX), title);
        for cell in &mut cells {
            calibrate(cell, subjects, self.effort.budget)?;
            progress.inc(1);
        }
        let mut order: Vec<usize> = (0..cells.len()).collect();
        for round in 0..self.effort.rounds {
            self.random.shuffle(&mut order);
            for index in &order {
                if let Some(cell) = cells.get_mut(*index) {
                    repeat(cell, subjects, round)?;
                }
                progress.inc(1);
            }
        }
        progress.finish_and_clear();
        Ok(cells.into_iter().map(|cell| cell.measured).collect())
    }
}

/// Finds out how many samples fit into a round.
fn calibrate(cell: &mut Cell, subjects: &mut [Box<dyn Subject>], budget: Duration) -> Result<(), Failed> {
    let Some(subject) = subjects.get_mut(cell.subject) else {
        return Ok(());
    };
    // Twice: the first time, memory is touched that was never touched before.
    let mut each = Duration::ZERO;
    for _ in 0..2 {
        let start = Instant::now();
        subject.measure(cell.payload_bytes, cell.hops, SAMPLES_FIRST, &mut |_| ())?;
        each = start.elapsed() / SAMPLES_FIRST;
    }
    let fitting = budget.as_nanos() / each.as_nanos().max(1);
    cell.samples = u32::try_from(fitting)
        .unwrap_or(SAMPLES_MAX)
        .clamp(SAMPLES_MIN, SAMPLES_MAX);
    Ok(())
}

fn repeat(cell: &mut Cell, subjects: &mut [Box<dyn Subject>], round: usize) -> Result<(), Failed> {
    let Some(subject) = subjects.get_mut(cell.subject) else {
        return Ok(());
    };
    // The first few after others have used the caches belong to nobody.
    subject.measure(cell.payload_bytes, cell.hops, SAMPLES_MIN, &mut |_| ())?;
    let measured = &mut cell.measured;
    measured.reserve(round, usize::try_from(cell.samples).unwrap_or(0));
    subject.measure(cell.payload_bytes, cell.hops, cell.samples, &mut |ns| {
        measured.record(round, ns);
    })
}

/// A bar for `steps` steps.
pub(super) fn progress(steps: u64, title: &str) -> ProgressBar {
    let bar = ProgressBar::new(steps);
    if let Ok(style) = ProgressStyle::with_template("{msg:12} {bar:40} {pos}/{len} {elapsed} (still {eta})") {
        bar.set_style(style);
    }
    bar.set_message(title.to_owned());
    bar
}
