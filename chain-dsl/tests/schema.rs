//! The schema agrees with the checker: what the checker accepts, the schema accepts; and each kind of
//! mistake that a schema can see, it refuses. A small validator of the words that our schema uses stands
//! here, so that the test needs no crate for it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use std::path::Path;

use hacher_chain_dsl::{check, schema};
use serde_json::{Map, Value, json};

/// TOML to JSON, for the tests' files (no dates, decimal numbers).
fn to_json(value: &toml::de::DeValue<'_>) -> Value {
    use toml::de::DeValue as Toml;
    match value {
        Toml::String(text) => json!(text),
        Toml::Integer(number) => number
            .as_str()
            .parse::<i64>()
            .map_or(Value::Null, |number| json!(number)),
        Toml::Float(number) => number
            .as_str()
            .parse::<f64>()
            .map_or(Value::Null, |number| json!(number)),
        Toml::Boolean(flag) => json!(flag),
        Toml::Datetime(date) => json!({ "date": date.to_string() }),
        Toml::Array(items) => items.iter().map(|item| to_json(item.get_ref())).collect(),
        Toml::Table(table) => table_to_json(table),
    }
}

fn table_to_json(table: &toml::de::DeTable<'_>) -> Value {
    let entries = table
        .iter()
        .map(|(key, value)| (key.get_ref().to_string(), to_json(value.get_ref())));
    Value::Object(entries.collect::<Map<_, _>>())
}

fn parse(text: &str) -> Value {
    table_to_json(toml::de::DeTable::parse(text).unwrap().get_ref())
}

/// The patterns of our schema, by hand.
fn matches(pattern: &str, text: &str) -> bool {
    let bytes = text.as_bytes();
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let unit = |units: &[&str]| digits > 0 && units.contains(&&text[digits..]);
    let first = bytes.first().copied().unwrap_or(0);
    match pattern {
        "^[a-z][a-z0-9_-]{0,62}$" => {
            first.is_ascii_lowercase()
                && text.len() <= 63
                && bytes
                    .iter()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(b))
        }
        "^[0-9]+(B|KiB|MiB|GiB|TiB)$" => unit(&["B", "KiB", "MiB", "GiB", "TiB"]),
        "^[0-9]+(us|ms|s|m|h)$" => unit(&["us", "ms", "s", "m", "h"]),
        "^[A-Za-z_][A-Za-z0-9_]{0,62}$" => {
            (first.is_ascii_alphabetic() || first == b'_')
                && text.len() <= 63
                && bytes
                    .iter()
                    .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
        }
        "^[0-9A-Za-z.+-]{1,63}$" => {
            (1..=63).contains(&text.len())
                && bytes
                    .iter()
                    .all(|b| b.is_ascii_alphanumeric() || b".+-".contains(b))
        }
        "^([0-9.]+|\\[[0-9A-Fa-f:.%]+\\]):[0-9]+$" => text.rsplit_once(':').is_some_and(|(host, port)| {
            let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
            let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            digits(port)
                && match inner {
                    Some(inner) => inner
                        .bytes()
                        .all(|b| b.is_ascii_hexdigit() || b":.%".contains(&b)),
                    None => digits(&host.replace('.', "")),
                }
        }),
        "->" => text.contains("->"),
        "^/" => text.starts_with('/'),
        "^(file:/|kbs:///[A-Za-z0-9_-][A-Za-z0-9_.-]{0,62}/[A-Za-z0-9_-][A-Za-z0-9_.-]{0,62}/[A-Za-z0-9_-][A-Za-z0-9_.-]{0,62}$)" =>
        {
            let is_part = |part: &str| {
                (1..=63).contains(&part.len())
                    && !part.starts_with('.')
                    && part
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
            };
            let path = text.strip_prefix("kbs:///");
            text.starts_with("file:/")
                || path.is_some_and(|path| path.split('/').count() == 3 && path.split('/').all(is_part))
        }
        "^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,63}$" => {
            (1..=63).contains(&text.len())
                && bytes
                    .iter()
                    .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+.^_`|~-".contains(b))
        }
        r"^[A-Za-z_][0-9A-Za-z_]*(\.[A-Za-z_][0-9A-Za-z_]*)*$" => text.split('.').all(|name| {
            let letter = |b: u8| b.is_ascii_alphabetic() || b == b'_';
            name.bytes().next().is_some_and(letter) && name.bytes().all(|b| letter(b) || b.is_ascii_digit())
        }),
        "^HACHER_" => text.starts_with("HACHER_"),
        other => panic!("a pattern that this test does not know: {other}"),
    }
}

fn valid(schema: &Value, value: &Value) -> bool {
    let number = |key: &str| schema[key].as_f64();
    let count = |key: &str| schema[key].as_u64().map(|count| usize::try_from(count).unwrap());
    let type_fits = match schema["type"].as_str() {
        None => true,
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        Some(other) => panic!("a type that this test does not know: {other}"),
    };
    let words = schema["enum"]
        .as_array()
        .is_none_or(|words| words.contains(value));
    let not = !schema["not"].is_object() || !valid(&schema["not"], value);
    let rest = match value {
        Value::String(text) => {
            schema["pattern"]
                .as_str()
                .is_none_or(|pattern| matches(pattern, text))
                && count("minLength").is_none_or(|min| text.chars().count() >= min)
                && count("maxLength").is_none_or(|max| text.chars().count() <= max)
        }
        Value::Number(value) => {
            let value = value.as_f64().unwrap();
            number("minimum").is_none_or(|min| value >= min)
                && number("maximum").is_none_or(|max| value <= max)
        }
        Value::Array(items) => {
            count("minItems").is_none_or(|min| items.len() >= min)
                && count("maxItems").is_none_or(|max| items.len() <= max)
                && (schema["uniqueItems"] != true
                    || items
                        .iter()
                        .enumerate()
                        .all(|(at, item)| !items[..at].contains(item)))
                && (!schema["items"].is_object() || items.iter().all(|item| valid(&schema["items"], item)))
        }
        Value::Object(fields) => {
            count("minProperties").is_none_or(|min| fields.len() >= min)
                && count("maxProperties").is_none_or(|max| fields.len() <= max)
                && schema["required"].as_array().is_none_or(|required| {
                    required
                        .iter()
                        .all(|key| fields.contains_key(key.as_str().unwrap()))
                })
                && fields.iter().all(|(key, value)| {
                    let name =
                        !schema["propertyNames"].is_object() || valid(&schema["propertyNames"], &json!(key));
                    let content = match (&schema["properties"][key], &schema["additionalProperties"]) {
                        (Value::Null, Value::Bool(allowed)) => *allowed,
                        (Value::Null, Value::Null) => true,
                        (Value::Null, other) => valid(other, value),
                        (known, _) => valid(known, value),
                    };
                    name && content
                })
        }
        _ => true,
    };
    let one = schema["oneOf"]
        .as_array()
        .is_none_or(|forms| forms.iter().filter(|form| valid(form, value)).count() == 1);
    type_fits && words && not && one && rest
}

fn text(folder: &str, name: &str) -> String {
    std::fs::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests")
            .join(folder)
            .join(name),
    )
    .unwrap()
}

#[test]
fn every_valid_file_fits_the_schema_as_written_and_as_printed() {
    let schema = schema();
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/valid")).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        assert!(valid(&schema, &parse(&text)), "{text}");
        let printed = check(&text, "f").unwrap().chain().to_toml();
        assert!(valid(&schema, &parse(&printed)), "{printed}");
    }
}

#[test]
fn mistakes_that_a_schema_can_see_are_refused_by_it() {
    let schema = schema();
    let files = [
        "key-misspelt",
        "key-in-the-wrong-table",
        "key-unknown",
        "key-functions-plural",
        "key-missing",
        "key-array-of-tables",
        "key-function-is-no-table",
        "type-bare-numbers",
        "type-flow-is-a-string",
        "type-flow-holds-other-things",
        "type-ports-and-tables",
        "type-everything",
        "type-env-values",
        "type-retry",
        "size-units",
        "duration-units",
        "range-numbers",
        "choice-words",
        "not-built-yet",
        "name-characters",
        "name-reserved",
        "name-env",
        "name-too-long",
        "port-declared-twice",
        "port-list-empty",
        "text-empty-and-control",
        "secret-not-a-reference",
        "secret-of-a-broker",
        "flow-empty",
        "listen-addresses",
        "listen-tls-incomplete",
        "args-and-files",
        "python",
        "guests",
    ];
    for file in files {
        let text = text("wrong", &format!("{file}.toml"));
        assert!(!valid(&schema, &parse(&text)), "{file}");
    }
}

/// Writes each key that the schema names, alone, with its own default or example, and asks the checker.
#[test]
fn every_key_of_the_schema_is_known_to_the_checker_and_its_default_is_accepted() {
    let schema = schema();
    let base = "chain = \"demo\"\nflow = [\"ingress -> a -> egress\"]\n";
    let mut keys = 0;
    let mut try_keys = |properties: &Value, header: &str, exec: &str| {
        for (key, property) in properties.as_object().unwrap() {
            let value = if property["default"].is_null() {
                &property["examples"][0]
            } else {
                &property["default"]
            };
            if value.is_null() || ["exec", "flow"].contains(&key.as_str()) {
                continue;
            }
            keys += 1;
            let line = format!("{key} = {value}\n");
            // What only a function in Python has.
            let exec = match key.as_str() {
                "python" | "http" | "lambda" => "",
                "venv" | "interpreter" | "preload" => "python = \"app.py:handler\"\n",
                _ => exec,
            };
            let text = match header {
                "" => format!("{line}{base}[function.a]\nexec = \"x\"\n"),
                "[function.a]" => format!("{base}[function.a]\n{exec}{line}"),
                _ => format!("{base}{header}\n{line}[function.a]\nexec = \"x\"\n"),
            };
            check(&text, "f").unwrap_or_else(|problems| panic!("{problems}"));
        }
    };
    let root = &schema["properties"];
    let function = &root["function"]["additionalProperties"]["properties"];
    try_keys(root, "", "");
    try_keys(&root["ingress"]["properties"], "[ingress]", "");
    try_keys(&root["defaults"]["properties"], "[defaults]", "");
    try_keys(
        &root["defaults"]["properties"]["retry"]["properties"],
        "[defaults.retry]",
        "",
    );
    try_keys(function, "[function.a]", "exec = \"x\"\n");
    try_keys(&function["retry"]["properties"], "[function.a.retry]\n", "");
    assert!(keys >= 30, "{keys}");
}

/// The other way: the keys that the checker lists when one is unknown are those of the schema.
#[test]
fn every_key_of_the_checker_stands_in_the_schema() {
    let schema = schema();
    let root = &schema["properties"];
    let function = &root["function"]["additionalProperties"]["properties"];
    let tables = [
        ("", root),
        ("[ingress]\n", &root["ingress"]["properties"]),
        ("[defaults]\n", &root["defaults"]["properties"]),
        (
            "[defaults.retry]\n",
            &root["defaults"]["properties"]["retry"]["properties"],
        ),
        ("[function.a]\n", function),
        ("[function.a.retry]\n", &function["retry"]["properties"]),
    ];
    for (header, properties) in tables {
        let problems = check(&format!("{header}qqqqqqqq = 1\n"), "f").unwrap_err();
        let expected = problems
            .iter()
            .find_map(|found| found.expected()?.strip_prefix("one of "))
            .unwrap();
        let mut known: Vec<&str> = expected.split(", ").collect();
        known.sort_unstable();
        let in_schema: Vec<&str> = properties
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(known, in_schema, "{header}");
    }
}

#[test]
fn everything_in_the_schema_is_described_and_closed() {
    let schema = schema();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    let mut tables = vec![&schema];
    while let Some(table) = tables.pop() {
        assert!(table["additionalProperties"].is_boolean() || table["additionalProperties"].is_object());
        for (key, property) in table["properties"].as_object().into_iter().flatten() {
            assert!(
                property["description"]
                    .as_str()
                    .is_some_and(|text| text.len() > 10),
                "{key}"
            );
            if property["type"] == "object" {
                tables.push(property);
            }
        }
        if table["additionalProperties"]["properties"].is_object() {
            tables.push(&table["additionalProperties"]);
        }
    }
}
