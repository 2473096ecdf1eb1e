//! `status`: what a running daemon serves, and how it fares.

use super::{Failed, print, print_json};
use crate::cli::{Format, StatusArgs};
use crate::http::Connection;
use crate::table::{Align, Table, duration};
use serde_json::Value;
use std::fmt::Write as _;
use std::time::Duration;

/// How long a daemon may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Prints the daemon's status.
///
/// # Errors
/// When no daemon answers.
pub fn status(arguments: &StatusArgs) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let reply = runtime.block_on(async {
        let ask = async { Connection::open(arguments.admin).await?.get("/status").await };
        tokio::time::timeout(PATIENCE, ask).await
    });
    let reply =
        reply.map_err(|_| Failed::new(format!("the daemon at {} does not answer", arguments.admin)))??;
    let status = reply.json();
    match arguments.format.format {
        Format::Json => print_json(&status),
        Format::Human => print(&human(&status)),
    }
    Ok(())
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or("?")
}

fn number(value: &Value, key: &str) -> u64 {
    value.get(key).and_then(Value::as_u64).unwrap_or(0)
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}

fn human(status: &Value) -> String {
    let mut out = String::new();
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
    let _ = writeln!(out, "daemon restarts {}", number(status, "daemon_restarts"));
    for chain in list(status, "chains") {
        let _ = writeln!(
            out,
            "\nchain `{}` {}, {} requests, {} in flight\n  digest {}",
            text(chain, "name"),
            text(chain, "version"),
            number(chain, "requests"),
            number(chain, "in_flight"),
            text(chain, "digest"),
        );
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
        let mut table = Table::new(&[
            ("function", Align::Left),
            ("state", Align::Left),
            ("starts", Align::Right),
            ("runs", Align::Right),
            ("retried", Align::Right),
            ("failed", Align::Right),
            ("refused", Align::Right),
            ("mean run", Align::Right),
        ]);
        for instance in list(chain, "instances") {
            table.row([
                format!("{}#{}", text(instance, "function"), number(instance, "ordinal")),
                text(instance, "state").to_owned(),
                number(instance, "epoch").to_string(),
                number(instance, "runs_succeeded").to_string(),
                number(instance, "runs_retried").to_string(),
                number(instance, "records_failed").to_string(),
                number(instance, "refused").to_string(),
                duration(number(instance, "mean_run_ns")),
            ]);
        }
        out.push_str(&table.render());
        for instance in list(chain, "instances") {
            let calls = instance.get("refused_calls").and_then(Value::as_object);
            let calls: Vec<String> = calls.map_or_else(Vec::new, |calls| {
                calls
                    .iter()
                    .map(|(name, count)| format!("{name} {count}"))
                    .collect()
            });
            if !calls.is_empty() {
                let (function, calls) = (text(instance, "function"), calls.join(", "));
                let _ = writeln!(out, "  system calls refused to {function}: {calls}");
            }
            if let Some(end) = instance.get("last_end") {
                let name = format!("{}#{}", text(instance, "function"), number(instance, "ordinal"));
                let _ = writeln!(out, "  {name} ended last because: {}", text(end, "detail"));
            }
        }
        let mapped: Vec<&str> = list(chain, "edges")
            .filter(|edge| text(edge, "protection") == "mapped")
            .map(|edge| text(edge, "edge"))
            .collect();
        if !mapped.is_empty() {
            let _ = writeln!(out, "  mapped, not sealed: {}", mapped.join(", "));
        }
    }
    out
}
