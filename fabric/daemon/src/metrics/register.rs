//! Figures with names and labels, behind the `metrics` facade, and the text that Prometheus reads of them
//! (exposition format 0.0.4).
//!
//! The exporter that comes with the facade keeps every duration until it is asked, and sorts them into
//! buckets then. Here they were counted in instance pages long before, by processes that are not to be
//! trusted with more: so this recorder takes whole histograms over, and for everything else it is a recorder
//! like any other. It prints families and series in the order of their names, so that two scrapes can be
//! compared.

use metrics::{
    Counter, CounterFn, Gauge, Histogram, Key, KeyName, Label, Metadata, Recorder, SharedString, Unit,
};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A histogram as a page has counted it, or what is left of one.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Distribution {
    /// Upper bounds in seconds with the durations up to each; none for a summary.
    pub(super) buckets: Vec<(f64, u64)>,
    /// All durations.
    pub(super) count: u64,
    /// Their sum, in seconds.
    pub(super) sum: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
    Summary,
}

impl Kind {
    const fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Summary => "summary",
        }
    }
}

/// The value of a series.
enum Value {
    Counter(Arc<Count>),
    Gauge(Arc<AtomicU64>),
    Distribution(Distribution),
}

/// All series of one name, by their labels as they are printed.
struct Family {
    kind: Kind,
    help: SharedString,
    series: BTreeMap<String, Value>,
}

/// The figures. Clones are the same register.
#[derive(Clone, Default)]
pub(crate) struct Register(Arc<Mutex<BTreeMap<String, Family>>>);

/// A counter. It never wraps; and what an instance counts may go back, when its page begins anew.
#[derive(Debug, Default)]
struct Count(AtomicU64);

impl CounterFn for Count {
    fn increment(&self, value: u64) {
        let add = |count: u64| Some(count.saturating_add(value));
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }

    fn absolute(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }
}

impl Register {
    fn families(&self) -> MutexGuard<'_, BTreeMap<String, Family>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn describe(&self, name: &KeyName, kind: Kind, help: SharedString) {
        let mut families = self.families();
        let family = Family {
            kind,
            help,
            series: BTreeMap::new(),
        };
        families.entry(name.as_str().to_owned()).or_insert(family);
    }

    /// Describes durations of which sum and count are told, and no buckets.
    pub(super) fn describe_summary(&self, name: &'static str, help: &'static str) {
        self.describe(&KeyName::from_const_str(name), Kind::Summary, help.into());
    }

    /// Takes a histogram or a summary over as it was counted.
    pub(super) fn take_over(&self, name: &str, labels: &[Label], counted: Distribution) {
        if let Some(family) = self.families().get_mut(name) {
            family
                .series
                .insert(printed(labels.iter()), Value::Distribution(counted));
        }
    }

    /// The series of a key; what was not described has none.
    fn with<T>(
        &self,
        key: &Key,
        new: impl FnOnce() -> Value,
        pick: impl FnOnce(&Value) -> Option<T>,
    ) -> Option<T> {
        let mut families = self.families();
        let family = families.get_mut(key.name())?;
        let series = family.series.entry(printed(key.labels()));
        pick(series.or_insert_with(new))
    }

    /// The text.
    pub(super) fn print(&self, out: &mut String) {
        for (name, family) in self.families().iter() {
            if family.series.is_empty() {
                continue;
            }
            let kind = family.kind.word();
            let _ = writeln!(out, "# HELP {name} {}\n# TYPE {name} {kind}", family.help);
            for (labels, value) in &family.series {
                print_series(out, name, labels, value);
            }
        }
    }
}

impl Recorder for Register {
    fn describe_counter(&self, name: KeyName, _: Option<Unit>, help: SharedString) {
        self.describe(&name, Kind::Counter, help);
    }

    fn describe_gauge(&self, name: KeyName, _: Option<Unit>, help: SharedString) {
        self.describe(&name, Kind::Gauge, help);
    }

    fn describe_histogram(&self, name: KeyName, _: Option<Unit>, help: SharedString) {
        self.describe(&name, Kind::Histogram, help);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let new = || Value::Counter(Arc::default());
        let found = self.with(key, new, |value| match value {
            Value::Counter(count) => Some(Arc::clone(count)),
            _ => None,
        });
        found.map_or_else(Counter::noop, Counter::from_arc)
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        let new = || Value::Gauge(Arc::default());
        let found = self.with(key, new, |value| match value {
            Value::Gauge(bits) => Some(Arc::clone(bits)),
            _ => None,
        });
        found.map_or_else(Gauge::noop, Gauge::from_arc)
    }

    /// Nothing records single durations here; see [`Register::take_over`].
    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

/// Labels as they stand between braces.
fn printed<'a>(labels: impl Iterator<Item = &'a Label>) -> String {
    let mut text = String::new();
    for label in labels {
        let comma = if text.is_empty() { "" } else { "," };
        let _ = write!(text, "{comma}{}=\"", label.key());
        for character in label.value().chars() {
            match character {
                '\\' => text.push_str("\\\\"),
                '"' => text.push_str("\\\""),
                '\n' => text.push_str("\\n"),
                other => text.push(other),
            }
        }
        text.push('"');
    }
    text
}

fn print_series(out: &mut String, name: &str, labels: &str, value: &Value) {
    let braces = |out: &mut String, suffix: &str| {
        out.push_str(name);
        out.push_str(suffix);
        if !labels.is_empty() {
            let _ = write!(out, "{{{labels}}}");
        }
    };
    match value {
        Value::Counter(count) => {
            braces(out, "");
            let _ = writeln!(out, " {}", count.0.load(Ordering::Relaxed));
        }
        Value::Gauge(bits) => {
            braces(out, "");
            let _ = writeln!(out, " {}", f64::from_bits(bits.load(Ordering::Relaxed)));
        }
        Value::Distribution(distribution) => {
            let comma = if labels.is_empty() { "" } else { "," };
            for (bound, count) in &distribution.buckets {
                let _ = writeln!(out, "{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {count}");
            }
            let count = distribution.count;
            if !distribution.buckets.is_empty() {
                let _ = writeln!(out, "{name}_bucket{{{labels}{comma}le=\"+Inf\"}} {count}");
            }
            braces(out, "_sum");
            let _ = writeln!(out, " {}", distribution.sum);
            braces(out, "_count");
            let _ = writeln!(out, " {count}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(of: &Register) -> String {
        let mut out = String::new();
        of.print(&mut out);
        out
    }

    #[test]
    fn what_is_recorded_is_printed_in_order_with_its_help() {
        let register = Register::default();
        metrics::with_local_recorder(&register, || {
            metrics::describe_gauge!("b", "B.");
            metrics::describe_counter!("a_total", "A.");
            metrics::describe_counter!("none_total", "Without series.");
            metrics::gauge!("b").set(0.25);
            metrics::counter!("a_total", "x" => "2").increment(0);
            metrics::counter!("a_total", "x" => "1\"\\\n").increment(u64::MAX);
            metrics::counter!("a_total", "x" => "1\"\\\n").increment(1);
            metrics::counter!("unknown_total").increment(1);
        });
        let expected = "# HELP a_total A.\n# TYPE a_total counter\na_total{x=\"1\\\"\\\\\\n\"} 18446744073709551615\n\
                        a_total{x=\"2\"} 0\n# HELP b B.\n# TYPE b gauge\nb 0.25\n";
        assert_eq!(text(&register), expected);
    }

    #[test]
    fn a_counter_that_begins_anew_goes_back() {
        let register = Register::default();
        metrics::with_local_recorder(&register, || {
            metrics::describe_counter!("a_total", "A.");
            metrics::counter!("a_total").absolute(7);
            metrics::counter!("a_total").absolute(3);
        });
        assert!(text(&register).ends_with("\na_total 3\n"));
    }

    #[test]
    fn histograms_and_summaries_are_taken_over_whole() {
        let register = Register::default();
        metrics::with_local_recorder(&register, || metrics::describe_histogram!("h_seconds", "H."));
        register.describe_summary("s_seconds", "S.");
        let counted = Distribution {
            buckets: vec![(0.000_262_144, 2), (1.0, 2)],
            count: 3,
            sum: 1.5,
        };
        register.take_over("h_seconds", &[Label::new("x", "1")], counted.clone());
        let rest = Distribution {
            buckets: Vec::new(),
            ..counted
        };
        register.take_over("s_seconds", &[], rest);
        let expected = "# HELP h_seconds H.\n# TYPE h_seconds histogram\n\
                        h_seconds_bucket{x=\"1\",le=\"0.000262144\"} 2\nh_seconds_bucket{x=\"1\",le=\"1\"} 2\n\
                        h_seconds_bucket{x=\"1\",le=\"+Inf\"} 3\nh_seconds_sum{x=\"1\"} 1.5\nh_seconds_count{x=\"1\"} 3\n\
                        # HELP s_seconds S.\n# TYPE s_seconds summary\ns_seconds_sum 1.5\ns_seconds_count 3\n";
        assert_eq!(text(&register), expected);
    }
}
