//! System calls that were refused to functions: told once each, by name.

use super::tables::{Instance, Tables};
use hacher_libos_net::refused_call::RefusedCall;
use hacher_trustlet_host::chosen::seccomp::call_name;
use hacher_trustlet_host::lines::About;
use hacher_trustlet_host::tell;
use std::collections::{BTreeMap, BTreeSet};

/// Most that are told of one function; it has at most sixteen different ones at a time, but can change what
/// it says (I6). Each has its own share, so that none keeps what others are refused out of the log.
const TOLD_MAX: usize = 64;

/// What a refused call is called in logs, metrics and status.
pub(super) fn name(call: &RefusedCall) -> String {
    match call.number {
        None => "others".to_owned(),
        Some(number) => call_name(number).map_or_else(|| format!("number {number}"), str::to_owned),
    }
}

/// What has been told, by chain and function.
#[derive(Debug, Default)]
pub(super) struct Told(BTreeMap<(u32, String), BTreeSet<Option<u64>>>);

impl Told {
    /// Tells of what has been refused since the last look.
    pub(super) fn look(&mut self, tables: &Tables) {
        for chain in &tables.chains {
            for instance in chain.functions() {
                for call in instance.refused_calls() {
                    self.tell(chain.number, &chain.name, instance, &call);
                }
            }
        }
    }

    /// Whether this is to be told, which it then counts as.
    fn is_new(&mut self, chain: u32, function: &str, call: Option<u64>) -> bool {
        let told = self.0.entry((chain, function.to_owned())).or_default();
        told.len() < TOLD_MAX && told.insert(call)
    }

    fn tell(&mut self, number: u32, chain: &str, instance: &Instance, call: &RefusedCall) {
        if self.is_new(number, &instance.function, call.number) {
            let about = About {
                chain,
                function: &instance.function,
                instance: Some(instance.ordinal),
                ..About::default()
            };
            tell!(
                Warning, about;
                "system call `{}` refused (EPERM); docs/functions.md lists the allowed calls",
                name(call)
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_that_makes_up_calls_uses_up_nobody_elses_share() {
        let mut told = Told::default();
        let noisy = (0..10_000).filter(|number| told.is_new(0, "noisy", Some(*number)));
        assert_eq!(noisy.count(), TOLD_MAX);
        assert!(told.is_new(0, "quiet", Some(1)));
        assert!(!told.is_new(0, "quiet", Some(1)));
        assert!(told.is_new(1, "noisy", Some(1)), "of another chain");
    }
}
