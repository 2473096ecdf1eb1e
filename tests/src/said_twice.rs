//! Whether a command says the same things to people and to programs.

use hacher_fabric::table::{bytes, duration};
use serde_json::Value;

/// What programs alone are told of: the last name on the way to it, and why.
pub type MachineOnly = &'static [(&'static str, &'static str)];

/// All values that are neither empty nor a refusal, with the names that lead to them.
fn leaves(value: &Value, path: &str, found: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                leaves(member, &format!("{path}.{name}"), found);
            }
        }
        Value::Array(members) => {
            for member in members {
                leaves(member, path, found);
            }
        }
        Value::Null | Value::Bool(false) => {}
        leaf => found.push((path.to_owned(), leaf.clone())),
    }
}

/// A number with its thousands apart.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .filter_map(|group| core::str::from_utf8(group).ok())
        .collect();
    groups.join(",")
}

/// Whether a text for people has this value in one of the forms that people read.
fn is_said(text: &str, leaf: &Value) -> bool {
    match leaf {
        Value::String(said) => said.lines().all(|line| text.contains(line.trim())),
        Value::Number(number) => {
            let whole = number.as_u64().unwrap_or(0);
            let forms = [
                number.to_string(),
                bytes(whole),
                duration(whole),
                duration(whole.saturating_mul(1_000_000)),
                grouped(whole),
                format!("{}s", whole / 1000),
                format!("{}.{} µs", whole / 1000, whole % 1000 / 100),
            ];
            forms.iter().any(|form| text.contains(form.as_str()))
        }
        _ => false,
    }
}

/// Compares what a command says in both formats.
///
/// # Panics
/// When `text` lacks a value of `data` that `only` does not list.
pub fn compare(name: &str, text: &str, data: &Value, only: MachineOnly) {
    let mut found = Vec::new();
    leaves(data, "", &mut found);
    assert!(!found.is_empty(), "{name} says something");
    let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_owned();
    let unsaid: Vec<String> = found
        .iter()
        .filter(|(path, _)| only.iter().all(|(known, _)| *known != last(path)))
        .filter(|(_, leaf)| !is_said(text, leaf))
        .map(|(path, leaf)| format!("{path} = {leaf}"))
        .collect();
    assert!(
        unsaid.is_empty(),
        "`{name}` tells people nothing of\n{}\nbut\n{text}",
        unsaid.join("\n")
    );
}
