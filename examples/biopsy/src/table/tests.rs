use super::*;
use crate::problem::MAX_LISTED;

const REAL: &str = include_str!("../../breast_cancer.csv");

/// 500 rows of an identifier and two measurements, the class being odd or even.
fn small(names: &str) -> String {
    let rows = (0..500).map(|row| format!("p-{row},{row}.5,{},{}\n", 2 * row, row % 2));
    format!("500,3,odd,even\n#{names}\n{}", rows.collect::<String>())
}

fn problems_of(csv: &str) -> Vec<(usize, Option<usize>, Kind)> {
    let problems = Table::parse(csv.as_bytes()).unwrap_err();
    let listed = problems.listed().iter();
    listed
        .map(|problem| (problem.line, problem.column, problem.kind))
        .collect()
}

/// The real table with line `line` (counted from 1) replaced.
fn with_line(line: usize, text: &str) -> String {
    let lines = (1..).zip(REAL.lines());
    lines
        .map(|(number, old)| if number == line { text } else { old })
        .flat_map(|line| [line, "\n"])
        .collect()
}

#[test]
fn the_real_table_is_read() {
    let table = Table::parse(REAL.as_bytes()).unwrap();
    assert_eq!(table.class_names(), &["malignant", "benign"]);
    assert_eq!((table.classes().len(), table.columns()), (569, 30));
    assert_eq!(table.values().len(), 569 * 30);
    assert_eq!(table.values()[..2], [17.99, 10.38]);
    assert_eq!(
        table
            .classes()
            .iter()
            .filter(|class| **class == Class::First)
            .count(),
        212
    );
}

#[test]
fn windows_line_ends_a_byte_order_mark_and_a_missing_last_newline_do_not_matter() {
    let table = Table::parse(REAL.as_bytes()).unwrap();
    let windows = format!("\u{feff}{}", REAL.replace('\n', "\r\n"));
    assert!(Table::parse(windows.as_bytes()).unwrap() == table);
    assert!(Table::parse(REAL.trim_end().as_bytes()).unwrap() == table);
}

#[test]
fn identifying_columns_may_hold_text_and_are_not_kept() {
    let table = Table::parse(small("patient id,radius,texture,diagnosis").as_bytes()).unwrap();
    assert_eq!((table.identifying_columns(), table.columns()), (1, 2));
    assert_eq!(table.values()[..4], [0.5, 0.0, 1.5, 2.0]);
}

#[test]
fn text_in_a_column_that_does_not_identify_is_a_problem() {
    let problems = problems_of(&small("sample,radius,texture,diagnosis"));
    assert_eq!(problems.len(), MAX_LISTED);
    assert_eq!(problems[0], (3, Some(1), Kind::NotANumber));
}

#[test]
fn every_broken_row_is_named_with_its_line() {
    let mut csv = with_line(3, "1,2,3");
    csv = csv.replacen("17.99,", "seventeen,", 1);
    csv = csv.replacen("19.69,", "1e99,", 1);
    csv = csv.replacen(",0\n11.42,", ",2\n11.42,", 1);
    assert_eq!(
        problems_of(&csv),
        [
            (2, Some(1), Kind::NotANumber),
            (3, None, Kind::WrongNumberOfFields),
            (4, Some(1), Kind::OutOfRange),
            (4, Some(31), Kind::UnknownClass),
        ]
    );
}

#[test]
fn a_report_lists_a_bounded_number_and_counts_all() {
    let csv = REAL.replace('.', "x");
    let problems = Table::parse(csv.as_bytes()).unwrap_err();
    assert_eq!(problems.listed().len(), MAX_LISTED);
    assert!(problems.total() > 10_000);
}

#[test]
fn a_report_quotes_no_value() {
    let csv = with_line(7, "Jane Doe,secret,1");
    let report = serde_json::to_string(&Table::parse(csv.as_bytes()).unwrap_err()).unwrap();
    assert!(report.contains("\"line\":7"));
    assert!(!report.contains("Jane") && !report.contains("secret"));
}

#[test]
fn a_wrong_first_line_is_the_only_problem() {
    for header in [
        "",
        "569",
        "569,30,malignant",
        "569,30,a,b,c",
        "-1,30,a,b",
        "0,30,a,b",
        "569,30,a,a",
        "569,30,,b",
    ] {
        assert_eq!(
            problems_of(&with_line(1, header)),
            [(1, None, Kind::HeaderMalformed)],
            "{header}"
        );
    }
    for header in [
        "100001,1,a,b",
        "1,257,a,b",
        "100000,200,a,b",
        "18446744073709551615,2,a,b",
    ] {
        assert_eq!(
            problems_of(&with_line(1, header)),
            [(1, None, Kind::TableTooLarge)],
            "{header}"
        );
    }
    let long = format!("569,30,{},b", "x".repeat(65));
    assert_eq!(
        problems_of(&with_line(1, &long)),
        [(1, None, Kind::HeaderMalformed)]
    );
}

#[test]
fn wrong_names_are_a_problem_of_their_line() {
    for names in [
        "id,radius",
        "id,radius,radius,diagnosis",
        "id,,texture,diagnosis",
        "id,a,b,c,d",
    ] {
        assert_eq!(
            problems_of(&small(names)),
            [(2, None, Kind::NamesMalformed)],
            "{names}"
        );
    }
    assert_eq!(
        problems_of(&small("id,name,phone,diagnosis")),
        [(2, None, Kind::NoMeasurements)]
    );
}

#[test]
fn the_number_of_rows_is_checked() {
    assert_eq!(
        problems_of(&REAL.replacen("569", "570", 1)),
        [(1, None, Kind::WrongNumberOfRows)]
    );
    assert_eq!(
        problems_of(&REAL.replacen("569", "568", 1)),
        [(570, None, Kind::WrongNumberOfRows)]
    );
    let few: String = REAL
        .replacen("569", "400", 1)
        .lines()
        .take(401)
        .flat_map(|line| [line, "\n"])
        .collect();
    assert_eq!(problems_of(&few), [(1, None, Kind::TooFewRows)]);
}

#[test]
fn training_rows_of_one_class_are_refused() {
    let one_class = REAL.replace(",0\n", ",1\n");
    assert_eq!(problems_of(&one_class), [(1, None, Kind::OneClassOnly)]);
}

#[test]
fn infinities_and_what_is_not_utf8_are_refused() {
    assert_eq!(parse_measurement("1.5e-3"), Ok(0.0015));
    for field in ["inf", "NaN", "-infinity", "", "0x1", "1 2", "--1", "e"] {
        assert_eq!(parse_measurement(field), Err(Kind::NotANumber), "{field}");
    }
    assert_eq!(parse_measurement("1e999"), Err(Kind::OutOfRange));
    let mut csv = REAL.as_bytes().to_vec();
    let second = csv.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    csv[second] = 0xff;
    let problems = Table::parse(&csv).unwrap_err();
    assert_eq!(
        (problems.listed()[0].line, problems.listed()[0].kind),
        (2, Kind::NotText)
    );
}

#[test]
fn nothing_at_all_is_refused() {
    assert_eq!(problems_of(""), [(1, None, Kind::HeaderMalformed)]);
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_the_parser_panic(junk in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
        proptest::prop_assert!(Table::parse(&junk).is_err());
    }

    #[test]
    fn no_damage_makes_the_parser_panic_or_lose_a_value(
        damage in proptest::collection::vec((0_usize..119_000, proptest::num::u8::ANY), 1..5),
    ) {
        let mut csv = REAL.as_bytes().to_vec();
        for (at, value) in damage {
            csv[at] = value;
        }
        match Table::parse(&csv) {
            Ok(table) => proptest::prop_assert_eq!(table.values().len(), table.columns() * table.classes().len()),
            Err(problems) => proptest::prop_assert!(problems.total() > 0),
        }
    }
}
