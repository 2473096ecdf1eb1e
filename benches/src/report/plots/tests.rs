//! Plots of a made-up report.

use super::*;
use crate::report::fixture;

/// Checks that every tag closes, that attributes are quoted and that no bare `<` or `&` is left in text.
fn assert_well_formed(svg: &str) {
    let mut open = Vec::new();
    let mut rest = svg;
    while let Some(start) = rest.find('<') {
        let (text, tag) = rest.split_at(start);
        for entity in text.split('&').skip(1) {
            assert!(entity.contains(';'), "a bare & in {text}");
        }
        let end = tag.find('>').expect("a tag without an end");
        let inner = &tag[1..end];
        assert!(!inner.contains('<'), "{inner}");
        assert!(inner.matches('"').count().is_multiple_of(2), "{inner}");
        if let Some(name) = inner.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "{inner}");
        } else if !inner.ends_with('/') && !inner.starts_with(['?', '!']) {
            open.push(inner.split_whitespace().next().unwrap());
        }
        rest = &tag[end + 1..];
    }
    assert_eq!(open, Vec::<&str>::new());
}

#[test]
fn every_plot_is_well_formed_and_names_its_series_units_and_conditions() {
    let report = fixture::report();
    let folder = tempfile::tempdir().unwrap();
    let figures = figures(&report);
    assert_eq!(write(&report, folder.path()).unwrap(), figures.len());
    for (name, figure) in &figures {
        let svg = fs::read_to_string(folder.path().join(format!("{name}.svg"))).unwrap();
        assert_well_formed(&svg);
        for series in &figure.series {
            assert!(svg.contains(&series.label), "{} in {name}", series.label);
        }
        for word in [
            &figure.title,
            figure.x.label,
            figure.y.label,
            "Made-up Processor 9000",
            "µs",
        ] {
            assert!(svg.contains(word), "{word} in {name}");
        }
    }
    let names: Vec<&str> = figures.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "latency-payload",
            "latency-chain-64B",
            "latency-chain-4096B",
            "latency-chain-16384B",
            "latency-chain-65536B",
            "percentiles-hop",
            "percentiles-load",
            "load"
        ]
    );
}

#[test]
fn the_plot_against_payload_draws_the_fabric_the_others_and_the_floors() {
    let figure = against_payload(&fixture::report());
    let labels: Vec<&str> = figure.series.iter().map(|series| series.label.as_str()).collect();
    for label in [
        "fabric sealed, packed",
        "fabric mapped, spread",
        "https, packed",
        "floor: wake + seal + open",
        "floor: memcpy",
    ] {
        assert!(labels.contains(&label), "{label} in {labels:?}");
    }
    let floor = figure
        .series
        .iter()
        .find(|series| series.label == "floor: wake + seal + open");
    // 1500 to wake, 97 to seal, 117 to open 64 bytes.
    assert_eq!(floor.unwrap().points[0], (64.0, 1714.0));
}

#[test]
fn series_look_different_without_their_colours() {
    for (name, figure) in figures(&fixture::report()) {
        for (nth, one) in figure.series.iter().enumerate() {
            for other in &figure.series[nth + 1..] {
                let look = |series: &Series| (series.style.marker, series.style.dash);
                assert_ne!(
                    look(one),
                    look(other),
                    "{} and {} in {name}",
                    one.label,
                    other.label
                );
            }
        }
    }
}

#[test]
fn what_was_not_measured_is_not_drawn() {
    let empty = Report::new(fixture::conditions(), Vec::new(), Vec::new());
    assert_eq!(figures(&empty).len(), 0);
    // A floor of which a part is missing is no floor.
    let mut report = fixture::report();
    report.rows.retain(|row| row.transport != "aead-open");
    let labels: Vec<String> = floors(&report).into_iter().map(|series| series.label).collect();
    assert_eq!(labels, ["floor: seal alone", "floor: memcpy"]);
}

#[test]
fn a_single_row_still_makes_a_plot() {
    let row = fixture::hop("fabric", "sealed", "packed", 64, 1000);
    let report = Report::new(fixture::conditions(), vec![row], Vec::new());
    for (_, figure) in figures(&report) {
        assert_well_formed(&figure.svg().unwrap());
    }
}
