//! The conditions of a run: without them a figure means nothing.

use crate::subject::Cores;
use hacher_libos_net::aead;
use hacher_loader::placement::usable_cpus;
use hacher_trustlet_host::chosen::BACKEND;
use hacher_trustlet_host::chosen::layers::Layers;
use serde::{Deserialize, Serialize};
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

/// What a build or a machine does not tell.
const UNKNOWN: &str = "unknown";

/// Where, when, and of what build a report is. What could not be found out is absent, or `unknown`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Conditions {
    /// When the run began, in UTC (RFC 3339).
    pub date: String,
    /// Version of Hacher.
    pub version: String,
    /// Its commit, with `+dirty` if the sources had changes.
    pub commit: String,
    /// The compiler.
    pub rustc: String,
    /// Whether it was built with optimisations. Figures of a build without say nothing.
    pub optimised: bool,
    /// The profile of the build; unknown in reports that did not say.
    #[serde(default)]
    pub profile: Option<String>,
    /// `quick` or `full`.
    pub mode: String,
    /// What the random order of the cells was drawn with.
    pub seed: u64,
    /// The processor's name.
    pub cpu: String,
    /// Cores that are online.
    pub cores_online: u32,
    /// Cores that this process may use.
    pub cores_usable: u32,
    /// The cores measured on: home, and away if there are two.
    pub cores_measured: Vec<u32>,
    /// Whether cores share execution units.
    pub smt: Option<bool>,
    /// Whether a hypervisor runs below. Waking a core then costs much more.
    pub hypervisor: bool,
    /// Frequency governor of the home core.
    pub governor: Option<String>,
    /// The kernel's clock source; anything but `tsc` makes every reading of the clock slow.
    pub clock_source: Option<String>,
    /// The kernel.
    pub kernel: String,
    /// The cipher of sealed rows.
    pub cipher: String,
    /// The library that computes it.
    pub aead: String,
    /// The isolation backend.
    pub isolation_backend: String,
    /// The layers of isolation that this machine could not enforce.
    pub isolation_missing: Vec<String>,
    /// Load averages over 1, 5 and 15 minutes before the run.
    pub load_before: Option<[f64; 3]>,
    /// The same after it; the run itself is in there.
    pub load_after: Option<[f64; 3]>,
}

impl Conditions {
    /// The conditions at the start of a run. Takes some milliseconds.
    #[must_use]
    pub fn at_start(mode: &str, seed: u64, cores: Cores) -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let home = format!(
            "/sys/devices/system/cpu/cpu{}/cpufreq/scaling_governor",
            cores.home
        );
        Self {
            date: rfc3339(SystemTime::now()),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            commit: env!("HACHER_COMMIT").to_owned(),
            rustc: env!("HACHER_RUSTC").to_owned(),
            optimised: !cfg!(debug_assertions),
            profile: Some(env!("HACHER_PROFILE").to_owned()).filter(|profile| profile != UNKNOWN),
            mode: mode.to_owned(),
            seed,
            cpu: cpu_field(&cpuinfo, "model name").unwrap_or_else(|| UNKNOWN.to_owned()),
            cores_online: count(cpuinfo.lines().filter(|line| line.starts_with("processor"))),
            cores_usable: count(usable_cpus().into_iter()),
            cores_measured: [Some(cores.home), cores.away].into_iter().flatten().collect(),
            smt: line("/sys/devices/system/cpu/smt/active").map(|active| active == "1"),
            hypervisor: cpu_field(&cpuinfo, "flags")
                .is_some_and(|flags| flags.split(' ').any(|flag| flag == "hypervisor")),
            governor: line(&home),
            clock_source: line("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
            kernel: line("/proc/sys/kernel/osrelease").unwrap_or_else(|| UNKNOWN.to_owned()),
            cipher: "AES-256-GCM".to_owned(),
            aead: aead::IMPLEMENTATION.to_owned(),
            isolation_backend: BACKEND.to_owned(),
            isolation_missing: Layers::probe()
                .missing()
                .iter()
                .map(|missing| missing.layer.to_string())
                .collect(),
            load_before: load_average(),
            load_after: None,
        }
    }

    /// Adds what is known only after the run.
    #[must_use]
    pub fn at_end(mut self) -> Self {
        self.load_after = load_average();
        self
    }

    /// One line with what matters most, for the foot of a plot.
    #[must_use]
    pub fn line(&self) -> String {
        let below = if self.hypervisor { ", virtual machine" } else { "" };
        let profile = self.profile.as_ref().map(|profile| format!(", {profile}"));
        let build = if self.optimised { "" } else { ", not optimised" };
        format!(
            "{}, {} cores{below}; Linux {}; {} ({}); hacher {} {}{}{build}; {} mode, {}",
            self.cpu,
            self.cores_usable,
            self.kernel,
            self.cipher,
            self.aead,
            self.version,
            self.commit,
            profile.unwrap_or_default(),
            self.mode,
            self.date
        )
    }

    /// The conditions as names and values, in the order of reports.
    #[must_use]
    pub fn entries(&self) -> Vec<(&'static str, String)> {
        let maybe = |value: &Option<String>| value.clone().unwrap_or_else(|| UNKNOWN.to_owned());
        let yes = |value: Option<bool>| value.map_or(UNKNOWN, |value| if value { "yes" } else { "no" });
        let list = |items: &[String], none: &str| match items {
            [] => none.to_owned(),
            some => some.join(", "),
        };
        let measured: Vec<String> = self.cores_measured.iter().map(u32::to_string).collect();
        vec![
            ("date", self.date.clone()),
            ("hacher", format!("{}, commit {}", self.version, self.commit)),
            (
                "build",
                format!(
                    "{}, profile {}{}",
                    self.rustc,
                    self.profile.as_deref().unwrap_or(UNKNOWN),
                    if self.optimised { "" } else { ", NOT OPTIMISED" }
                ),
            ),
            ("mode", format!("{}, seed {}", self.mode, self.seed)),
            ("cpu", self.cpu.clone()),
            (
                "cores",
                format!(
                    "{} online, {} usable, measured on {}",
                    self.cores_online,
                    self.cores_usable,
                    list(&measured, UNKNOWN)
                ),
            ),
            ("SMT", yes(self.smt).to_owned()),
            ("hypervisor", yes(Some(self.hypervisor)).to_owned()),
            ("governor", maybe(&self.governor)),
            ("clock source", maybe(&self.clock_source)),
            ("kernel", self.kernel.clone()),
            ("cipher", format!("{}, {}", self.cipher, self.aead)),
            (
                "isolation",
                format!(
                    "{} backend, missing: {}",
                    self.isolation_backend,
                    list(&self.isolation_missing, "nothing")
                ),
            ),
            (
                "load average",
                format!(
                    "{} before, {} after",
                    show(self.load_before),
                    show(self.load_after)
                ),
            ),
        ]
    }
}

fn show(load: Option<[f64; 3]>) -> String {
    load.map_or_else(
        || UNKNOWN.to_owned(),
        |[one, five, fifteen]| format!("{one:.2} {five:.2} {fifteen:.2}"),
    )
}

fn line(path: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    Some(text.trim().to_owned())
}

fn cpu_field(cpuinfo: &str, name: &str) -> Option<String> {
    cpuinfo.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim().to_owned())
    })
}

fn count<T>(items: impl Iterator<Item = T>) -> u32 {
    u32::try_from(items.count()).unwrap_or(u32::MAX)
}

fn load_average() -> Option<[f64; 3]> {
    let text = line("/proc/loadavg")?;
    let mut numbers = text.split(' ').map_while(|word| word.parse().ok());
    Some([numbers.next()?, numbers.next()?, numbers.next()?])
}

/// A time in UTC, to the second.
fn rfc3339(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (mut days, rest) = (seconds / 86_400, seconds % 86_400);
    let is_leap =
        |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970;
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let february = 28 + u64::from(is_leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    format!(
        "{year:04}-{month:02}-{:02}T{:02}:{:02}:{:02}Z",
        days + 1,
        rest / 3600,
        rest % 3600 / 60,
        rest % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn dates_are_right_across_leap_years() {
        let at = |seconds| rfc3339(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "1970-01-01T00:00:00Z");
        assert_eq!(at(951_782_399), "2000-02-28T23:59:59Z");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(at(1_735_689_599), "2024-12-31T23:59:59Z");
        assert_eq!(at(1_735_689_600), "2025-01-01T00:00:00Z");
        assert_eq!(at(4_107_542_400), "2100-03-01T00:00:00Z");
    }

    #[test]
    fn this_machine_tells_its_conditions() {
        let cores = Cores { home: 0, away: None };
        let conditions = Conditions::at_start("quick", 7, cores).at_end();
        assert!(conditions.cores_usable >= 1);
        assert_eq!(conditions.cores_measured, [0]);
        assert_eq!(conditions.isolation_backend, BACKEND);
        assert!(conditions.load_before.is_some() && conditions.load_after.is_some());
        assert!(!conditions.kernel.is_empty() && !conditions.commit.is_empty());
        let profile = conditions.profile.clone().unwrap();
        assert_eq!(profile == "dev", !conditions.optimised, "{profile}");
        assert!(conditions.line().contains(&profile));
        assert!(
            conditions
                .entries()
                .iter()
                .any(|(name, value)| *name == "build" && value.contains(&profile))
        );
    }

    #[test]
    fn a_report_from_before_profiles_were_told_is_read() {
        let cores = Cores { home: 0, away: None };
        let mut value = serde_json::to_value(Conditions::at_start("quick", 7, cores)).unwrap();
        value.as_object_mut().unwrap().remove("profile").unwrap();
        let read: Conditions = serde_json::from_value(value).unwrap();
        assert_eq!(read.profile, None);
        assert!(
            read.entries()
                .iter()
                .any(|(_, value)| value.contains("profile unknown"))
        );
    }

    #[test]
    fn a_field_of_cpuinfo_is_found_by_its_whole_name() {
        let text = "model\t\t: 2\nmodel name\t: A Processor\nflags\t\t: fpu hypervisor\n";
        assert_eq!(cpu_field(text, "model name").as_deref(), Some("A Processor"));
        assert_eq!(cpu_field(text, "name"), None);
    }
}
