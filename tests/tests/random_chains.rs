//! Chains drawn at random, served by the real tree, and every reply compared with what a pure model of the
//! chain says: nothing lost, nothing altered, nobody else's answer, and no failure but those that a function
//! was told to make.
//!
//! A fault prints the seed of its chain, and a smaller chain that shows it too where there is one. To replay
//! it: `HACHER_CHAINS_SEED=<seed> HACHER_CHAINS_COUNT=1 cargo test -p hacher-tests --test random_chains`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use fastrand::Rng;
use hacher_fabric::http::{Connection, HttpError, Reply};
use hacher_tests::generated::GeneratedChain;
use hacher_tests::generated::draw::draw;
use hacher_tests::generated::model::{Answer, End, Fault};
use hacher_tests::{Service, executable};
use hyper::Method;
use rustix::process::{Resource, getrlimit};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::task::{JoinSet, LocalSet};

/// Requests of one run, over all chains.
const REQUESTS: u64 = 5000;
/// Chains of one run.
const CHAINS: u64 = 32;
/// Chains that one service serves at once; they share its gateway.
const CHAINS_OF_A_SERVICE: usize = 4;
/// Open files that suffice for so many: the largest four that were generated need 1,070.
const OPEN_FILES: u64 = 4096;
/// Connections to each chain, each with one request at a time.
const CONNECTIONS: u64 = 4;
/// Of 1,000 inputs of a function, how many have attempts that fail.
const TROUBLED_PERMILLE: u64 = 25;
/// Longer than the deadline of a generated chain: a reply that is not here by then was lost.
const PATIENCE: Duration = Duration::from_secs(150);

/// What a run is made of; each can be set by an environment variable.
struct Plan {
    /// Of the first chain; each further one has the next.
    seed: u64,
    chains: u64,
    /// Of each chain.
    requests: u64,
    /// Functions of each chain, about; drawn from its seed if not set.
    size: Option<usize>,
}

impl Plan {
    fn from_environment() -> Self {
        let number = |name: &str| {
            let text = std::env::var(name).ok()?;
            Some(
                text.parse::<u64>()
                    .unwrap_or_else(|_| panic!("{name}={text} is no number")),
            )
        };
        let seed = match std::env::var("HACHER_CHAINS_SEED") {
            Ok(word) if word == "random" => Rng::new().u64(..1 << 40),
            _ => number("HACHER_CHAINS_SEED").unwrap_or(1),
        };
        let chains = number("HACHER_CHAINS_COUNT").unwrap_or(CHAINS).max(1);
        Self {
            seed,
            chains,
            requests: number("HACHER_CHAINS_REQUESTS")
                .unwrap_or(REQUESTS)
                .div_ceil(chains),
            size: number("HACHER_CHAINS_SIZE").map(|size| usize::try_from(size).unwrap()),
        }
    }

    fn chain(&self, number: u64) -> Rc<Subject> {
        let seed = self.seed + number;
        let size = self.size.unwrap_or_else(|| Rng::with_seed(!seed).usize(1..=12));
        Rc::new(Subject {
            seed,
            size,
            chain: draw(&format!("c{number}"), seed, size, TROUBLED_PERMILLE),
        })
    }
}

/// A chain under test, and what it was drawn from.
struct Subject {
    seed: u64,
    size: usize,
    chain: GeneratedChain,
}

/// A reply that the model does not allow.
struct Unexpected {
    seed: u64,
    size: usize,
    text: String,
    what: String,
}

#[test]
fn every_reply_of_random_chains_is_one_that_the_model_allows() {
    let plan = Plan::from_environment();
    let mut totals = Totals::default();
    let numbers: Vec<u64> = (0..plan.chains).collect();
    for numbers in numbers.chunks(chains_of_a_service()) {
        let subjects: Vec<Rc<Subject>> = numbers.iter().map(|number| plan.chain(*number)).collect();
        match serve_and_compare(&subjects, plan.requests) {
            Ok(more) => totals.add(more),
            Err(unexpected) => panic!("{}", report(&unexpected)),
        }
    }
    println!(
        "{} replies of {} chains: {} bodies, {} failures, all as the model says",
        totals.bodies + totals.faults,
        plan.chains,
        totals.bodies,
        totals.faults
    );
    // A run in which nothing ever failed would not have tried much.
    assert!(plan.requests * plan.chains < REQUESTS || totals.faults > 0);
}

fn chains_of_a_service() -> usize {
    let limit = getrlimit(Resource::Nofile).maximum;
    if limit.is_none_or(|limit| limit >= OPEN_FILES) {
        return CHAINS_OF_A_SERVICE;
    }
    println!("one chain at a time: no more than {limit:?} open files are allowed here");
    1
}

#[derive(Clone, Copy, Default)]
struct Totals {
    bodies: u64,
    faults: u64,
}

impl Totals {
    fn add(&mut self, more: Self) {
        self.bodies += more.bodies;
        self.faults += more.faults;
    }
}

/// Says what is wrong, with the smallest chain of the same seed that also goes wrong.
fn report(unexpected: &Unexpected) -> String {
    let mut smallest = None;
    for size in 1..unexpected.size {
        let plan = Plan {
            seed: unexpected.seed,
            chains: 1,
            requests: 200,
            size: Some(size),
        };
        if let Err(found) = serve_and_compare(&[plan.chain(0)], plan.requests) {
            smallest = Some(found);
            break;
        }
    }
    let mut report = format!(
        "{}\nreplay: HACHER_CHAINS_SEED={} HACHER_CHAINS_COUNT=1 HACHER_CHAINS_SIZE={}\n{}",
        unexpected.what, unexpected.seed, unexpected.size, unexpected.text
    );
    if let Some(smaller) = smallest {
        let _ = write!(
            report,
            "\na smaller chain that goes wrong, HACHER_CHAINS_SIZE={}: {}\n{}",
            smaller.size, smaller.what, smaller.text
        );
    }
    report
}

fn serve_and_compare(subjects: &[Rc<Subject>], requests: u64) -> Result<Totals, Unexpected> {
    let exec = executable("test-function");
    let folder = TempDir::new().unwrap();
    let texts: Vec<String> = subjects.iter().map(|subject| subject.chain.text(&exec)).collect();
    let files: Vec<PathBuf> = (0..)
        .map(|at: u32| folder.path().join(format!("{at}.toml")))
        .take(texts.len())
        .collect();
    for (file, text) in files.iter().zip(&texts) {
        std::fs::write(file, text).unwrap();
    }
    let mut more: Vec<&str> = files.iter().skip(1).map(|file| file.to_str().unwrap()).collect();
    // Some sixty processes start at once, on a machine that may be busy.
    more.extend(["--start-timeout", "120"]);
    let unexpected = |at: usize, what: String| Unexpected {
        seed: subjects[at].seed,
        size: subjects[at].size,
        text: texts[at].clone(),
        what,
    };
    let service = Service::start_with(&texts[0], &more)
        .map_err(|error| unexpected(0, format!("{error}: this chain, or one after it")))?;
    let gateway = service.gateway;
    let runtime = hacher_tests::runtime();
    let totals = LocalSet::new().block_on(&runtime, async {
        let mut workers = JoinSet::new();
        for (at, subject) in subjects.iter().enumerate() {
            for connection in 0..CONNECTIONS {
                let subject = Rc::clone(subject);
                let numbers = (connection..requests).step_by(usize::try_from(CONNECTIONS).unwrap());
                workers.spawn_local(async move {
                    let compared = compare(&subject, gateway, numbers).await;
                    compared.map_err(|what| (at, what))
                });
            }
        }
        let mut totals = Totals::default();
        while let Some(done) = workers.join_next().await {
            totals.add(done.unwrap().map_err(|(at, what)| unexpected(at, what))?);
        }
        Ok(totals)
    })?;
    assert_eq!(service.stop().unwrap(), Some(0));
    Ok(totals)
}

/// Sends requests one after another over one connection.
async fn compare(
    subject: &Subject,
    gateway: SocketAddr,
    numbers: impl Iterator<Item = u64>,
) -> Result<Totals, String> {
    let path = format!("/chains/{}", subject.chain.name);
    let mut connection = Connection::open(gateway)
        .await
        .map_err(|error| error.to_string())?;
    let mut totals = Totals::default();
    for number in numbers {
        let body = body(subject.seed, number);
        let allowed = subject.chain.answers(&body);
        let sent = connection.send(Method::POST, &path, None, body.clone().into());
        let reply = tokio::time::timeout(PATIENCE, sent).await;
        let what = |found: &str| format!("request {number} of {} bytes: {found}", body.len());
        let reply = reply.map_err(|_| what("no reply"))?;
        let answer = answer(reply).map_err(|found| what(&found))?;
        if !allowed.contains(&answer) {
            return Err(what(&difference(&answer, &allowed)));
        }
        match answer {
            Answer::Body(_) => totals.bodies += 1,
            Answer::Fault(_) => totals.faults += 1,
        }
    }
    Ok(totals)
}

/// The body of a request: mostly small, some around the size of a segment, a few large.
fn body(seed: u64, number: u64) -> Vec<u8> {
    let mut random = Rng::with_seed(seed.rotate_left(32) ^ number);
    let len = match random.u8(..32) {
        0..16 => random.usize(..200),
        16..26 => random.usize(..5000),
        26..30 => random.usize(65_400..65_600),
        30 => random.usize(..300_000),
        _ => random.usize(..1_200_000),
    };
    let mut body: Vec<u8> = std::iter::repeat_with(|| random.u64(..).to_le_bytes())
        .take(len / 8 + 1)
        .flatten()
        .collect();
    body.truncate(len);
    body
}

/// What a reply says, in the model's words.
fn answer(reply: Result<Reply, HttpError>) -> Result<Answer, String> {
    let reply = reply.map_err(|error| error.to_string())?;
    match reply.status.as_u16() {
        200 => Ok(Answer::Body(reply.body.to_vec())),
        502 => {
            let problem = reply.json();
            let cause = problem["cause"].as_str().unwrap_or("");
            let end = match cause {
                "failed" => End::Failed,
                "panicked" => End::Panicked,
                // The process ended, by a signal or an exit code: what it is called is said elsewhere.
                "timed_out" | "input_refused" | "output_too_large" | "no_output" | "backlogged" | "" => {
                    return Err(format!("a failure that nothing was told to make: {problem}"));
                }
                _ => End::Died,
            };
            Ok(Answer::Fault(Fault {
                function: problem["function"].as_str().unwrap_or("").to_owned(),
                attempts: u32::try_from(problem["attempts"].as_u64().unwrap_or(0)).unwrap(),
                end,
            }))
        }
        status => Err(format!(
            "status {status}: {}",
            String::from_utf8_lossy(&reply.body)
        )),
    }
}

fn difference(answer: &Answer, allowed: &BTreeSet<Answer>) -> String {
    let show = |answer: &Answer| match answer {
        Answer::Body(body) => {
            let start: String = body.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
            format!("{} bytes ({start}...)", body.len())
        }
        Answer::Fault(fault) => format!("{fault:?}"),
    };
    let allowed: Vec<String> = allowed.iter().map(show).collect();
    format!(
        "answered with {}, allowed is {}",
        show(answer),
        allowed.join(" or ")
    )
}
