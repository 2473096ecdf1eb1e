//! Traces as a collector gets them.

mod collector;

use super::requests::{Answer, ask};
use collector::{Collector, Told};
use hacher_libos_net::span_id::SpanId;
use hacher_libos_net::trace_parent::TraceParent;
use hacher_tests::{Service, function, functions};
use std::collections::BTreeMap;
use std::io::Read;
use std::process::Stdio;

const HEAD: &str = "chain = \"t\"\nversion = \"1\"\n";
const TRACE: u128 = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c;
const CLIENT: u64 = 0xb7ad_6b71_6920_3331;

fn traceparent(sampled: bool) -> String {
    let parent = TraceParent {
        trace: TRACE,
        parent: SpanId::of_bits(CLIENT),
        flags: TraceParent::flags_of(sampled),
    };
    parent.to_text()
}

fn serve(chain: &str, collector: &Collector, more: &[&str]) -> Service {
    let url = collector.url();
    let arguments = [&["--otlp", url.as_str()], more].concat();
    Service::start_with(chain, &arguments).unwrap()
}

/// `ingress -> a -> b -> c -> egress`, of which `b` fails once and `c` does as the input says.
fn three() -> String {
    let flow = "flow = [\"ingress -> a -> b -> c -> egress\"]\n[ingress]\nheaders = [\"authorization\"]\n";
    let retry = "retry = { attempts = 3, backoff = \"1ms\" }";
    let tables =
        function("a", "pass", "") + &function("b", "fail-once", retry) + &function("c", "poisonable", "");
    format!("{HEAD}{flow}{tables}")
}

/// The trace that an answer belongs to.
fn trace_of(answer: &Answer) -> TraceParent {
    TraceParent::parse(answer.header("traceparent").unwrap()).unwrap()
}

fn by_name(spans: &[Told]) -> BTreeMap<(&str, i64), &Told> {
    let named = spans.iter().map(|span| {
        (
            (span.0.name.as_str(), span.number("hacher.attempt").unwrap_or(0)),
            span,
        )
    });
    named.collect()
}

/// Each span's parent by its name and attempt; the client's is `client`.
fn tree(spans: &[Told]) -> BTreeMap<String, String> {
    let name = |span: &Told| match span.number("hacher.attempt") {
        Some(attempt) => format!("{} #{attempt}", span.0.name),
        None => span.0.name.clone(),
    };
    let parent = |span: &Told| {
        if span.0.parent_span_id == CLIENT.to_be_bytes() {
            return "client".to_owned();
        }
        let parent = spans
            .iter()
            .find(|other| other.0.span_id == span.0.parent_span_id);
        parent.map_or_else(|| "nobody".to_owned(), name)
    };
    let tree: BTreeMap<_, _> = spans.iter().map(|span| (name(span), parent(span))).collect();
    assert_eq!(tree.len(), spans.len(), "each once: {spans:#?}");
    tree
}

fn expected<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> BTreeMap<String, String> {
    let owned = |(name, parent): (&str, &str)| (name.to_owned(), parent.to_owned());
    pairs.into_iter().map(owned).collect()
}

#[test]
fn the_spans_of_a_request_are_one_tree_under_the_clients_with_sizes_and_outcomes_and_nothing_of_what_it_carries()
 {
    let collector = Collector::start();
    let service = serve(&three(), &collector, &[]);
    // `c` rejects it.
    let body = "reject confidential";
    let lines = format!(
        "traceparent: {}\r\ntracestate: confidential=1\r\nbaggage: confidential=1\r\nauthorization: confidential\r\n",
        traceparent(true)
    );
    let answer = ask(
        service.gateway,
        "POST",
        "/chains/t/confidential?confidential",
        &lines,
        body,
    );
    assert_eq!(answer.status, 502, "{}", answer.content);
    let spans = collector.spans_when(8);
    let root = "POST /chains/t";
    assert_eq!(
        tree(&spans),
        expected([
            (root, "client"),
            ("ingress -> a", root),
            ("a #1", "ingress -> a"),
            ("a -> b", "a #1"),
            ("b #1", "a -> b"),
            ("b #2", "a -> b"),
            ("b -> c", "b #2"),
            ("c #1", "b -> c"),
        ])
    );
    let named = by_name(&spans);
    let span = |name: &str, attempt| named[&(name, attempt)];
    for told in &spans {
        assert_eq!(told.0.trace_id, TRACE.to_be_bytes());
        assert!(
            told.0.start_time_unix_nano <= told.0.end_time_unix_nano,
            "{told:?}"
        );
        assert!(told.0.start_time_unix_nano >= span(root, 0).0.start_time_unix_nano);
        assert_eq!(told.text("hacher.chain"), Some("t"));
    }
    let sent = span(root, 0);
    assert_eq!(sent.number("http.response.status_code"), Some(502));
    assert_eq!(sent.text("http.request.method"), Some("POST"));
    assert_eq!(sent.text("error.type"), Some("failed"));
    assert_eq!(sent.text("hacher.invocation"), answer.header("hacher-invocation"));
    let len = |text: &str| i64::try_from(text.len()).unwrap();
    assert_eq!(sent.number("http.request.body.size"), Some(len(body)));
    assert_eq!(sent.number("http.response.body.size"), Some(len(&answer.content)));
    let longer = len(body) + len(" after 2 attempts");
    let runs = [
        ("a", 1, "succeeded", len(body), len(body)),
        ("b", 1, "retried", len(body), 0),
        ("b", 2, "succeeded", len(body), longer),
        ("c", 1, "failed", longer, 0),
    ];
    for (name, attempt, outcome, in_bytes, out_bytes) in runs {
        let run = span(name, attempt);
        assert_eq!(run.text("hacher.outcome"), Some(outcome), "{run:?}");
        assert_eq!(run.is_error(), outcome != "succeeded");
        assert_eq!(run.number("hacher.in_bytes"), Some(in_bytes), "{name} {attempt}");
        assert_eq!(
            run.number("hacher.out_bytes"),
            Some(out_bytes),
            "{name} {attempt}"
        );
        assert_eq!(run.text("hacher.function"), Some(name));
    }
    for (name, bytes) in [
        ("ingress -> a", len(body)),
        ("a -> b", len(body)),
        ("b -> c", longer),
    ] {
        assert_eq!(span(name, 0).number("hacher.bytes"), Some(bytes), "{name}");
    }
    assert!(sent.is_error() && !span("a -> b", 0).is_error());
    assert!(!collector.text().contains("confidential"), "{}", collector.text());
    let head = &collector.heads()[0];
    assert!(head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("application/x-protobuf"), "{head}");
    let resource = collector.requests()[0].resource_spans[0]
        .resource
        .clone()
        .unwrap();
    assert_eq!(resource.attributes[0].key, "service.name");
}

#[test]
fn a_join_has_a_hop_for_each_part_and_follows_the_first() {
    let collector = Collector::start();
    let flow = "flow = [\"ingress -> s -> left & right -> j -> egress\"]\n";
    let chain = format!(
        "{HEAD}{flow}{}{}",
        functions(["s", "left", "right"], "pass", ""),
        function("j", "concatenate", "")
    );
    let service = serve(&chain, &collector, &[]);
    let lines = format!("traceparent: {}\r\n", traceparent(true));
    let answer = ask(service.gateway, "POST", "/chains/t", &lines, "x");
    assert_eq!((answer.status, answer.content.as_str()), (200, "xx"));
    let spans = collector.spans_when(11);
    let root = "POST /chains/t";
    assert_eq!(
        tree(&spans),
        expected([
            (root, "client"),
            ("ingress -> s", root),
            ("s #1", "ingress -> s"),
            ("s -> left", "s #1"),
            ("s -> right", "s #1"),
            ("left #1", "s -> left"),
            ("right #1", "s -> right"),
            ("left -> j", "left #1"),
            ("right -> j", "right #1"),
            ("j #1", "left -> j"),
            ("j -> egress", "j #1"),
        ])
    );
    // What the client gets names the run that answered.
    let named = by_name(&spans);
    let of_join = &named[&("j", 1)].0.span_id;
    assert_eq!(
        trace_of(&answer).parent.as_u64().to_be_bytes().as_slice(),
        of_join
    );
    assert_eq!(trace_of(&answer).trace, TRACE);
}

#[test]
fn who_begins_no_trace_is_traced_by_the_ratio_and_who_has_decided_is_believed() {
    let collector = Collector::start();
    let service = serve(&three(), &collector, &["--trace-ratio", "0"]);
    let sent = |lines: &str| trace_of(&ask(service.gateway, "POST", "/chains/t", lines, "x"));
    let begun = [sent(""), sent("")];
    assert!(begun.iter().all(|trace| !trace.is_sampled()));
    assert_ne!(begun[0].trace, begun[1].trace);
    let asked_not_to = sent(&format!("traceparent: {}\r\n", traceparent(false)));
    assert_eq!((asked_not_to.trace, asked_not_to.is_sampled()), (TRACE, false));
    // Spans leave in the order of their requests, so these would be the first.
    let asked_to = sent(&format!("traceparent: {}\r\n", traceparent(true)));
    assert!(asked_to.is_sampled());
    let spans = collector.spans_when(9);
    assert_eq!(spans.len(), 9);
    assert!(spans.iter().all(|span| span.0.trace_id == TRACE.to_be_bytes()));

    let all = serve(&three(), &collector, &[]);
    let begun = trace_of(&ask(all.gateway, "POST", "/chains/t", "", "x"));
    assert!(begun.is_sampled());
    let spans = collector.spans_when(18);
    let of_begun: Vec<_> = spans
        .into_iter()
        .filter(|span| span.0.trace_id == begun.trace.to_be_bytes())
        .collect();
    assert_eq!(of_begun.len(), 9);
    let root = by_name(&of_begun)[&("POST /chains/t", 0)];
    assert!(root.0.parent_span_id.is_empty(), "it is nobody's child");
}

/// The value of a counter.
fn counter(service: &Service, sample: &str) -> Option<u64> {
    let metrics = service.operator("/metrics").unwrap();
    let text = String::from_utf8_lossy(&metrics.body).into_owned();
    let mut lines = text.lines();
    lines.find_map(|line| line.strip_prefix(sample)?.trim().parse().ok())
}

#[test]
fn a_collector_that_is_not_there_is_said_once_holds_nobody_up_and_gets_all_when_it_comes() {
    let address = Collector::free_address();
    let (mut told, pipe) = std::io::pipe().unwrap();
    let url = format!("http://{address}");
    let service = Service::start_telling(&three(), &["--otlp", &url], Stdio::from(pipe)).unwrap();
    for _ in 0..3 {
        assert_eq!(ask(service.gateway, "POST", "/chains/t", "", "x").status, 200);
    }
    let collector = Collector::at(address);
    collector.answer_with(&[503, 429]);
    collector.spans_when(3 * 9);
    assert_eq!(collector.answers_left(), 0);
    service
        .status_when("all are counted", |_| {
            counter(&service, "hacher_trace_spans_exported_total") == Some(27)
        })
        .unwrap();
    let dropped = "hacher_trace_spans_dropped_total{reason=\"refused\"}";
    assert_eq!(counter(&service, dropped), Some(0));
    // What it does not want is not sent again.
    collector.answer_with(&[400]);
    assert_eq!(ask(service.gateway, "POST", "/chains/t", "", "x").status, 200);
    service
        .status_when("they are counted", |_| counter(&service, dropped) > Some(0))
        .unwrap();
    assert_eq!(service.stop().unwrap(), Some(0));
    let mut text = String::new();
    told.read_to_string(&mut text).unwrap();
    let said: Vec<_> = text
        .lines()
        .filter(|line| line.contains("collector of traces"))
        .collect();
    let [missing, there, refused, ..] = said.as_slice() else {
        panic!("three lines, not {text}")
    };
    assert!(
        missing.contains("does not accept spans") && missing.contains(&url),
        "{missing}"
    );
    assert!(there.contains("accepts spans again"), "{there}");
    assert!(refused.contains("refused spans with 400"), "{refused}");
}

#[test]
fn a_service_that_stops_sends_what_it_has() {
    let collector = Collector::start();
    let service = serve(&three(), &collector, &[]);
    assert_eq!(ask(service.gateway, "POST", "/chains/t", "", "x").status, 200);
    assert_eq!(service.stop().unwrap(), Some(0));
    assert_eq!(collector.spans().len(), 9);
}
