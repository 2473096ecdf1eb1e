//! System calls that were refused to functions: told once each, by name.

use super::tables::{Instance, Tables};
use hacher_libos_net::refused_call::RefusedCall;
use hacher_trustlet_host::lines::About;
use hacher_trustlet_host::process::seccomp::call_name;
use std::collections::BTreeSet;

/// Most that are told; a function has at most sixteen different ones at a time, but can change what it says (I6).
const TOLD_MAX: usize = 4096;

/// What a refused call is called in logs, metrics and status.
pub(super) fn name(call: &RefusedCall) -> String {
    match call.number {
        None => "others".to_owned(),
        Some(number) => call_name(number).map_or_else(|| format!("number {number}"), str::to_owned),
    }
}

/// What has been told.
#[derive(Debug, Default)]
pub(super) struct Told(BTreeSet<(u32, String, Option<u64>)>);

impl Told {
    /// Tells of what has been refused since the last look.
    pub(super) fn look(&mut self, tables: &Tables) {
        for chain in &tables.chains {
            for instance in chain.functions() {
                for call in instance.page.refused_calls() {
                    self.tell(chain.number, &chain.name, instance, &call);
                }
            }
        }
    }

    fn tell(&mut self, number: u32, chain: &str, instance: &Instance, call: &RefusedCall) {
        let key = (number, instance.function.clone(), call.number);
        if self.0.len() < TOLD_MAX && self.0.insert(key) {
            let about = About {
                chain,
                function: &instance.function,
                instance: Some(instance.ordinal),
                ..About::default()
            };
            tell!(
                Warning, about;
                "it made the system call `{}`, which is refused (EPERM); docs/functions.md lists what a function has",
                name(call)
            );
        }
    }
}
