//! docs/chain.md is the reference of chain files: it has every key of the schema, with its default and its
//! bounds, an example that the checker accepts, and every diagnostic by its title.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use std::collections::BTreeMap;

use hacher_chain_dsl::{Code, check, schema};
use serde_json::Value;

const BOOK: &str = include_str!("../../docs/chain.md");

/// A row of a table, by the first cell.
type Rows = BTreeMap<String, Vec<String>>;

/// The table behind a heading: its rows by what stands in the first cell, without back-quotes.
fn table(heading: &str) -> Rows {
    let (_, section) = BOOK
        .split_once(&format!("\n{heading}\n"))
        .unwrap_or_else(|| panic!("no heading `{heading}`"));
    let lines = section.lines().skip_while(|line| !line.starts_with('|'));
    let rows = lines.take_while(|line| line.starts_with('|')).skip(2);
    rows.map(|row| {
        // A line that a cell holds is escaped.
        let row = row.replace("\\|", "\u{1}");
        let cells = row.trim_matches('|').split('|');
        let cells: Vec<String> = cells.map(|cell| cell.trim().replace('\u{1}', "|")).collect();
        (cells[0].trim_matches('`').to_owned(), cells)
    })
    .collect()
}

/// The pieces in back-quotes.
fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// What the schema says of the bounds of a key, as the book writes it.
fn bounds(key: &Value) -> Option<String> {
    if let (Some(min), Some(max)) = (key.get("minimum"), key.get("maximum")) {
        return Some(format!("{min} to {max}"));
    }
    let (_, bounds) = key["description"].as_str()?.split_once(" with its unit, ")?;
    Some(bounds.trim_end_matches('.').to_owned())
}

fn compare(heading: &str, table_of_keys: &Value) {
    let mut rows = table(heading);
    let required = table_of_keys["required"].as_array();
    for (name, key) in table_of_keys["properties"].as_object().unwrap() {
        let told = format!("`{name}` in `{heading}`");
        let row = rows
            .remove(name)
            .unwrap_or_else(|| panic!("{told} is missing in docs/chain.md"));
        let [_, kind, default, example, purpose, _] = row.as_slice() else {
            panic!("{told}: six cells, not {row:?}");
        };
        assert!(
            example.contains(&**name) && purpose.len() > 10,
            "{told}: an example, and what it is for"
        );
        match &key["default"] {
            Value::Null if required.is_some_and(|names| names.contains(&name.as_str().into())) => {
                assert_eq!(default, "required", "{told}");
            }
            Value::Null => assert_eq!(default, "none", "{told}"),
            value => assert_eq!(
                quoted(default).first(),
                Some(&&*value.to_string().replace(',', ", ")),
                "{told}"
            ),
        }
        if let Some(bounds) = bounds(key) {
            assert!(
                kind.ends_with(&bounds) || kind.contains(&format!("{bounds} ")),
                "{told}: {bounds}"
            );
        }
        let words = key["enum"].as_array().or(key["items"]["enum"].as_array());
        let words: Vec<&str> = words.into_iter().flatten().filter_map(Value::as_str).collect();
        if !words.is_empty() {
            assert_eq!(quoted(kind), words, "{told}");
        }
    }
    assert!(rows.is_empty(), "{heading}: no such keys: {:?}", rows.keys());
}

#[test]
fn every_key_of_the_schema_is_in_the_reference_with_its_default_and_bounds() {
    let schema = schema();
    let root = &schema["properties"];
    let function = &root["function"]["additionalProperties"];
    let of_function = &function["properties"];
    compare("## The top of the file", &schema);
    compare("## [ingress]", &root["ingress"]);
    compare("### tls of [ingress]", &root["ingress"]["properties"]["tls"]);
    compare("## [defaults]", &root["defaults"]);
    compare("## [function.NAME]", function);
    compare("### http", &of_function["http"]);
    compare("### lambda", &of_function["lambda"]["oneOf"][1]);
    compare("### retry", &of_function["retry"]);
    compare("### retry", &root["defaults"]["properties"]["retry"]);
    compare(
        "## [edge.\"SOURCE -> TARGET\"]",
        &root["edge"]["additionalProperties"],
    );
    for (heading, entries) in [
        ("### Entries of files", &of_function["files"]["items"]),
        (
            "### Entries of secrets",
            &of_function["secrets"]["additionalProperties"],
        ),
    ] {
        let keys = entries["oneOf"][1]["properties"].as_object().unwrap();
        let names: Vec<String> = table(heading).into_keys().collect();
        assert_eq!(names, keys.keys().cloned().collect::<Vec<_>>(), "{heading}");
    }
    // A table that is new in the schema needs a section here.
    let tables = |properties: &Value| {
        let keys = properties.as_object().unwrap().iter();
        keys.filter(|(_, key)| {
            key["properties"].is_object() || key["additionalProperties"]["properties"].is_object()
        })
        .map(|(name, _)| name.clone())
        .collect::<Vec<_>>()
    };
    assert_eq!(tables(root), ["defaults", "edge", "function", "ingress"]);
    assert_eq!(tables(of_function), ["http", "retry"]);
    assert_eq!(tables(&root["ingress"]["properties"]), ["tls"]);
}

#[test]
fn the_examples_of_the_reference_are_accepted() {
    let base = "chain = \"t\"\nflow = [\"ingress -> a -> egress\"]\n";
    let function = "[function.a]\nexec = \"x\"\n";
    for (heading, before, after) in [
        ("## The top of the file", String::new(), function.to_owned()),
        ("## [ingress]", format!("{base}[ingress]\n"), function.to_owned()),
        (
            "## [defaults]",
            format!("{base}[defaults]\n"),
            function.to_owned(),
        ),
        ("## [function.NAME]", format!("{base}{function}"), String::new()),
        (
            "### retry",
            format!("{base}{function}[function.a.retry]\n"),
            String::new(),
        ),
        (
            "### http",
            format!("{base}[function.a.http]\ncommand = [\"x\"]\n"),
            String::new(),
        ),
        (
            "## [edge.\"SOURCE -> TARGET\"]",
            format!("{base}{function}[edge.\"ingress -> a\"]\n"),
            String::new(),
        ),
    ] {
        for (name, row) in table(heading) {
            let example = quoted(&row[3])[0];
            if !example.contains(" = ") {
                continue;
            }
            let mut text = format!("{before}{example}\n{after}");
            match (heading, &*name) {
                ("## The top of the file", _) => {
                    let others = base.lines().filter(|line| !line.starts_with(&name));
                    text = format!("{}\n{text}", others.collect::<Vec<_>>().join("\n"));
                }
                ("## [ingress]", "tls") => {
                    text = text.replace(example, &format!("{example}\nlisten = \"0.0.0.0:1\""))
                }
                (_, "exec" | "python" | "http" | "lambda") => text = text.replacen("exec = \"x\"\n", "", 1),
                ("### http", "command") => text = text.replacen("command = [\"x\"]\n", "", 1),
                (_, "venv" | "interpreter" | "preload") => {
                    text = text.replacen("exec = \"x\"", "python = \"app.py:handler\"", 1);
                }
                _ => {}
            }
            check(&text, "f").unwrap_or_else(|problems| panic!("{heading}, {name}:\n{text}\n{problems}"));
        }
    }
    let (_, first) = BOOK.split_once("```toml\n").unwrap();
    check(first.split_once("```").unwrap().0, "f").unwrap();
}

#[test]
fn every_diagnostic_is_in_the_reference_by_its_title() {
    let rows = table("## Diagnostics");
    let expected: BTreeMap<String, &str> = Code::ALL
        .iter()
        .map(|code| (code.as_str().to_owned(), code.title()))
        .collect();
    let told: BTreeMap<String, &str> = rows
        .iter()
        .map(|(code, row)| (code.clone(), row[1].as_str()))
        .collect();
    assert_eq!(told, expected);
    // What the tables name exists.
    let named = BOOK.split(|c: char| !c.is_ascii_alphanumeric());
    let is_code = |word: &&str| {
        word.len() == 5 && word.starts_with(['E', 'W']) && word[1..].bytes().all(|byte| byte.is_ascii_digit())
    };
    for word in named.filter(is_code) {
        assert!(Code::parse(word).is_some(), "{word}");
    }
}
