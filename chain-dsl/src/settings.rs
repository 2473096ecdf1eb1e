//! What a function and `[defaults]` may both set: read from either, and put together.

use std::time::Duration;

use crate::code::Code;
use crate::diagnostic::{Diagnostic, Problems};
use crate::function::{Limits, Logs, Retry};
use crate::keys;
use crate::kinds::IntegerKind;
use crate::section::{Entry, Section, integer};
use crate::source::Spanned;
use crate::units::{ByteSize, format_duration};

/// What a function and `[defaults]` may both set.
#[derive(Default)]
pub(crate) struct SettingsTree {
    pub(crate) memory: Option<Spanned<ByteSize>>,
    pub(crate) timeout: Option<Spanned<Duration>>,
    pub(crate) instances: Option<Spanned<u32>>,
    pub(crate) logs: Option<Logs>,
    pub(crate) outbox: Option<Spanned<ByteSize>>,
    pub(crate) huge_pages: Option<bool>,
    pub(crate) prefault: Option<bool>,
    pub(crate) scratch: Option<Spanned<ByteSize>>,
    pub(crate) threads: Option<Spanned<u32>>,
    pub(crate) attempts: Option<Spanned<u32>>,
    pub(crate) backoff: Option<Spanned<Duration>>,
    pub(crate) factor: Option<Spanned<f64>>,
    pub(crate) max_backoff: Option<Spanned<Duration>>,
    pub(crate) jitter: Option<bool>,
}

/// Reads those of one table.
pub(crate) fn settings(section: &Section<'_>, title: &str, problems: &mut Problems) -> SettingsTree {
    let retry = section.table(&keys::RETRY, &format!("`retry` of `{title}`"), problems);
    let retry = retry.as_ref();
    let tree = SettingsTree {
        memory: section.size(&keys::MEMORY, problems),
        timeout: section.duration(&keys::TIMEOUT, problems),
        instances: section
            .entry(keys::INSTANCES.name)
            .and_then(|entry| instances(&entry, problems)),
        logs: section.choice(&keys::LOGS, problems).and_then(Logs::parse),
        outbox: section.size(&keys::OUTBOX, problems),
        huge_pages: section.flag(&keys::HUGE_PAGES, problems),
        prefault: section.flag(&keys::PREFAULT, problems),
        scratch: section.size(&keys::SCRATCH, problems),
        threads: section.integer(&keys::THREADS, problems),
        attempts: retry.and_then(|table| table.integer(&keys::ATTEMPTS, problems)),
        backoff: retry.and_then(|table| table.duration(&keys::BACKOFF, problems)),
        factor: retry.and_then(|table| table.number(&keys::FACTOR, problems)),
        max_backoff: retry.and_then(|table| table.duration(&keys::MAX_BACKOFF, problems)),
        jitter: retry.and_then(|table| table.flag(&keys::JITTER, problems)),
    };
    if let (Some(backoff), Some(max)) = (&tree.backoff, &tree.max_backoff) {
        check_backoff(backoff, max, problems);
    }
    tree
}

/// Refuses a longest wait that is shorter than the first.
fn check_backoff(backoff: &Spanned<Duration>, max: &Spanned<Duration>, problems: &mut Problems) {
    if max.value < backoff.value {
        let (first, longest) = (format_duration(backoff.value), format_duration(max.value));
        let message = format!("the longest back-off, {longest}, is shorter than the first, {first}");
        problems.push(
            Diagnostic::new(
                Code::Contradiction,
                max.span,
                message,
                format!("expected at least {first}"),
            )
            .with_expected(format!("at least {first}"))
            .with_related(backoff.span, "the first wait"),
        );
    }
}

fn instances(entry: &Entry<'_>, problems: &mut Problems) -> Option<Spanned<u32>> {
    let IntegerKind { min, max, .. } = keys::INSTANCES_RANGE;
    if entry.value.get_ref().is_table() {
        let message = "a range of instances is not built yet";
        let label = format!("expected a whole number from {min} to {max}");
        problems.push(
            Diagnostic::new(Code::NotBuiltYet, entry.span(), message, label)
                .with_expected(format!("a whole number from {min} to {max}"))
                .with_help("write a fixed number: instances = 1")
                .with_note("scaling with the load is refused until it is there, and never ignored"),
        );
        return None;
    }
    integer(entry, keys::INSTANCES_RANGE, problems)
}

/// What a function runs with: its own value, or that of `[defaults]`, or the language's.
pub(crate) fn limits(own: &SettingsTree, defaults: &SettingsTree, problems: &mut Problems) -> Limits {
    let mut retry = Retry {
        attempts: or(&own.attempts, &defaults.attempts, keys::ATTEMPTS.kind.default),
        backoff: or(&own.backoff, &defaults.backoff, keys::BACKOFF.kind.default),
        factor: or(&own.factor, &defaults.factor, keys::FACTOR.kind.default),
        max: or(
            &own.max_backoff,
            &defaults.max_backoff,
            keys::MAX_BACKOFF.kind.default,
        ),
        jitter: own
            .jitter
            .or(defaults.jitter)
            .unwrap_or(keys::JITTER.kind.default),
    };
    match (
        &own.backoff,
        &own.max_backoff,
        &defaults.backoff,
        &defaults.max_backoff,
    ) {
        // One is the function's own and the other comes from [defaults]: together they may not fit.
        (Some(backoff), None, _, Some(max)) | (None, Some(max), Some(backoff), _) => {
            check_backoff(backoff, max, problems);
        }
        // Only one is written at all: the other gives way.
        (Some(_), None, _, None) | (None, None, Some(_), None) => retry.max = retry.max.max(retry.backoff),
        (None, Some(_), None, _) | (None, None, None, Some(_)) => {
            retry.backoff = retry.backoff.min(retry.max)
        }
        _ => {}
    }
    Limits {
        memory: or(&own.memory, &defaults.memory, keys::MEMORY.kind.default),
        timeout: or(&own.timeout, &defaults.timeout, keys::TIMEOUT.kind.default),
        instances: or(&own.instances, &defaults.instances, keys::INSTANCES_RANGE.default),
        logs: own.logs.or(defaults.logs).unwrap_or_default(),
        outbox: or(&own.outbox, &defaults.outbox, keys::OUTBOX.kind.default),
        huge_pages: own
            .huge_pages
            .or(defaults.huge_pages)
            .unwrap_or(keys::HUGE_PAGES.kind.default),
        prefault: own
            .prefault
            .or(defaults.prefault)
            .unwrap_or(keys::PREFAULT.kind.default),
        scratch: or(&own.scratch, &defaults.scratch, keys::SCRATCH.kind.default),
        threads: or(&own.threads, &defaults.threads, keys::THREADS.kind.default),
        retry,
    }
}

/// The function's own value, or that of `[defaults]`, or another.
pub(crate) fn or<T: Copy>(own: &Option<Spanned<T>>, defaults: &Option<Spanned<T>>, otherwise: T) -> T {
    own.as_ref()
        .or(defaults.as_ref())
        .map_or(otherwise, |value| value.value)
}
