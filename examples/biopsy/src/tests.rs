//! The chain by hand: each handler through the harness, the records carried over by the test.

use super::*;
use hacher::harness::{Call, Reply};
use serde_json::{Value, json};

const REAL: &[u8] = include_bytes!("../breast_cancer.csv");

fn call_validate(csv: &[u8]) -> Reply {
    Call::new().body(csv).ports(&["out", "reject"]).run(validate)
}

fn body(reply: &Reply) -> &[u8] {
    reply.port("out").expect("the handler writes to `out`").body()
}

fn chain_by_hand(csv: &[u8]) -> Value {
    let validated = call_validate(csv);
    let prepared = Call::new().input("validate", body(&validated)).run(prepare);
    let centroid = Call::new()
        .input("prepare", body(&prepared))
        .run(classify::<centroid::Centroids>);
    let logistic = Call::new()
        .input("prepare", body(&prepared))
        .run(classify::<logistic::Logistic>);
    let reported = Call::new()
        .input("centroid", body(&centroid))
        .input("logistic", body(&logistic))
        .run(report);
    let record = reported.port("out").expect("`report` writes to `out`");
    assert_eq!(record.content_type(), Some("application/json"));
    serde_json::from_slice(record.body()).unwrap()
}

#[test]
fn both_classifiers_are_right_nine_times_out_of_ten_on_the_real_table() {
    let report = chain_by_hand(REAL);
    assert_eq!(report["classes"], json!(["malignant", "benign"]));
    assert_eq!(
        (&report["training_rows"], &report["test_rows"]),
        (&json!(400), &json!(169))
    );
    let classifiers = report["classifiers"].as_array().unwrap();
    assert_eq!(classifiers.len(), 2);
    assert_eq!(classifiers[0]["name"], "nearest centroid");
    assert_eq!(classifiers[1]["name"], "logistic regression");
    for classifier in classifiers {
        assert!(classifier["accuracy"].as_f64().unwrap() > 0.9, "{classifier}");
        let matrix: [[u32; 2]; 2] = serde_json::from_value(classifier["confusion"].clone()).unwrap();
        assert_eq!(matrix.as_flattened().iter().sum::<u32>(), 169);
    }
}

#[test]
fn identifying_columns_change_nothing_but_their_count() {
    let mut with_names = String::new();
    for (at, line) in core::str::from_utf8(REAL).unwrap().lines().enumerate() {
        if at == 0 {
            let columns: String = (0..30).map(|column| format!("m{column},")).collect();
            with_names = format!("569,32,malignant,benign\n# name,{columns}patient id,diagnosis\n");
        } else {
            let (measurements, class) = line.rsplit_once(',').unwrap();
            with_names += &format!("Jane Doe {at},{measurements},{},{class}\n", 1000 + at);
        }
    }
    let mut report = chain_by_hand(with_names.as_bytes());
    assert_eq!(report["identifying_columns_dropped"], 2);
    report["identifying_columns_dropped"] = json!(0);
    assert_eq!(report, chain_by_hand(REAL));

    let prepared = Call::new().input("validate", with_names.as_bytes()).run(prepare);
    assert!(!body(&prepared).windows(4).any(|bytes| bytes == b"Jane"));
}

#[test]
fn a_broken_table_leaves_by_the_port_reject_with_its_line_numbers() {
    let csv = core::str::from_utf8(REAL)
        .unwrap()
        .replacen("20.57,", "twenty,", 1);
    let reply = call_validate(csv.as_bytes());
    assert!(reply.port("out").is_none());
    let record = reply.port("reject").unwrap();
    assert_eq!(record.content_type(), Some("application/problem+json"));
    let report: Value = serde_json::from_slice(record.body()).unwrap();
    assert_eq!(
        report,
        json!({
            "type": "urn:problem-type:biopsy:broken-table",
            "title": "the table is broken",
            "problems_total": 1,
            "problems": [{"line": 3, "column": 1, "kind": "not_a_number", "expected": "a decimal number"}],
        })
    );
}

#[test]
fn records_of_something_else_fail_for_good() {
    let replies = [
        Call::new().body(b"no table").run(prepare),
        Call::new()
            .body(b"no dataset")
            .run(classify::<logistic::Logistic>),
        Call::new().input("centroid", b"{}").run(report),
        Call::new().input("centroid", b"[1, 2").run(report),
    ];
    for reply in replies {
        assert!(!reply.result().unwrap_err().is_transient());
    }
}
