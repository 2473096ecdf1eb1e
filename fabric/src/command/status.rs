//! `status`: what a running daemon serves, how it fares, and what is wrong.

use super::operator::{Question, list, number, text};
use super::{Failed, print, print_json};
use crate::cli::StatusArgs;
use crate::table::{Align, Table, bytes, duration};
use serde_json::Value;
use std::fmt::Write as _;
use std::process::ExitCode;

/// Exit code of `status` when a chain that it was asked for is not ready.
const NOT_READY: u8 = 3;

/// Prints the daemon's status; the exit code says whether all that was asked for is ready.
///
/// # Errors
/// When no daemon answers, what is asked for does not exist, or nothing can be printed.
pub fn status(arguments: &StatusArgs) -> Result<ExitCode, Failed> {
    let mut question = Question::new("/status", &arguments.asked);
    question.with("failed", arguments.failed.then_some(true));
    let status = question.ask()?;
    if arguments.asked.as_json() {
        print_json(&status)?;
    } else {
        print(&human(&status))?;
    }
    let wanted = arguments
        .asked
        .name
        .as_deref()
        .or(arguments.asked.chain.as_deref());
    // Of a service that is still starting, no chain is named.
    let is_ready = match wanted {
        Some(wanted) => list(&status, "not_ready").all(|name| name.as_str() != Some(wanted)),
        None => status.get("ready") == Some(&Value::Bool(true)),
    };
    Ok(if is_ready {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(NOT_READY)
    })
}

/// A duration in words that people use.
fn lasted(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0 => format!("{ms} ms"),
        1..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3600 % 24),
    }
}

fn human(status: &Value) -> String {
    let mut out = String::new();
    let not_ready: Vec<&str> = list(status, "not_ready").filter_map(Value::as_str).collect();
    let ready = match status.get("ready") {
        Some(Value::Bool(true)) => "ready".to_owned(),
        _ if not_ready.is_empty() => "NOT READY: starting".to_owned(),
        _ => format!("NOT READY: {}", not_ready.join(", ")),
    };
    let _ = writeln!(out, "{ready}, at {}", text(status, "time"));
    // There is none where every chain has its own.
    if status.get("gateway").is_some_and(Value::is_string) {
        let _ = writeln!(
            out,
            "gateway {}, {}",
            text(status, "gateway"),
            text(status, "gateway_state")
        );
    }
    let missing: Vec<&str> = list(status, "isolation_missing")
        .filter_map(Value::as_str)
        .collect();
    let isolation = if missing.is_empty() {
        "every layer".to_owned()
    } else {
        format!("without {}", missing.join(", "))
    };
    let _ = writeln!(
        out,
        "isolation: {} backend, {isolation}; no SNP, the OS itself is trusted",
        text(status, "backend")
    );
    let _ = writeln!(
        out,
        "daemon restarts {}, the present one since {}",
        number(status, "daemon_restarts"),
        text(status, "daemon_since")
    );
    for chain in list(status, "chains") {
        write_chain(&mut out, chain);
    }
    out
}

fn write_chain(out: &mut String, chain: &Value) {
    let _ = writeln!(
        out,
        "\nchain `{}` {}, {}, {} in flight of {}, {} queued, {} shed\n  digest {}",
        text(chain, "name"),
        text(chain, "version"),
        counted(number(chain, "requests"), "request"),
        number(chain, "in_flight"),
        number(chain, "in_flight_limit"),
        number(chain, "queued"),
        number(chain, "shed"),
        text(chain, "digest"),
    );
    for complaint in list(chain, "not_ready_because").filter_map(Value::as_str) {
        let _ = writeln!(out, "  NOT READY: {complaint}");
    }
    if chain.get("own_gateway") == Some(&Value::Bool(true)) {
        let tls = match (chain.get("tls"), chain.get("client_certificates")) {
            (_, Some(Value::Bool(true))) => ", TLS, clients need a certificate",
            (Some(Value::Bool(true)), _) => ", TLS",
            _ => "",
        };
        let state = chain.get("gateway").map_or("?", |gateway| text(gateway, "state"));
        let _ = writeln!(
            out,
            "  gateway of its own {}{tls}, {state}",
            text(chain, "listen")
        );
    }
    out.push_str(&instances(chain).render());
    out.push_str("  memory: the limit is a function's `memory` and what the fabric needs besides, which `explain` lists.\n");
    let gateway = chain.get("gateway").into_iter();
    for instance in gateway.chain(list(chain, "instances")) {
        write_trouble(out, instance);
    }
    let mapped: Vec<&str> = list(chain, "edges")
        .filter(|edge| text(edge, "protection") == "mapped")
        .map(|edge| text(edge, "edge"))
        .collect();
    if !mapped.is_empty() {
        let _ = writeln!(out, "  mapped, not sealed: {}", mapped.join(", "));
    }
}

fn instances(chain: &Value) -> Table {
    let mut table = Table::new(&[
        ("function", Align::Left),
        ("health", Align::Left),
        ("serving for", Align::Right),
        ("starts", Align::Right),
        ("deaths", Align::Right),
        ("succeeded", Align::Right),
        ("retried", Align::Right),
        ("failed", Align::Right),
        ("segments refused", Align::Right),
        ("mean run", Align::Right),
        ("memory", Align::Right),
    ]);
    for instance in list(chain, "instances") {
        let serving = instance.get("serving_ms").and_then(Value::as_u64);
        table.row([
            format!("{}#{}", text(instance, "function"), number(instance, "ordinal")),
            text(instance, "health").to_owned(),
            serving.map_or_else(|| "-".to_owned(), lasted),
            number(instance, "starts").to_string(),
            number(instance, "deaths").to_string(),
            number(instance, "runs_succeeded").to_string(),
            number(instance, "runs_retried").to_string(),
            number(instance, "records_failed").to_string(),
            number(instance, "refused").to_string(),
            mean_run(instance),
            format!(
                "{} of {}",
                bytes(number(instance, "memory_used_bytes")),
                bytes(number(instance, "memory_limit_bytes"))
            ),
        ]);
    }
    table
}

/// Of an instance that has not run, there is none.
fn mean_run(instance: &Value) -> String {
    match number(instance, "mean_run_ns") {
        0 => "-".to_owned(),
        mean => duration(mean),
    }
}

/// `1 request`, `2 requests`.
fn counted(count: u64, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

/// What went wrong with an instance.
fn write_trouble(out: &mut String, instance: &Value) {
    let name = format!("{}#{}", text(instance, "function"), number(instance, "ordinal"));
    let record = |value: &Value, before: &str| match value.get("invocation").and_then(Value::as_str) {
        Some(invocation) => format!(
            "{before} invocation {invocation}, attempt {}",
            number(value, "attempt")
        ),
        None => String::new(),
    };
    if let Some(calls) = instance.get("refused_calls").and_then(Value::as_object)
        && !calls.is_empty()
    {
        let calls: Vec<String> = calls
            .iter()
            .map(|(call, count)| format!("{call} {count}"))
            .collect();
        let _ = writeln!(out, "  system calls refused to {name}: {}", calls.join(", "));
    }
    if let Some(end) = instance.get("last_end") {
        let _ = writeln!(
            out,
            "  {name} ended {} ago ({}), {} after its start: {}{}",
            lasted(number(end, "ago_ms")),
            text(end, "at"),
            match number(end, "lived_ms") {
                // Of a short life, parts of seconds matter.
                ms @ 0..60_000 => duration(ms * 1_000_000),
                ms => lasted(ms),
            },
            text(end, "detail"),
            record(end, "; it was running")
        );
    }
    if let Some(failure) = instance.get("last_failure") {
        let why = failure.get("detail").and_then(Value::as_str);
        let _ = writeln!(
            out,
            "  {name} last gave up a record {} ago ({}){}{}",
            lasted(number(failure, "ago_ms")),
            text(failure, "at"),
            why.map_or_else(String::new, |why| format!(": {why}")),
            record(failure, if why.is_some() { "," } else { ":" })
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_as_long_as_they_need_to_be() {
        let said = [999, 1000, 61_000, 3_661_000, 90_000_000].map(lasted);
        assert_eq!(said, ["999 ms", "1 s", "1 min 1 s", "1 h 1 min", "1 d 1 h"]);
    }

    #[test]
    fn a_record_that_was_given_up_is_told_with_the_cause_if_that_is_known() {
        let mut failure =
            serde_json::json!({ "at": "then", "ago_ms": 3000, "invocation": "1f", "attempt": 2 });
        let told = |failure: &Value| {
            let mut out = String::new();
            let instance = serde_json::json!({ "function": "a", "ordinal": 0, "last_failure": failure });
            write_trouble(&mut out, &instance);
            out
        };
        assert!(told(&failure).contains(" 3 s ago (then): invocation 1f, attempt 2\n"));
        failure["detail"] = "the handler panicked".into();
        assert!(told(&failure).contains(" 3 s ago (then): the handler panicked, invocation 1f, attempt 2\n"));
    }
}
