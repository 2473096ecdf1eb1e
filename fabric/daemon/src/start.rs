//! What is said while functions start: whom the service waits for, and why it gives up. Each message names
//! the function, what became of it, and what to do.

use hacher_libos_net::INITIALISATION_FAILED;
use hacher_trustlet_host::tell;
use std::time::Duration;
use tokio::time::Instant;

/// A start that takes longer than this shows whom it waits for, and from then on ever again after the second.
const SHOW_WAITING_AFTER: Duration = Duration::from_secs(2);
const SHOW_WAITING_EVERY: Duration = Duration::from_secs(10);
/// Most functions that one line about waiting names.
const NAMED_MAX: usize = 4;
/// What ends a function that is no function of a chain, most likely.
const SERVE_HINT: &str =
    "a function calls `hacher::serve` in its `main`, which returns when the service stops";
/// The exit code of a dynamic loader that cannot map or link a library.
const LOADER_FAILED: u32 = 127;

/// Shows that a start goes on.
#[derive(Debug)]
pub(super) struct Waiting {
    since: Instant,
    /// When it is shown next.
    due: Instant,
}

impl Waiting {
    /// A start that begins now.
    pub(super) fn new() -> Self {
        let since = Instant::now();
        Self {
            since,
            due: since + SHOW_WAITING_AFTER,
        }
    }

    /// When to call [`Waiting::show`] next.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// Says whom the service waits for, if it is time.
    pub(super) fn show(&mut self, starting: &[String], patience: Duration) {
        let now = Instant::now();
        if now < self.due {
            return;
        }
        self.due = now + SHOW_WAITING_EVERY;
        if !starting.is_empty() {
            let waited_s = now.duration_since(self.since).as_secs();
            tell!(Info: "{}", waiting_for(starting, waited_s, patience));
        }
    }
}

fn waiting_for(starting: &[String], waited_s: u64, patience: Duration) -> String {
    let mut names = starting
        .iter()
        .take(NAMED_MAX)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    let others = starting.len().saturating_sub(NAMED_MAX);
    if others > 0 {
        names.push_str(&format!(" and {others} more"));
    }
    let patience_s = patience.as_secs();
    format!(
        "waiting for {names} to serve: {waited_s} s so far, given up after {patience_s} s (`--start-timeout`)"
    )
}

/// A function as messages name it.
pub(super) fn in_words(chain: &str, function: &str) -> String {
    // Names as the supervisor has them: no function is called so.
    if chain.is_empty() {
        "the gateway".to_owned()
    } else if function == "gateway" {
        format!("the gateway of chain `{chain}`")
    } else {
        format!("function `{function}` of chain `{chain}`")
    }
}

/// Why the service gives up on a function that never served.
#[derive(Debug, Clone, Copy)]
pub(super) enum Stillborn<'a> {
    /// Its process ended, this often.
    Ended {
        /// How, in words: it `exited with code 1`.
        how: &'a str,
        /// Its exit code, if it had one.
        code: Option<u32>,
        /// How many times.
        times: u32,
    },
    /// It was ended after this long.
    Silent(Duration),
    /// Its process could not be made.
    Refused(&'a str),
}

impl Stillborn<'_> {
    /// The message. `logs_shown`: what it printed has been shown.
    pub(super) fn reason(&self, who: &str, logs_shown: bool) -> String {
        let printed = if logs_shown {
            "its output is above"
        } else {
            "`logs = \"forward\"` in its table shows what it prints"
        };
        match *self {
            Self::Ended { how, code, times } => {
                let hint = match code {
                    Some(0) => format!("{SERVE_HINT}; {printed}"),
                    Some(code) if code == u32::from(INITIALISATION_FAILED) => {
                        let told = if logs_shown {
                            "its error is above"
                        } else {
                            "`logs = \"forward\"` in its table shows its error"
                        };
                        format!("its initialisation failed, as that code says; {told}")
                    }
                    Some(LOADER_FAILED) => {
                        format!(
                            "{LOADER_FAILED} is how the dynamic loader says that it cannot load a library; {printed}"
                        )
                    }
                    _ => printed.to_owned(),
                };
                format!("{who} {how} before it served, {times} times: {hint}")
            }
            Self::Silent(patience) => format!(
                "{who} ran for {} s without serving and was ended: {SERVE_HINT}; if it takes longer to load, raise \
                 `--start-timeout`; {printed}",
                patience.as_secs()
            ),
            Self::Refused(text) => {
                let text = text.split_once(": ").map_or(text, |(before, rest)| {
                    // The monitor's words begin with whom it could not start.
                    if before.starts_with("cannot start ") {
                        rest
                    } else {
                        text
                    }
                });
                format!("cannot start {who}: {text}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_names_the_function_what_became_of_it_and_what_to_do() {
        let who = in_words("t", "a");
        let ended = Stillborn::Ended {
            how: "exited with code 0",
            code: Some(0),
            times: 3,
        };
        let reason = ended.reason(&who, false);
        for part in [
            "function `a` of chain `t`",
            "exited with code 0",
            "serve",
            "logs = \"forward\"",
        ] {
            assert!(reason.contains(part), "{reason}");
        }
        let failed = Stillborn::Ended {
            how: "exited with code 78",
            code: Some(u32::from(INITIALISATION_FAILED)),
            times: 3,
        };
        let reason = failed.reason(&who, true);
        assert!(
            reason.contains("initialisation failed") && reason.contains("above"),
            "{reason}"
        );
        let refused = Stillborn::Refused("cannot start t/a: executing its image failed: no");
        let expected = "cannot start function `a` of chain `t`: executing its image failed: no";
        assert_eq!(refused.reason(&who, false), expected);
    }

    #[test]
    fn a_line_about_waiting_is_bounded() {
        let many: Vec<String> = (0..256).map(|i| format!("t/f{i}#0")).collect();
        let line = waiting_for(&many, 2, Duration::from_secs(30));
        assert!(line.contains("t/f3#0 and 252 more"), "{line}");
    }
}
