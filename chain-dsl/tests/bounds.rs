//! Every bound of the language: what lies on it checks, what lies past it is a diagnostic.
#![allow(clippy::unwrap_used, reason = "test code")]

use std::fmt::Write as _;

use hacher_chain_dsl::{
    Code, Diagnostics, MAX_ARGS, MAX_DIAGNOSTICS, MAX_EDGES, MAX_ENV_ENTRIES, MAX_FILES, MAX_FUNCTIONS,
    MAX_JOIN_WIDTH, MAX_PLACE_BYTES, MAX_PLACE_DEPTH, MAX_PORTS, MAX_TEXT_BYTES, check, check_bytes,
};

fn chain(flow: &[String], rest: &str) -> String {
    let mut text = "chain = \"demo\"\nflow = [\n".to_owned();
    for line in flow {
        _ = writeln!(text, "  \"{line}\",");
    }
    format!("{text}]\n{rest}")
}

fn functions(count: usize) -> String {
    (0..count).fold(String::new(), |text, index| {
        format!("{text}[function.f{index}]\nexec = \"x\"\n")
    })
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|index| format!("f{index}")).collect()
}

fn codes(problems: &Diagnostics) -> Vec<Code> {
    problems.iter().map(|found| found.code()).collect()
}

fn refused(text: &str) -> Vec<Code> {
    codes(&check(text, "f").unwrap_err())
}

#[test]
fn a_file_of_1_mib_is_read_and_one_byte_more_is_not() {
    let small = chain(&["ingress -> f0 -> egress".to_owned()], &functions(1));
    let comment = |len: usize| format!("{small}#{}", "x".repeat(len - small.len() - 1));
    assert!(check(&comment(MAX_TEXT_BYTES), "f").is_ok());
    assert_eq!(refused(&comment(MAX_TEXT_BYTES + 1)), [Code::FileTooLarge]);
}

#[test]
fn there_may_be_256_functions_and_not_257() {
    let line = |count: usize| vec![format!("ingress -> {} -> egress", names(count).join(" -> "))];
    let checked = check(&chain(&line(MAX_FUNCTIONS), &functions(MAX_FUNCTIONS)), "f").unwrap();
    assert_eq!(checked.chain().functions().len(), MAX_FUNCTIONS);
    assert_eq!(checked.chain().order().len(), MAX_FUNCTIONS);
    let over = refused(&chain(&line(MAX_FUNCTIONS + 1), &functions(MAX_FUNCTIONS + 1)));
    assert!(over.contains(&Code::ChainTooLarge), "{over:?}");
}

#[test]
fn there_may_be_1024_edges_and_not_more() {
    // 31 alternatives into each of 33 functions are 1,023 edges less the ends.
    let left: Vec<String> = (0..31).map(|index| format!("f{index}")).collect();
    let right: Vec<String> = (31..60).map(|index| format!("f{index}")).collect();
    let flow = |extra: usize| {
        let mut flow = vec![
            format!("ingress -> {}", left.join(" & ")),
            format!("{} -> {}", left.join(" | "), right.join(" & ")),
            format!("{} -> egress", right.join(" | ")),
        ];
        flow.extend(left.iter().take(extra).map(|name| format!("{name} -> egress")));
        flow
    };
    // 31 + 31 * 29 + 29 = 959, and what is added.
    assert!(check(&chain(&flow(31), &functions(60)), "f").is_ok());
    let mut over = flow(31);
    over.extend((0..35).map(|index| format!("f{index}.error -> egress")));
    let on_the_bound = over.iter().take(over.len() - 1).cloned().collect::<Vec<_>>();
    let checked = check(&chain(&on_the_bound, &functions(60)), "f").unwrap();
    assert_eq!(checked.chain().edges().len(), MAX_EDGES);
    assert_eq!(refused(&chain(&over, &functions(60))), [Code::ChainTooLarge]);
}

#[test]
fn a_line_of_many_names_does_not_make_edges_without_bound() {
    let many = vec!["f0"; 100_000].join(" & ");
    let text = chain(&[format!("ingress -> {many} -> {many} -> egress")], &functions(1));
    assert!(check(&text, "f").is_err());
    // Written again and again: 250 thousand million pairs, if each were looked at.
    let half = vec!["f0"; 50_000].join(" | ");
    let text = chain(
        &[format!("{half} -> {}", vec!["f0"; 50_000].join(" & "))],
        &functions(1),
    );
    assert!(check(&text, "f").is_err());
    let names = (0..60_000)
        .map(|index| format!("n{index}"))
        .collect::<Vec<_>>()
        .join(" | ");
    let text = chain(&[format!("{names} -> f0 -> egress")], &functions(1));
    let problems = check(&text, "f").unwrap_err();
    assert!(problems.len() <= MAX_DIAGNOSTICS);
}

#[test]
fn a_function_may_have_64_ports_and_not_65() {
    let text = |count: usize| {
        let ports: Vec<String> = (0..count).map(|index| format!("\"p{index}\"")).collect();
        let flow: Vec<String> = (0..count).map(|index| format!("f0.p{index} -> egress")).collect();
        let flow = [vec!["ingress -> f0".to_owned()], flow].concat();
        chain(
            &flow,
            &format!("{}ports = [{}]\n", functions(1), ports.join(", ")),
        )
    };
    assert!(check(&text(MAX_PORTS), "f").is_ok());
    assert_eq!(refused(&text(MAX_PORTS + 1)), [Code::TooMany]);
}

#[test]
fn a_join_may_wait_for_64_records_and_not_65() {
    let text = |count: usize| {
        let members = names(count).join(" & ");
        let rest = format!("{}[function.last]\nexec = \"x\"\n", functions(count));
        chain(&[format!("ingress -> {members} -> last -> egress")], &rest)
    };
    let checked = check(&text(MAX_JOIN_WIDTH), "f").unwrap();
    let widest = checked
        .chain()
        .groups()
        .iter()
        .map(|group| group.edges().len())
        .max();
    assert_eq!(widest, Some(MAX_JOIN_WIDTH));
    assert_eq!(refused(&text(MAX_JOIN_WIDTH + 1)), [Code::ChainTooLarge]);
}

#[test]
fn a_function_may_have_64_variables_and_64_secrets_and_not_65() {
    let text = |count: usize| {
        let env: Vec<String> = (0..count).map(|index| format!("V{index} = \"1\"")).collect();
        let secrets: Vec<String> = (0..count)
            .map(|index| format!("S{index} = \"file:/s\""))
            .collect();
        let rest = format!(
            "{}env = {{ {} }}\nsecrets = {{ {} }}\n",
            functions(1),
            env.join(", "),
            secrets.join(", ")
        );
        chain(&["ingress -> f0 -> egress".to_owned()], &rest)
    };
    let checked = check(&text(MAX_ENV_ENTRIES), "f").unwrap();
    let (_, function) = checked.chain().function_named("f0").unwrap();
    assert_eq!(
        (function.env().len(), function.secrets().len()),
        (MAX_ENV_ENTRIES, MAX_ENV_ENTRIES)
    );
    assert_eq!(
        refused(&text(MAX_ENV_ENTRIES + 1)),
        [Code::TooMany, Code::TooMany]
    );
}

#[test]
fn a_function_may_have_64_arguments_and_64_files_and_not_65() {
    let text = |count: usize| {
        let files: Vec<String> = (0..count).map(|index| format!("\"f{index}\"")).collect();
        let rest = format!(
            "{}args = [{}]\nfiles = [{}]\n",
            functions(1),
            vec!["\"a\""; count].join(", "),
            files.join(", ")
        );
        chain(&["ingress -> f0 -> egress".to_owned()], &rest)
    };
    let checked = check(&text(MAX_ARGS), "f").unwrap();
    let (_, function) = checked.chain().function_named("f0").unwrap();
    assert_eq!(
        (function.args().len(), function.files().len()),
        (MAX_ARGS, MAX_FILES)
    );
    assert_eq!(refused(&text(MAX_ARGS + 1)), [Code::TooMany, Code::TooMany]);
}

#[test]
fn places_of_files_have_a_length_and_a_depth() {
    let text = |place: &str| {
        let rest = format!("{}files = [{{ from = \"x\", to = \"{place}\" }}]\n", functions(1));
        chain(&["ingress -> f0 -> egress".to_owned()], &rest)
    };
    let deep = |depth: usize| "/d".repeat(depth);
    let name = |bytes: usize| format!("/{}", "n".repeat(bytes));
    let long = |bytes: usize| {
        let place = name(255).repeat(bytes / 256);
        format!("{place}{}", name(bytes - place.len() - 1))
    };
    assert_eq!(long(1000).len(), 1000);
    for good in [deep(MAX_PLACE_DEPTH), name(255), long(MAX_PLACE_BYTES - 1)] {
        assert!(check(&text(&good), "f").is_ok(), "{good}");
    }
    for bad in [deep(MAX_PLACE_DEPTH + 1), name(256), long(MAX_PLACE_BYTES + 2)] {
        assert_eq!(refused(&text(&bad)), [Code::BadPlace], "{bad}");
    }
}

#[test]
fn names_and_values_have_lengths() {
    let text = |name: usize, value: usize| {
        let (name, value) = ("n".repeat(name), "v".repeat(value));
        let flow = vec![format!("ingress -> {name} -> egress")];
        chain(
            &flow,
            // A variable's name and its value have the bound together.
            &format!(
                "[function.{name}]\nexec = \"{value}\"\nenv = {{ {name} = \"{}\" }}\n",
                &value[name.len()..]
            ),
        )
    };
    assert!(check(&text(63, 4096), "f").is_ok());
    assert_eq!(refused(&text(64, 4096)), [Code::BadName, Code::BadName]);
    assert_eq!(refused(&text(63, 4097)), [Code::BadText, Code::BadText]);
}

#[test]
fn more_than_a_hundred_problems_are_counted_and_not_listed() {
    let text: String = (0..1000).fold(String::new(), |text, index| format!("{text}unknown{index} = 1\n"));
    let problems = check(&text, "f").unwrap_err();
    assert_eq!(problems.len(), MAX_DIAGNOSTICS);
    assert!(problems.omitted() >= 900);
    assert!(problems.to_string().contains("more not shown"));
}

/// The worst shapes that 1 MiB can hold end, and end in bounded words. They are here to be killed by the
/// test runner's patience when something becomes quadratic in the text.
#[test]
fn hostile_text_ends_in_a_few_diagnostics() {
    let full = |piece: &str| piece.repeat(MAX_TEXT_BYTES / piece.len());
    for piece in [
        "[",
        "{",
        "a.",
        "[[",
        "a = [",
        "a = {b = ",
        "\"",
        "'''",
        "\n",
        "=",
        "[a]\n",
        "\u{1b}[31m",
        "é",
        "a -> ",
    ] {
        for prefix in ["", "chain = ", "flow = [\"", "flow = [\n"] {
            let mut text = format!("{prefix}{}", full(piece));
            text.truncate(text.floor_char_boundary(MAX_TEXT_BYTES));
            let problems = check(&text, "f").unwrap_err();
            assert!(!problems.is_empty() && problems.len() <= MAX_DIAGNOSTICS);
            let rendered = problems.render(false);
            assert!(
                !rendered.contains('\u{1b}'),
                "an escape sequence of the file reaches the terminal"
            );
            assert!(
                rendered.len() < 1 << 20,
                "{} bytes for {prefix}{piece}",
                rendered.len()
            );
        }
    }
}

#[test]
fn a_file_that_is_cut_in_the_middle_of_a_character_is_too_large_and_not_in_another_encoding() {
    let bytes = "é".repeat(MAX_TEXT_BYTES).into_bytes();
    let problems = check_bytes(&bytes[..=MAX_TEXT_BYTES], "f").unwrap_err();
    let codes: Vec<Code> = problems.iter().map(hacher_chain_dsl::Diagnostic::code).collect();
    assert_eq!(codes, [Code::FileTooLarge]);
}
