//! `traces`: the last runs of functions, and where their time went.

use super::operator::{Question, is_timed, list, number, text};
use super::{Failed, print, print_json};
use crate::cli::TracesArgs;
use crate::table::{Align, Table, bytes, duration};
use serde_json::Value;

/// Prints traces.
///
/// # Errors
/// When no daemon answers, what is asked for does not exist, or nothing can be printed.
pub fn traces(arguments: &TracesArgs) -> Result<(), Failed> {
    let mut question = Question::new("/traces", &arguments.asked);
    question.with("invocation", arguments.invocation.as_ref());
    question.with("failed", arguments.failed.then_some(true));
    question.with("limit", arguments.limit);
    let answer = question.ask()?;
    if arguments.asked.as_json() {
        print_json(&answer)
    } else {
        print(&human(&answer))
    }
}

fn human(answer: &Value) -> String {
    let mut table = Table::new(&[
        ("seen", Align::Left),
        ("chain", Align::Left),
        ("function", Align::Left),
        ("from", Align::Left),
        ("invocation", Align::Left),
        ("attempt", Align::Right),
        ("outcome", Align::Left),
        ("cause", Align::Left),
        ("queued", Align::Right),
        ("hand-over", Align::Right),
        ("open", Align::Right),
        ("run", Align::Right),
        ("seal", Align::Right),
        ("in", Align::Right),
        ("out", Align::Right),
    ]);
    let mut traces: Vec<&Value> = list(answer, "traces").collect();
    traces.sort_by_key(|trace| number(trace, "seen_ns"));
    if traces.is_empty() {
        return "no finished run is known: each instance keeps its last 256, but none that was stopped as nobody waited for it\n"
            .to_owned();
    }
    for trace in traces {
        let known = |cell: String| if is_timed(trace) { cell } else { "-".to_owned() };
        let cause = trace.get("cause").and_then(Value::as_str);
        table.row([
            text(trace, "seen_at").to_owned(),
            text(trace, "chain").to_owned(),
            format!("{}#{}", text(trace, "function"), number(trace, "ordinal")),
            text(trace, "from").to_owned(),
            text(trace, "invocation").to_owned(),
            number(trace, "attempt").to_string(),
            text(trace, "outcome").to_owned(),
            cause.unwrap_or("-").to_owned(),
            known(duration(number(trace, "queued_ns"))),
            known(duration(number(trace, "hand_over_ns"))),
            known(duration(number(trace, "open_ns"))),
            known(duration(number(trace, "run_ns"))),
            known(duration(number(trace, "seal_ns"))),
            known(bytes(number(trace, "in_bytes"))),
            known(bytes(number(trace, "out_bytes"))),
        ]);
    }
    table.render()
}
