use super::*;
use hyper::{HeaderMap, StatusCode};

fn shown<T>(
    took: &[u64],
    traces: &[Value],
    joins: BTreeMap<String, String>,
    show: impl Fn(&Report<'_>) -> T,
) -> T {
    show(&Report {
        chain: "c",
        mapped: None,
        input: &Bytes::new(),
        reply: &Reply {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            body: Bytes::new(),
        },
        took,
        traces: &json!({ "traces": traces }),
        joins,
    })
}

#[test]
fn times_that_no_run_can_have_taken_are_shown_and_panic_nowhere() {
    let trace = |figure: u64| {
        json!({
            "function": "f", "from": "ingress", "outcome": "succeeded", "seen_ns": figure, "queued_ns": figure,
            "hand_over_ns": figure, "open_ns": figure, "run_ns": figure, "seal_ns": figure,
            "in_bytes": figure, "out_bytes": figure,
        })
    };
    for figures in [[u64::MAX, u64::MAX], [0, u64::MAX], [u64::MAX, 1]] {
        let text = shown(&[1], &figures.map(trace), BTreeMap::new(), |report| {
            report.human()
        });
        assert!(text.contains("in handlers"));
    }
}

#[test]
fn each_attempt_is_a_row_and_in_the_sums_with_what_became_of_it() {
    let trace = |attempt: u64, outcome: &str, run_ns: u64| {
        json!({
            "function": "f", "from": "ingress", "attempt": attempt, "outcome": outcome, "run_ns": run_ns,
        })
    };
    let [first, died] = [trace(1, "retried", 20), trace(2, "retried", 0)];
    let traces = [first, died, trace(3, "retried", 30), trace(4, "failed", 40)];
    for took in [&[1][..], &[1, 1]] {
        let text = shown(took, &traces, BTreeMap::new(), |report| report.human());
        let said = "in handlers 90 ns, sealing and opening 0 ns, waiting 0 ns, not counting attempts whose process died (1)";
        assert!(text.contains(said), "{text}");
        let rows = |words: &str| text.matches(words).count();
        assert_eq!((rows("f (retried)"), rows("f (failed)")), (3, 1), "{text}");
        let dead = text.lines().find(|row| row.trim_end().ends_with(" -")).unwrap();
        assert!(dead.contains("f (retried)") && !dead.contains("0 ns"), "{dead}");
    }
}

#[test]
fn the_sums_of_many_requests_are_medians_of_what_each_took() {
    let trace = |request: &str, attempt: u64, outcome: &str, run_ns: u64| {
        json!({
            "invocation": request, "function": "f", "from": "ingress", "attempt": attempt, "outcome": outcome,
            "run_ns": run_ns,
        })
    };
    let traces = [
        trace("a", 1, "retried", 20),
        trace("a", 2, "succeeded", 30),
        trace("b", 1, "succeeded", 40),
        trace("c", 1, "succeeded", 45),
    ];
    let text = shown(&[60, 50, 55], &traces, BTreeMap::new(), |report| report.human());
    assert!(text.contains("in handlers 45 ns"), "{text}");
}

#[test]
fn requests_whose_first_runs_are_not_told_any_more_are_in_no_sum() {
    let ids: Vec<String> = (0..3 * TRACES).map(|number| number.to_string()).collect();
    let trace = |at: usize, function: &str, ordinal: usize, run_ns: u64| {
        json!({
            "invocation": ids[at], "function": function, "ordinal": ordinal, "from": "ingress", "attempt": 1,
            "outcome": "succeeded", "seen_ns": 10 * at + usize::from(function == "b"), "run_ns": run_ns,
        })
    };
    // The last runs of one instance of `a`, and all of three of `b`.
    let of_a = (2 * TRACES..3 * TRACES).map(|at| trace(at, "a", 0, 50));
    let of_b = (0..3 * TRACES).map(|at| trace(at, "b", at % 3, 1));
    let traces: Vec<Value> = of_a.chain(of_b).collect();
    let took = vec![60; ids.len()];
    let text = shown(&took, &traces, BTreeMap::new(), |report| report.human());
    assert!(text.contains("in handlers 51 ns"), "{text}");
}

#[test]
fn a_join_is_one_line_whichever_of_its_records_came_last() {
    let chain = "chain = \"c\"\nversion = \"1\"\nflow = [\"ingress -> a & b -> j -> egress\"]\n\
                 [function.a]\nexec = \"a\"\n[function.b]\nexec = \"b\"\n[function.j]\nexec = \"j\"\n";
    let chain = hacher_chain_dsl::check(chain, "c").unwrap();
    let trace =
        |function, from| json!({ "function": function, "from": from, "outcome": "succeeded", "run_ns": 5 });
    let traces = [trace("a", "ingress"), trace("j", "a"), trace("j", "b")];
    let told = |report: &Report<'_>| {
        let lines = report.lines();
        let told = lines
            .iter()
            .map(|line| format!("{} of {}", line.function, line.from));
        told.collect::<Vec<_>>()
    };
    let told = shown(&[1, 1], &traces, joins(chain.chain()), told);
    assert_eq!(told, ["a of ingress", "j of a & b"]);
}
