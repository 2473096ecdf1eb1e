//! `run`: serves one chain, puts one input through it, shows where the time went, and stops.

use super::explain::sources;
use super::operator::{is_timed, list, number, text};
use super::{Failed, answer, complain, print, read_chain};
use crate::cli::{Format, ReplyArgs, RequireIsolation, RunArgs};
use crate::table::{Align, Table, bytes as size, duration};
use crate::tree::Tree;
use bytes::Bytes;
use hacher_chain_dsl::{Chain, Target};
use hacher_client::caller::Question;
use hacher_client::http::{Connection, Reply};
use hacher_libos_net::layout::TRACES;
use hacher_loader::protection::in_words;
use hacher_trustlet_host::lines::visible;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// The longest bar, in characters.
const BAR_WIDTH: usize = 40;
/// Work that takes longer than this shows that it goes on.
const SHOW_PROGRESS_AFTER: Duration = Duration::from_secs(1);

/// Runs the chain once.
///
/// # Errors
/// When the chain does not start, or does not answer with success.
pub fn run(arguments: &RunArgs) -> Result<(), Failed> {
    let format = arguments.format.format;
    let file = read_chain(&arguments.chain, format)?;
    let chain = file.chain().name().to_owned();
    let question = answer::question(&arguments.request)?;
    let tree = start(arguments)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (reply, took, traces) = runtime.block_on(send(arguments, &tree, &chain, &question))?;
    tree.stop()?;
    answer::show(&reply, &arguments.reply, format)?;
    let report = Report {
        chain: &chain,
        mapped: in_words(file.chain()),
        input: &question.body,
        reply: &reply,
        took: &took,
        traces: &traces,
        joins: joins(file.chain()),
    };
    match format {
        Format::Json => answer::report(&report.data(&arguments.reply), &arguments.reply)?,
        Format::Human if arguments.reply.output.is_some() => print(&report.human())?,
        // Standard output carries the reply's body.
        Format::Human => complain(&visible(&report.human()))?,
    }
    match answer::is_success(&reply) {
        // The report says so.
        true => Ok(()),
        false => answer::verdict(&reply, format),
    }
}

/// How often traces are asked for at most, and how long to wait in between: much longer than settling takes.
const TRACES_ASKED_MAX: u32 = 10;
const TRACES_ASKED_EVERY: Duration = Duration::from_millis(5);

async fn send(
    arguments: &RunArgs,
    tree: &Tree,
    chain: &str,
    question: &Question,
) -> Result<(Reply, Vec<u64>, Value), Failed> {
    let target = question.target(chain);
    let mut gateway = Connection::open(tree.gateway).await?;
    let mut took = Vec::new();
    let progress = progress(u64::from(arguments.repeat), &format!("running `{chain}`"));
    let mut last = None;
    for _ in 0..arguments.repeat {
        let start = Instant::now();
        let request = gateway.ask(&target, question);
        let mut request = core::pin::pin!(request);
        let reply = loop {
            match tokio::time::timeout(SHOW_PROGRESS_AFTER, &mut request).await {
                Ok(reply) => break reply?,
                Err(_) => progress.tick(),
            }
        };
        took.push(u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX));
        progress.inc(1);
        let failed = !answer::is_success(&reply);
        last = Some(reply);
        if failed {
            break;
        }
    }
    progress.finish_and_clear();
    let reply = last.ok_or_else(|| Failed::new("nothing was sent"))?;
    let invocation = reply.header("hacher-invocation").unwrap_or_default().to_owned();
    let mut admin = Connection::open(tree.admin).await?;
    let path = if arguments.repeat == 1 {
        format!("/traces?invocation={invocation}")
    } else {
        "/traces".to_owned()
    };
    let traces = settled(&mut admin, &path).await?;
    Ok((reply, took, traces))
}

/// Traces, once they have stopped to grow: a function notes its run after it has handed over, so the answer
/// can be here before the last of them.
async fn settled(admin: &mut Connection, path: &str) -> Result<Value, Failed> {
    let mut traces = admin.get(path).await?.json();
    for _ in 0..TRACES_ASKED_MAX {
        tokio::time::sleep(TRACES_ASKED_EVERY).await;
        let later = admin.get(path).await?.json();
        if later == traces {
            break;
        }
        traces = later;
    }
    Ok(traces)
}

fn progress(steps: u64, what: &str) -> ProgressBar {
    let bar = ProgressBar::new(steps);
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {pos}/{len} {elapsed}") {
        bar.set_style(style);
    }
    bar.set_message(what.to_owned());
    bar
}

fn start(arguments: &RunArgs) -> Result<Tree, Failed> {
    let mut serve = vec![arguments.chain.clone().into_os_string()];
    if arguments.build {
        serve.push("--build".into());
    }
    if arguments.isolation.require_isolation == RequireIsolation::Full {
        serve.extend(["--require-isolation".into(), "full".into()]);
    }
    if arguments.format.format == Format::Json {
        serve.extend(["--format".into(), "json".into()]);
    }
    if let Some(folder) = &arguments.secrets.files_dir {
        serve.extend(["--files-dir".into(), folder.clone().into_os_string()]);
    }
    if let Some(folder) = &arguments.secrets.secrets_dir {
        serve.extend(["--secrets-dir".into(), folder.clone().into_os_string()]);
    }
    if let Some(url) = &arguments.broker.kbs {
        serve.extend(["--kbs".into(), url.to_string().into()]);
    }
    if let Some(file) = &arguments.broker.kbs_ca {
        serve.extend(["--kbs-ca".into(), file.clone().into_os_string()]);
    }
    serve.extend([
        "--start-timeout".into(),
        arguments.start.start_timeout.to_string().into(),
    ]);
    Tree::start(&std::env::current_exe()?, serve, Stdio::inherit())
}

struct Report<'a> {
    chain: &'a str,
    /// The edges that are not sealed, in words.
    mapped: Option<String>,
    input: &'a Bytes,
    reply: &'a Reply,
    took: &'a [u64],
    traces: &'a Value,
    /// The functions that wait for several records, with what they take from.
    joins: BTreeMap<String, String>,
}

/// The functions of which each run has several records, with where these come from. What has other ways in,
/// too, is left to its traces.
fn joins(chain: &Chain) -> BTreeMap<String, String> {
    let functions = chain.functions_with_ids().filter_map(|(id, function)| {
        let mut groups = chain.groups_into(Target::Function(id)).map(|(_, group)| group);
        let group = groups.next().filter(|group| group.is_join())?;
        let is_only = groups.next().is_none();
        is_only.then(|| (function.name().to_owned(), sources(chain, group).join(" & ")))
    });
    functions.collect()
}

/// One line of the table: a run of a function, or the median of many.
struct Line<'a> {
    function: &'a str,
    from: &'a str,
    outcome: &'a str,
    /// Whether it is known where their time went.
    is_timed: bool,
    at_ns: u64,
    queued_ns: u64,
    hand_over_ns: u64,
    open_ns: u64,
    run_ns: u64,
    seal_ns: u64,
    in_bytes: u64,
    out_bytes: u64,
}

/// Where the time of a request went, over all its runs.
struct Sums {
    in_handlers_ns: u64,
    /// Sealing and opening.
    sealing_ns: u64,
    /// In queues, and from one function to the next.
    waiting_ns: u64,
    /// Runs that are in none of these, as their process died.
    untimed_runs: usize,
}

impl Sums {
    /// Of one request; or the medians of many, of those that all runs are known of.
    fn of<'t>(traces: impl Iterator<Item = &'t Value>) -> Self {
        let mut requests: BTreeMap<&str, (u64, [u64; 3])> = BTreeMap::new();
        let mut instances: BTreeMap<_, (usize, u64)> = BTreeMap::new();
        let mut untimed_runs = 0;
        for trace in traces {
            untimed_runs += usize::from(!is_timed(trace));
            let seen_ns = number(trace, "seen_ns");
            let instance = (text(trace, "function"), number(trace, "ordinal"));
            let (known, since_ns) = instances.entry(instance).or_insert((0, u64::MAX));
            (*known, *since_ns) = (*known + 1, seen_ns.min(*since_ns));
            let parts: [&[_]; 3] = [
                &["run_ns"],
                &["open_ns", "seal_ns"],
                &["queued_ns", "hand_over_ns"],
            ];
            let (began_ns, sums) = requests
                .entry(text(trace, "invocation"))
                .or_insert((u64::MAX, [0; 3]));
            *began_ns = seen_ns.min(*began_ns);
            for (sum, keys) in sums.iter_mut().zip(parts) {
                // A function may say anything of its times.
                *sum = keys
                    .iter()
                    .fold(*sum, |sum, key| sum.saturating_add(number(trace, key)));
            }
        }
        // An instance has told its last runs only.
        let is_full = |(known, _): &&(usize, u64)| *known >= TRACES;
        let known_since_ns = instances
            .values()
            .filter(is_full)
            .map(|(_, since_ns)| *since_ns)
            .max();
        requests.retain(|_, (began_ns, _)| Some(*began_ns) >= known_since_ns);
        let requests: Vec<[u64; 3]> = requests.into_values().map(|(_, sums)| sums).collect();
        Self {
            in_handlers_ns: median(requests.iter().map(|[in_handlers, ..]| *in_handlers).collect()),
            sealing_ns: median(requests.iter().map(|[_, sealing, _]| *sealing).collect()),
            waiting_ns: median(requests.iter().map(|[.., waiting]| *waiting).collect()),
            untimed_runs,
        }
    }
}

fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or(0)
}

impl Report<'_> {
    /// A line for each run; of several requests, one for those runs that are alike.
    fn lines(&self) -> Vec<Line<'_>> {
        let mut alike: Vec<(_, Vec<&Value>)> = Vec::new();
        for trace in list(self.traces, "traces") {
            let function = text(trace, "function");
            // A trace names the record that came last.
            let from = self
                .joins
                .get(function)
                .map_or(text(trace, "from"), String::as_str);
            let (attempt, outcome) = (number(trace, "attempt"), text(trace, "outcome"));
            let key = (function, from, attempt, outcome, is_timed(trace));
            match alike.iter_mut().find(|(of, _)| self.took.len() > 1 && *of == key) {
                Some((_, runs)) => runs.push(trace),
                None => alike.push((key, vec![trace])),
            }
        }
        let seen_ns = |trace: &Value| number(trace, "seen_ns");
        let start = list(self.traces, "traces").map(seen_ns).min().unwrap_or(0);
        let lines = alike
            .iter()
            .map(|((function, from, _, outcome, is_timed), runs)| {
                let mid = |key: &str| median(runs.iter().map(|trace| number(trace, key)).collect());
                let seen = runs.iter().map(|trace| seen_ns(trace)).min().unwrap_or(0);
                Line {
                    function,
                    from,
                    outcome,
                    is_timed: *is_timed,
                    at_ns: seen.saturating_sub(start),
                    queued_ns: mid("queued_ns"),
                    hand_over_ns: mid("hand_over_ns"),
                    open_ns: mid("open_ns"),
                    run_ns: mid("run_ns"),
                    seal_ns: mid("seal_ns"),
                    in_bytes: mid("in_bytes"),
                    out_bytes: mid("out_bytes"),
                }
            });
        let mut lines: Vec<Line<'_>> = lines.collect();
        lines.sort_by_key(|line| line.at_ns);
        lines
    }

    fn data(&self, arguments: &ReplyArgs) -> Value {
        let mut said = answer::data(self.reply, arguments);
        let sums = Sums::of(list(self.traces, "traces"));
        said.extend([
            ("chain".to_owned(), json!(self.chain)),
            ("input_bytes".to_owned(), json!(self.input.len())),
            ("output_bytes".to_owned(), json!(self.reply.body.len())),
            ("request_ns".to_owned(), json!(self.took)),
            ("median_ns".to_owned(), json!(median(self.took.to_vec()))),
            ("in_handlers_ns".to_owned(), json!(sums.in_handlers_ns)),
            ("sealing_ns".to_owned(), json!(sums.sealing_ns)),
            ("waiting_ns".to_owned(), json!(sums.waiting_ns)),
            ("untimed_runs".to_owned(), json!(sums.untimed_runs)),
            ("traces".to_owned(), json!(self.traces.get("traces"))),
        ]);
        said.into()
    }

    fn human(&self) -> String {
        let lines = self.lines();
        let mut table = Table::new(&[
            ("function", Align::Left),
            ("from", Align::Left),
            ("in", Align::Right),
            ("queued", Align::Right),
            ("hand-over", Align::Right),
            ("open", Align::Right),
            ("run", Align::Right),
            ("seal", Align::Right),
            ("out", Align::Right),
        ]);
        for line in &lines {
            let known = |cell: String| if line.is_timed { cell } else { "-".to_owned() };
            let name = match line.outcome {
                "succeeded" => line.function.to_owned(),
                outcome => format!("{} ({outcome})", line.function),
            };
            table.row([
                name,
                line.from.to_owned(),
                known(size(line.in_bytes)),
                known(duration(line.queued_ns)),
                known(duration(line.hand_over_ns)),
                known(duration(line.open_ns)),
                known(duration(line.run_ns)),
                known(duration(line.seal_ns)),
                known(size(line.out_bytes)),
            ]);
        }
        let mut text = format!(
            "\nchain `{}`: {}, {} in, {} out{}\n\n{}\n",
            self.chain,
            answer::status(self.reply),
            size(self.input.len() as u64),
            size(self.reply.body.len() as u64),
            if self.took.len() > 1 {
                format!(", medians of {} requests", self.took.len())
            } else {
                String::new()
            },
            table.render(),
        );
        if self.took.len() == 1 {
            text.push_str(&bars(&lines));
        }
        let Sums {
            in_handlers_ns,
            sealing_ns,
            waiting_ns,
            untimed_runs,
        } = Sums::of(list(self.traces, "traces"));
        let untimed = match untimed_runs {
            0 => String::new(),
            runs => format!(", not counting attempts whose process died ({runs})"),
        };
        let _ = writeln!(
            text,
            "  request {} end to end; in handlers {}, sealing and opening {}, waiting {}{untimed}\n  \
             {}; process isolation, no SNP: the operating system itself is trusted",
            duration(median(self.took.to_vec())),
            duration(in_handlers_ns),
            duration(sealing_ns),
            duration(waiting_ns),
            match &self.mapped {
                None => "every hop sealed with AES-256-GCM".to_owned(),
                Some(mapped) => format!("hops sealed with AES-256-GCM, but for mapped ones: {mapped}"),
            },
        );
        text
    }
}

/// A bar for each run: when it was, and for how long.
fn bars(lines: &[Line<'_>]) -> String {
    let end = |line: &Line<'_>| {
        let parts = [line.open_ns, line.run_ns, line.seal_ns];
        parts.into_iter().fold(line.at_ns, u64::saturating_add)
    };
    let total = lines.iter().map(end).max().unwrap_or(0).max(1);
    let scale =
        |ns: u64| usize::try_from(u128::from(ns) * BAR_WIDTH as u128 / u128::from(total)).unwrap_or(0);
    let width = lines
        .iter()
        .map(|line| line.function.chars().count())
        .max()
        .unwrap_or(0);
    let mut text = String::new();
    for line in lines {
        let from = scale(line.at_ns).min(BAR_WIDTH - 1);
        let length = scale(end(line)).saturating_sub(from).max(1);
        let _ = writeln!(
            text,
            "  {:<width$}  {}{}{}  {}",
            line.function,
            " ".repeat(from),
            "█".repeat(length),
            " ".repeat((BAR_WIDTH - from).saturating_sub(length)),
            if line.is_timed {
                duration(end(line) - line.at_ns)
            } else {
                "-".to_owned()
            },
        );
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests;
