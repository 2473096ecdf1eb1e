//! The JSON Schemas (draft 2020-12) of chain files and policy files, for editors.
//!
//! Made from [`crate::keys`], which the reader uses too. A schema cannot say everything (whether a name in
//! the flow has a table, whether a size is within its bounds); what it refuses, the checker refuses.

use serde_json::{Map, Value, json};

use crate::keys;
use crate::kinds::{AnyKey, ChoiceKind, ItemKind, ListKind, OwnKind};
use crate::policy::keys as policy_keys;
use crate::request::Methods;
use crate::units::format_duration;

const NAME_PATTERN: &str = "^[a-z][a-z0-9_-]{0,62}$";
const SIZE_PATTERN: &str = "^[0-9]+(B|KiB|MiB|GiB|TiB)$";
const DURATION_PATTERN: &str = "^[0-9]+(us|ms|s|m|h)$";
const ADDRESS_PATTERN: &str = "^([0-9.]+|\\[[0-9A-Fa-f:.%]+\\]):[0-9]+$";
const HEADER_PATTERN: &str = "^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,63}$";
const ENV_NAME_PATTERN: &str = "^[A-Za-z_][A-Za-z0-9_]{0,62}$";
const MODULE_PATTERN: &str = r"^[A-Za-z_][0-9A-Za-z_]*(\.[A-Za-z_][0-9A-Za-z_]*)*$";

/// The schema of a chain file.
#[must_use]
pub fn schema() -> Value {
    document(
        keys::ROOT_KEYS,
        "Hacher chain",
        "A chain of confidential functions.",
    )
}

/// The schema of a policy file.
#[must_use]
pub fn policy_schema() -> Value {
    document(
        policy_keys::ROOT_KEYS,
        "Hacher policy",
        "What a data owner demands of evidence.",
    )
}

fn document(keys: &[AnyKey], title: &str, description: &str) -> Value {
    let mut schema = table(keys);
    insert(
        &mut schema,
        "$schema",
        json!("https://json-schema.org/draft/2020-12/schema"),
    );
    insert(&mut schema, "title", json!(title));
    insert(&mut schema, "description", json!(description));
    schema
}

/// An object with exactly these keys.
fn table(keys: &[AnyKey]) -> Value {
    let properties: Map<String, Value> = keys
        .iter()
        .map(|key| (key.name().to_owned(), property(key)))
        .collect();
    let required: Vec<&str> = keys
        .iter()
        .filter(|key| required(key))
        .map(AnyKey::name)
        .collect();
    let mut table = json!({ "type": "object", "properties": properties, "additionalProperties": false });
    if !required.is_empty() {
        insert(&mut table, "required", json!(required));
    }
    table
}

fn required(key: &AnyKey) -> bool {
    match key {
        AnyKey::Text(key) => key.kind.required,
        AnyKey::Own(key) => matches!(
            key.kind,
            OwnKind::Name | OwnKind::Flow | OwnKind::Functions(_) | OwnKind::Command
        ),
        _ => false,
    }
}

fn insert(value: &mut Value, field: &str, content: Value) {
    if let Value::Object(fields) = value {
        fields.insert(field.to_owned(), content);
    }
}

fn property(key: &AnyKey) -> Value {
    let (doc, mut value) = match key {
        AnyKey::Size(key) => {
            let (min, max, default) = (key.kind.min, key.kind.max, key.kind.default.to_string());
            let doc = format!("{} A size with its unit, {min} to {max}.", key.doc);
            (
                doc,
                json!({ "type": "string", "pattern": SIZE_PATTERN, "default": default, "examples": [default] }),
            )
        }
        AnyKey::Duration(key) => {
            let [min, max, default] = [key.kind.min, key.kind.max, key.kind.default].map(format_duration);
            let doc = format!("{} A duration with its unit, {min} to {max}.", key.doc);
            (
                doc,
                json!({ "type": "string", "pattern": DURATION_PATTERN, "default": default, "examples": [default] }),
            )
        }
        AnyKey::Integer(key) => {
            let kind = key.kind;
            let value = json!({ "type": "integer", "minimum": kind.min, "maximum": kind.max, "default": kind.default });
            (key.doc.to_owned(), value)
        }
        AnyKey::Number(key) => {
            let kind = key.kind;
            let value = json!({ "type": "number", "minimum": kind.min, "maximum": kind.max, "default": kind.default });
            (key.doc.to_owned(), value)
        }
        AnyKey::Flag(key) => (
            key.doc.to_owned(),
            json!({ "type": "boolean", "default": key.kind.default }),
        ),
        AnyKey::Choice(key) => {
            // Words that are kept for later are refused today, so editors do not offer them.
            let ChoiceKind { words, default, .. } = key.kind;
            (key.doc.to_owned(), json!({ "enum": words, "default": default }))
        }
        AnyKey::Text(key) => {
            let value = json!({
                "type": "string", "minLength": 1, "maxLength": key.kind.max_bytes, "examples": [key.kind.example],
            });
            (key.doc.to_owned(), value)
        }
        AnyKey::Table(key) => (key.doc.to_owned(), table(key.kind.keys)),
        AnyKey::List(key) => (key.doc.to_owned(), list(key.kind)),
        AnyKey::Own(key) => (key.doc.to_owned(), own(key.kind)),
    };
    insert(&mut value, "description", json!(doc));
    value
}

fn list(kind: ListKind) -> Value {
    let item = match kind.item {
        ItemKind::Hex(bytes, _) => {
            json!({ "type": "string", "pattern": format!("^[0-9A-Fa-f]{{{}}}$", 2 * bytes) })
        }
        ItemKind::Word(words) => json!({ "enum": words }),
        ItemKind::Name => json!({ "type": "string", "pattern": NAME_PATTERN }),
        ItemKind::Integer(range) => json!({ "type": "integer", "minimum": range.min, "maximum": range.max }),
    };
    let list = json!({ "type": "array", "minItems": 1, "maxItems": kind.max, "items": item });
    match kind.or_any {
        true => json!({ "oneOf": [list, { "const": "any" }] }),
        false => list,
    }
}

fn own(kind: OwnKind) -> Value {
    match kind {
        OwnKind::Name => json!({ "type": "string", "pattern": NAME_PATTERN }),
        OwnKind::Version => json!({
            "type": "string", "pattern": "^[0-9A-Za-z.+-]{1,63}$", "default": keys::DEFAULT_VERSION,
        }),
        OwnKind::Flow => json!({
            "type": "array",
            "minItems": 1,
            "items": { "type": "string", "pattern": "->" },
            "examples": [["ingress -> decode", "decode -> small & large -> pack -> egress"]],
        }),
        OwnKind::Ports => json!({
            "type": "array",
            "minItems": 1,
            "maxItems": keys::MAX_PORTS,
            "uniqueItems": true,
            "items": { "type": "string", "pattern": NAME_PATTERN, "not": { "enum": keys::RESERVED_PORTS } },
            "default": [keys::DEFAULT_PORT],
        }),
        OwnKind::Instances(range) => json!({
            "type": "integer", "minimum": range.min, "maximum": range.max, "default": range.default,
        }),
        OwnKind::Args => json!({
            "type": "array",
            "maxItems": keys::MAX_ARGS,
            "items": { "type": "string", "maxLength": keys::MAX_VALUE_BYTES },
            "default": [],
            "examples": [["--quality", "80"]],
        }),
        OwnKind::Modules => json!({
            "type": "array",
            "maxItems": keys::MAX_PRELOAD,
            "items": { "type": "string", "pattern": MODULE_PATTERN, "maxLength": keys::MAX_MODULE_BYTES },
            "default": [],
            "examples": [["numpy", "PIL.Image"]],
        }),
        OwnKind::Command => json!({
            "type": "array",
            "minItems": 1,
            "maxItems": keys::MAX_COMMAND,
            "items": { "type": "string", "maxLength": keys::MAX_VALUE_BYTES },
            "examples": [["python3", "server.py"]],
        }),
        OwnKind::Lambda(keys) => json!({
            "oneOf": [
                { "type": "string", "minLength": 1, "maxLength": keys::MAX_VALUE_BYTES },
                table(keys),
            ],
            "examples": ["bootstrap"],
        }),
        OwnKind::Files => {
            let path = json!({ "type": "string", "minLength": 1, "maxLength": keys::MAX_VALUE_BYTES });
            json!({
                "type": "array",
                "maxItems": keys::MAX_FILES,
                "items": { "oneOf": [path, {
                    "type": "object",
                    "properties": {
                        keys::FILE_FROM: path,
                        keys::FILE_TO: { "type": "string", "pattern": "^/", "maxLength": keys::MAX_PLACE_BYTES },
                    },
                    "required": [keys::FILE_FROM, keys::FILE_TO],
                    "additionalProperties": false,
                }] },
                "default": [],
                "examples": [["labels.txt", { keys::FILE_FROM: "models", keys::FILE_TO: "/opt/models" }]],
            })
        }
        OwnKind::Env => named_values(&json!({ "type": "string", "maxLength": keys::MAX_VALUE_BYTES })),
        OwnKind::Secrets => {
            let reference = json!({
                "type": "string", "pattern": secret_pattern(), "maxLength": keys::MAX_VALUE_BYTES,
            });
            named_values(&json!({
                "oneOf": [reference, {
                    "type": "object",
                    "properties": {
                        keys::SECRET_FROM: reference,
                        keys::SECRET_TRIM: { "type": "boolean", "default": false },
                    },
                    "required": [keys::SECRET_FROM],
                    "additionalProperties": false,
                }],
            }))
        }
        OwnKind::Egress => json!({ "enum": keys::EGRESS_WORDS }),
        OwnKind::Methods => json!({
            "type": "array",
            "minItems": 1,
            "maxItems": Methods::NAMES.len(),
            "items": { "enum": Methods::NAMES },
            "default": [keys::DEFAULT_METHOD],
            "examples": [["GET", "POST"]],
        }),
        OwnKind::Headers => json!({
            "type": "array",
            "maxItems": keys::MAX_HEADERS,
            "items": { "type": "string", "pattern": HEADER_PATTERN },
            "default": [],
            "examples": [["authorization", "x-tenant"]],
        }),
        OwnKind::Route => json!({
            "type": "string", "pattern": "^/", "maxLength": keys::MAX_ROUTE_BYTES, "examples": ["/thumbs/{size}"],
        }),
        OwnKind::Address => json!({
            "type": "string", "pattern": ADDRESS_PATTERN, "examples": ["127.0.0.1:9001"],
        }),
        OwnKind::Functions(function_keys) => json!({
            "type": "object",
            "minProperties": 1,
            "maxProperties": keys::MAX_FUNCTIONS,
            "propertyNames": { "pattern": NAME_PATTERN, "not": { "enum": keys::RESERVED_FUNCTIONS } },
            "additionalProperties": either(table(function_keys), &keys::WAYS),
        }),
        OwnKind::Edges(edge_keys) => json!({
            "type": "object",
            "maxProperties": keys::MAX_EDGES,
            "propertyNames": { "pattern": "->" },
            "additionalProperties": without_defaults(table(edge_keys)),
        }),
    }
}

/// An object that has one of these keys, and not another.
fn either(mut table: Value, one_of: &[&str]) -> Value {
    let forms: Vec<Value> = one_of.iter().map(|key| json!({ "required": [key] })).collect();
    insert(&mut table, "oneOf", json!(forms));
    table
}

/// What an edge does not say is as the chain or a function says it, so no value is its default.
fn without_defaults(mut table: Value) -> Value {
    let properties = table.get_mut("properties").and_then(Value::as_object_mut);
    for property in properties
        .into_iter()
        .flat_map(|properties| properties.values_mut())
    {
        if let Some(property) = property.as_object_mut() {
            property.remove("default");
        }
    }
    table
}

/// A table of environment names.
fn named_values(value: &Value) -> Value {
    json!({
        "type": "object",
        "maxProperties": keys::MAX_ENV_ENTRIES,
        "propertyNames": {
            "pattern": ENV_NAME_PATTERN,
            "not": { "pattern": format!("^{}", keys::RESERVED_ENV_PREFIX) },
        },
        "additionalProperties": value,
    })
}

/// References to secrets: a path, or a resource of a key broker.
fn secret_pattern() -> String {
    let (file, broker, part) = (
        keys::SECRET_SCHEME,
        keys::BROKER_SCHEME,
        keys::BROKER_PART_PATTERN,
    );
    format!("^({file}/|{broker}/{part}/{part}/{part}$)")
}
