//! What a function's process is told by name: variables, and references to secrets.

use std::collections::BTreeMap;

use toml::de::{DeTable, DeValue};

use crate::code::Code;
use crate::diagnostic::{Diagnostic, Problems};
use crate::function::{Resource, SecretRef};
use crate::keys;
use crate::section::{Entry, entries, excerpt, string, table_of, too_many, unpassable, usable};
use crate::source::Spanned;

pub(crate) fn env(entry: &Entry<'_>, problems: &mut Problems) -> BTreeMap<String, String> {
    let mut env = BTreeMap::new();
    for item in named_values(entry, "a table such as { QUALITY = \"80\" }", problems) {
        let Some(text) = string(&item, "a string", problems) else {
            continue;
        };
        // Name and value travel together.
        let room = keys::MAX_VALUE_BYTES.saturating_sub(item.name.len());
        match unpassable(text, &item, room) {
            Some((message, label)) => {
                problems.push(Diagnostic::new(Code::BadText, item.span(), message, label))
            }
            None => _ = env.insert(item.name.to_owned(), text.to_owned()),
        }
    }
    env
}

pub(crate) fn secrets(entry: &Entry<'_>, problems: &mut Problems) -> BTreeMap<String, Spanned<SecretRef>> {
    let mut secrets = BTreeMap::new();
    for item in named_values(
        entry,
        "a table such as { API_KEY = \"file:/run/secrets/api\" }",
        problems,
    ) {
        let secret = match item.value.get_ref() {
            DeValue::Table(table) => secret_table(&item, table, problems),
            _ => secret_reference(&item, problems),
        };
        if let Some(secret) = secret {
            secrets.insert(item.name.to_owned(), Spanned::new(secret, item.span()));
        }
    }
    secrets
}

/// `{ from = "file:/run/secrets/api", trim = true }`. Any other value may be the secret itself, so no message
/// repeats it.
fn secret_table(item: &Entry<'_>, table: &DeTable<'_>, problems: &mut Problems) -> Option<SecretRef> {
    let parts = entries(table);
    let part = |name| parts.iter().find(|part| part.name == name);
    let known = |part: &Entry<'_>| matches!(part.name, keys::SECRET_FROM | keys::SECRET_TRIM);
    let trim = match part(keys::SECRET_TRIM).map(|part| part.value.get_ref()) {
        None => Some(false),
        Some(DeValue::Boolean(trim)) => Some(*trim),
        Some(_) => None,
    };
    match (part(keys::SECRET_FROM), trim, parts.iter().all(known)) {
        (Some(from), Some(trim), true) => {
            let reference = secret_reference(from, problems)?;
            Some(SecretRef { trim, ..reference })
        }
        _ => {
            let label = "expected { from = \"file:/...\" or \"kbs:///...\", trim = true or false }";
            problems.push(
                Diagnostic::new(Code::BadSecret, item.span(), "a secret is not a reference", label)
                    .with_expected("the keys `from`, a reference, and `trim`, true or false")
                    .with_help("put the secret in a file and refer to it; a chain file never holds one"),
            );
            None
        }
    }
}

/// What a reference names, untrimmed.
fn secret_reference(item: &Entry<'_>, problems: &mut Problems) -> Option<SecretRef> {
    const EXPECTED: &str = "a reference such as \"file:/run/secrets/api\" or \"kbs:///default/db/password\"";
    let problem = |message, label| {
        Diagnostic::new(Code::BadSecret, item.span(), message, label).with_expected(EXPECTED)
    };
    let text = match item.value.get_ref().as_str() {
        Some(text) => Some(usable(text, item, keys::MAX_VALUE_BYTES, problems)?.value),
        None => None,
    };
    let text = text.as_deref();
    let path_after = |scheme| text.and_then(|text| text.strip_prefix(scheme)).map(str::to_owned);
    if let Some(path) = path_after(keys::BROKER_SCHEME) {
        let resource = Resource::at(&path);
        if resource.is_none() {
            let label = "expected `kbs:///REPOSITORY/TYPE/TAG`, each of letters, digits, `-`, `_` and `.`";
            problems.push(
                problem("a secret is not the resource of a key broker", label)
                    .with_help("which broker is asked is said by `hacher-fabric serve --kbs URL`"),
            );
        }
        return Some(SecretRef {
            path,
            resource: Some(resource?),
            trim: false,
        });
    }
    let label = "expected `file:/...` or `kbs:///...`";
    match path_after(keys::SECRET_SCHEME) {
        Some(path) if path.starts_with('/') => {
            return Some(SecretRef {
                path,
                resource: None,
                trim: false,
            });
        }
        Some(_) => problems.push(problem("the path of a secret is not absolute", label)),
        // The value may be the secret itself: it is never repeated in the message.
        None => problems.push(
            problem("a secret is not a reference", label)
                .with_help("put the secret in a file and refer to it; a chain file never holds one"),
        ),
    }
    None
}

/// The entries of `env` or `secrets` that have proper names, within the bound.
fn named_values<'t>(entry: &Entry<'t>, expected: &str, problems: &mut Problems) -> Vec<Entry<'t>> {
    let Some(table) = table_of(entry, expected, problems) else {
        return Vec::new();
    };
    if table.len() > keys::MAX_ENV_ENTRIES {
        problems.push(too_many(entry, entry.name, table.len(), keys::MAX_ENV_ENTRIES));
    }
    let mut named = entries(table);
    named.truncate(keys::MAX_ENV_ENTRIES);
    named.retain(|item| check_env_name(item, problems));
    named
}

fn check_env_name(item: &Entry<'_>, problems: &mut Problems) -> bool {
    let name = item.name;
    let first = name
        .chars()
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    let rest = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !first || !rest || name.len() > keys::MAX_NAME_BYTES {
        let message = format!(
            "`{}` cannot be the name of an environment variable or secret",
            excerpt(name)
        );
        let label = format!(
            "a letter or `_`, then letters, digits and `_`, {} at most",
            keys::MAX_NAME_BYTES
        );
        problems.push(Diagnostic::new(Code::BadName, item.key_span, message, label));
        return false;
    }
    if name.starts_with(keys::RESERVED_ENV_PREFIX) {
        let message = format!("`{name}` is reserved");
        let label = format!(
            "names beginning with `{}` belong to the system",
            keys::RESERVED_ENV_PREFIX
        );
        problems.push(Diagnostic::new(Code::ReservedName, item.key_span, message, label));
        return false;
    }
    true
}
