//! A real Prometheus watches a service with the files of `examples/operations/`: it answers what an operator
//! asks. Where there is no Prometheus (Debian's package `prometheus`), this says so and tries nothing.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use hacher_skipped::skipped;
use hacher_tests::tenants::{get, until};
use hacher_tests::{Scrape, Service, function};
use serde_json::Value;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);

fn tree() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn operations() -> PathBuf {
    tree().join("examples/operations")
}

/// Whether a program is there; says so if not.
fn has(program: &str) -> bool {
    let mut version = Command::new(program);
    version
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let found = version.status().is_ok();
    if !found {
        skipped!("there is no {program} in the path");
    }
    found
}

/// A Prometheus, which ends with the test.
struct Prometheus {
    process: Child,
    address: SocketAddr,
    _folder: TempDir,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Prometheus {
    /// Watches the operators' port `target`, with the configuration of the examples.
    fn watch(target: SocketAddr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = std::fs::read_to_string(operations().join("prometheus.yml")).unwrap();
        assert!(config.contains("127.0.0.1:9464") && config.contains("scrape_interval: 15s"));
        let config = config.replace("127.0.0.1:9464", &target.to_string());
        // A test does not wait for a quarter of a minute.
        let config = config
            .replace("interval: 15s", "interval: 1s")
            .replace("timeout: 5s", "timeout: 1s");
        let path = folder.path().join("prometheus.yml");
        std::fs::write(&path, config).unwrap();
        std::fs::copy(operations().join("alerts.yml"), folder.path().join("alerts.yml")).unwrap();
        let mut process = Command::new("prometheus")
            .arg(format!("--config.file={}", path.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.path().join("data").display()
            ))
            .arg("--web.listen-address=127.0.0.1:0")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap())
            .lines()
            .map_while(Result::ok);
        // It says where it listens once it knows.
        let address = lines.by_ref().find_map(|line| {
            let address = line.split_once("msg=\"Listening on\" address=")?.1;
            address.trim().parse::<SocketAddr>().ok()
        });
        std::thread::spawn(move || lines.for_each(drop));
        let prometheus = Self {
            process,
            address: address.unwrap(),
            _folder: folder,
        };
        assert!(until(
            || get(prometheus.address, "/-/ready").is_ok_and(|reply| reply.status == 200)
        ));
        prometheus
    }

    fn api(&self, path: &str) -> Value {
        get(self.address, &format!("/api/v1/{path}")).unwrap().json()
    }

    /// What an instant query answers: labels and value of each series.
    fn query(&self, query: &str) -> Result<Vec<(Value, f64)>, String> {
        let mut encoded = String::new();
        for byte in query.bytes() {
            write!(encoded, "%{byte:02x}").unwrap();
        }
        let answer = self.api(&format!("query?query={encoded}"));
        if answer["status"] != "success" {
            return Err(format!("{query}: {answer}"));
        }
        let series = answer["data"]["result"].as_array().unwrap();
        let series = series.iter().map(|series| {
            let value = series["value"][1].as_str().unwrap().parse().unwrap();
            (series["metric"].clone(), value)
        });
        Ok(series.collect())
    }

    /// Waits until a query has a series with these labels whose value is as `wanted`.
    fn expect(&self, query: &str, labels: &[(&str, &str)], wanted: impl Fn(f64) -> bool) {
        let mut last = Vec::new();
        let seen = until(|| {
            last = self.query(query).unwrap();
            let fits = |(metric, value): &(Value, f64)| {
                labels.iter().all(|(key, label)| metric[*key] == *label) && wanted(*value)
            };
            last.iter().any(fits)
        });
        assert!(seen, "{query} with {labels:?}: {last:?}");
    }
}

fn send(gateway: SocketAddr, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(gateway).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = "POST /chains/t HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length";
    stream
        .write_all(format!("{head}: {}\r\n\r\n{body}", body.len()).as_bytes())
        .unwrap();
    stream
}

fn post(gateway: SocketAddr, body: &str) -> String {
    let mut reply = String::new();
    send(gateway, body).read_to_string(&mut reply).unwrap();
    reply
}

/// One function that ends as its input says, and one request at a time.
fn service() -> Service {
    let function = function("a", "end", "timeout = \"50s\"\nretry = { attempts = 1 }");
    let ingress = "[ingress]\nin_flight = 1\ndeadline = \"50s\"";
    let chain =
        format!("chain = \"t\"\nversion = \"1\"\nflow = [\"ingress -> a -> egress\"]\n{ingress}\n{function}");
    Service::start(&chain).unwrap()
}

#[test]
fn a_prometheus_answers_what_an_operator_asks() {
    if !has("prometheus") {
        return;
    }
    let service = service();
    let prometheus = Prometheus::watch(service.admin);
    // From here on it has seen every series as 0.
    prometheus.expect("hacher_requests_total", &[("outcome", "5xx")], |count| {
        count == 0.0
    });
    assert!(post(service.gateway, "x").starts_with("HTTP/1.1 200"));
    assert!(post(service.gateway, "abort").starts_with("HTTP/1.1 502"));
    let sleeps = send(service.gateway, "sleep");
    Scrape::when(&service, "one request is in flight", |scrape| {
        scrape.sum("hacher_requests_in_flight", &[]) == Some(1.0)
    })
    .unwrap();
    assert!(post(service.gateway, "x").starts_with("HTTP/1.1 429"));

    let t = ("chain", "t");
    // Saturation.
    prometheus.expect(
        "hacher_requests_in_flight / hacher_requests_in_flight_limit",
        &[t],
        |of_all| of_all == 1.0,
    );
    let busy = "hacher_instances_busy / ignoring (state) hacher_instances{state=\"ready\"}";
    prometheus.expect(busy, &[t, ("function", "a")], |of_all| of_all == 1.0);
    let memory = "hacher_gateway_buffer_bytes / hacher_gateway_buffer_limit_bytes";
    prometheus.expect(memory, &[], |of_all| of_all > 0.0 && of_all < 0.1);
    // Queue length.
    prometheus.expect("hacher_queue_segments", &[t, ("function", "a")], |segments| {
        segments == 1.0
    });
    prometheus.expect(
        "hacher_queue_segments / hacher_queue_limit_segments",
        &[t],
        |of_all| of_all > 0.0,
    );
    // Error rate of a chain.
    let errors = "sum by (chain) (rate(hacher_requests_total{outcome=\"5xx\"}[5m])) \
                  / sum by (chain) (rate(hacher_requests_total[5m]))";
    prometheus.expect(errors, &[t], |of_all| of_all > 0.2 && of_all < 0.5);
    // Latency at the gateway.
    let latency =
        "histogram_quantile(0.99, sum by (chain, le) (rate(hacher_request_duration_seconds_bucket[5m])))";
    prometheus.expect(latency, &[t], |seconds| seconds > 0.0 && seconds < 60.0);
    // Restarts by cause.
    let restarts = "sum by (chain, function, cause) (increase(hacher_trustlet_deaths_total[5m])) > 0";
    prometheus.expect(
        restarts,
        &[t, ("function", "a"), ("cause", "signalled")],
        |deaths| deaths >= 1.0,
    );
    // Refusals by reason.
    let refusals = "sum by (chain, reason) (rate(hacher_requests_refused_total[5m])) > 0";
    prometheus.expect(refusals, &[t, ("reason", "in_flight")], |rate| rate > 0.0);
    let kinds = prometheus.query(refusals).unwrap();
    assert_eq!(kinds.len(), 1, "{kinds:?}");
    // It is told apart from others by labels that none of ours hides.
    prometheus.expect(
        "hacher_instances",
        &[("instance", &service.admin.to_string())],
        |_| true,
    );
    examples_are_answered(&prometheus);
    drop(sleeps);
}

/// Every query of the handbook and of the board, and every rule, is one that this Prometheus can answer.
fn examples_are_answered(prometheus: &Prometheus) {
    let handbook = std::fs::read_to_string(tree().join("docs/operations.md")).unwrap();
    let rows = handbook.lines().filter(|line| line.starts_with("| `hacher_"));
    let examples = rows.filter_map(|row| {
        let cell = row.trim_end_matches(['|', ' ']).rsplit(" | ").next()?;
        cell.strip_prefix('`')?.strip_suffix('`')
    });
    let examples: Vec<&str> = examples.collect();
    assert!(examples.len() > 30);
    for query in examples {
        prometheus.query(query).unwrap();
    }
    let board = std::fs::read_to_string(operations().join("grafana.json")).unwrap();
    let board: Value = serde_json::from_str(&board).unwrap();
    let panels = board["panels"].as_array().unwrap();
    let targets = panels
        .iter()
        .filter_map(|panel| panel["targets"].as_array())
        .flatten();
    let queries: Vec<String> = targets
        .map(|target| {
            let query = target["expr"].as_str().unwrap();
            query.replace("$chain", ".*").replace("$__rate_interval", "1m")
        })
        .collect();
    assert!(queries.len() > 20);
    let answered = queries
        .iter()
        .filter(|query| !prometheus.query(query).unwrap().is_empty());
    // Without TLS and without a gateway's alarm some are empty.
    assert!(answered.count() > 15);
    let mut rules = Value::Null;
    let evaluated = until(|| {
        rules = prometheus.api("rules")["data"]["groups"].clone();
        let groups = rules.as_array().into_iter().flatten();
        let mut rules = groups.flat_map(|group| group["rules"].as_array().into_iter().flatten());
        rules.clone().count() > 15 && rules.all(|rule| rule["health"] == "ok")
    });
    assert!(evaluated, "{rules:#}");
}

/// Runs promtool on something; what it has to say.
fn promtool(arguments: &[&str], input: &str) -> (bool, String) {
    let mut tool = Command::new("promtool")
        .args(arguments)
        .current_dir(operations())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    tool.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = tool.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

#[test]
fn the_rules_are_well_formed_and_fire_when_they_should() {
    if !has("promtool") {
        return;
    }
    for arguments in [
        ["check", "rules", "alerts.yml"],
        ["check", "config", "prometheus.yml"],
        ["test", "rules", "alerts_test.yml"],
    ] {
        let (passed, said) = promtool(&arguments, "");
        assert!(passed, "{arguments:?}: {said}");
    }
    // Each alert is tried.
    let read = |name: &str| std::fs::read_to_string(operations().join(name)).unwrap();
    let (rules, tests) = (read("alerts.yml"), read("alerts_test.yml"));
    for alert in rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
    {
        assert!(
            tests.contains(&format!("alertname: {alert}\n")),
            "{alert} is not tried"
        );
    }
}

#[test]
fn promtool_finds_nothing_wrong_with_names_kinds_and_help() {
    if !has("promtool") {
        return;
    }
    let service = service();
    assert!(post(service.gateway, "x").starts_with("HTTP/1.1 200"));
    for query in ["", "?per=instance"] {
        let scrape = Scrape::of(&service, query).unwrap();
        let (passed, said) = promtool(&["check", "metrics"], &scrape.text);
        assert!(passed && said.is_empty(), "{said}");
    }
}
