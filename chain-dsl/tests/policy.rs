//! Policy files: what they say, and how good the diagnostics are.
#![allow(clippy::unwrap_used, reason = "test code")]

use hacher_chain_dsl::{Code, Diagnostics, Floor, Listed, check_policy, check_policy_bytes, policy_schema};

const A: &str =
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

fn refused(text: &str) -> Diagnostics {
    check_policy(text, "policy.toml").expect_err(text)
}

/// Asserts that there is one problem, of this code, and that what is printed holds these words.
#[track_caller]
fn assert_refused(text: &str, code: Code, words: &str) {
    let problems = refused(text);
    assert_eq!(problems.len(), 1, "{problems}");
    assert_eq!(problems.iter().next().unwrap().code(), code, "{problems}");
    assert!(problems.to_string().contains(words), "{problems}");
}

#[test]
fn a_policy_that_says_everything_is_read() {
    let text = format!(
        r#"
description = "all of it"
platforms = ["snp", "emulated"]
[chain]
digests = ["{A}"]
functions = ["{A}", "{A}"]
gateways = ["{A}"]
own_gateway = true
logs = "dropped"
protection = "sealed"
[monitor]
measurements = ["{A}"]
layers = ["landlock", "user-namespace"]
trust = "hardware"
[snp]
generations = ["milan", "turin"]
chips = ["{A}{}"]
masked_chip = true
keys = ["vlek"]
vmpl = [0, 2]
debug = true
migration = false
author_keys = ["{A}"]
launch = ["{A}"]
revocation_list = true
[snp.floor.turin]
fmc = 1
snp = 4
microcode = 0x10
"#,
        "a".repeat(32)
    );
    let policy = check_policy(&text, "policy.toml").unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(policy.platforms.unwrap(), ["snp", "emulated"]);
    assert_eq!(policy.digests.unwrap(), [[0xAA; 48]]);
    assert_eq!(policy.functions.unwrap().len(), 2);
    assert_eq!(policy.logs_dropped, Some(true));
    assert_eq!(policy.edges_sealed, Some(true));
    assert_eq!(policy.hardware_trust, Some(true));
    assert_eq!(policy.layers.unwrap(), ["landlock", "user-namespace"]);
    assert_eq!(policy.chips.unwrap(), [[0xAA; 64]]);
    assert_eq!(policy.vmpls.unwrap(), [0, 2]);
    assert_eq!(policy.launch.unwrap(), Listed::These(vec![[0xAA; 48]]));
    let floor = Floor {
        fmc: 1,
        snp: 4,
        microcode: 16,
        ..Floor::default()
    };
    assert_eq!(policy.floors["turin"], floor);
}

#[test]
fn an_empty_file_demands_nothing() {
    let policy = check_policy("", "policy.toml").unwrap();
    assert_eq!(policy, hacher_chain_dsl::PolicyFile::default());
}

#[test]
fn any_launch_is_said_in_a_word() {
    let policy = check_policy("[snp]\nlaunch = \"any\"", "policy.toml").unwrap();
    assert_eq!(policy.launch, Some(Listed::Any));
    assert_refused(
        "[chain]\ndigests = \"any\"",
        Code::WrongType,
        "expected an array of strings",
    );
}

#[test]
fn a_slip_in_a_key_is_found_and_the_right_word_is_named() {
    assert_refused(
        "platform = [\"snp\"]",
        Code::UnknownKey,
        "did you mean `platforms`?",
    );
    assert_refused(
        "[chain]\ndigest = [\"\"]",
        Code::UnknownKey,
        "did you mean `digests`?",
    );
    assert_refused(
        "[snp]\ngeneration = [\"genoa\"]",
        Code::UnknownKey,
        "did you mean `generations`?",
    );
    assert_refused(
        "layers = [\"landlock\"]",
        Code::UnknownKey,
        "belongs in `[monitor]`",
    );
    // What belongs in chain files is not offered in a policy.
    assert_refused("timeout = \"1s\"", Code::UnknownKey, "not a key of this table");
    assert_refused(
        "[snp.floor.genoa]\nfmc = 1",
        Code::UnknownKey,
        "unknown key `fmc`",
    );
    assert_refused(
        "[snp.floor.rome]\nsnp = 1",
        Code::UnknownKey,
        "unknown key `rome` in `[snp.floor]`",
    );
}

#[test]
fn a_value_of_the_wrong_kind_is_found() {
    assert_refused(
        "platforms = \"snp\"",
        Code::WrongType,
        "expected an array of some of \"snp\"",
    );
    assert_refused("platforms = [1]", Code::WrongType, "found an integer");
    assert_refused(
        "[snp]\nvmpl = 0",
        Code::WrongType,
        "an array of whole numbers from 0 to 3",
    );
    assert_refused(
        "[snp]\ndebug = \"true\"",
        Code::WrongType,
        "write true without quotes",
    );
    assert_refused("snp = 1", Code::WrongType, "expected a table");
}

#[test]
fn a_value_that_cannot_be_is_found() {
    assert_refused(
        "platforms = [\"sng\"]",
        Code::UnknownChoice,
        "did you mean \"snp\"?",
    );
    assert_refused("[snp]\nvmpl = [4]", Code::OutOfRange, "expected 0 to 3");
    assert_refused(
        "[snp.floor.genoa]\nsnp = 256",
        Code::OutOfRange,
        "expected 0 to 255",
    );
    assert_refused(
        &format!("[chain]\ndigests = [\"{}\"]", &A[1..]),
        Code::BadText,
        "it has 95 digits, not 96",
    );
    assert_refused(
        &format!("[chain]\ndigests = [\"{}g\"]", &A[1..]),
        Code::BadText,
        "`g` is not a hexadecimal digit",
    );
    assert_refused(
        "[chain]\nlogs = \"droped\"",
        Code::UnknownChoice,
        "did you mean \"dropped\"?",
    );
}

#[test]
fn an_empty_list_would_accept_anything_and_is_refused() {
    for text in [
        "platforms = []",
        "[chain]\ndigests = []",
        "[monitor]\nlayers = []",
        "[snp]\ngenerations = []",
        "[snp]\nlaunch = []",
    ] {
        assert_refused(text, Code::OutOfRange, "accepts nothing");
    }
}

#[test]
fn all_problems_are_shown() {
    let problems = refused("platfroms = [\"snp\"]\n[chain]\ndigests = [\"x\"]\nlogs = 1\n[snp]\nvmpl = [9]");
    assert_eq!(problems.len(), 4, "{problems}");
}

#[test]
fn text_that_is_no_toml_and_bytes_that_are_no_text_are_diagnosed() {
    assert_refused("platforms = [\"snp\"", Code::TomlSyntax, "policy.toml:1");
    let problems = check_policy_bytes(&[0xFF, 0xFE, 0x41, 0], "policy.toml").expect_err("UTF-16");
    assert_eq!(problems.iter().next().unwrap().code(), Code::NotUtf8);
    let problems = check_policy(&" ".repeat((1 << 20) + 1), "policy.toml").expect_err("too large");
    assert_eq!(problems.iter().next().unwrap().code(), Code::FileTooLarge);
}

#[test]
fn the_schema_has_every_table() {
    let schema = policy_schema();
    for table in ["chain", "monitor", "snp"] {
        assert_eq!(schema["properties"][table]["type"], "object", "{table}");
    }
    assert_eq!(schema["additionalProperties"], false);
}
