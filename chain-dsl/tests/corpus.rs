//! Files on disk: every wrong one gives exactly the diagnostics beside it, every valid one checks.
//!
//! `HACHER_BLESS=1 cargo test -p hacher-chain-dsl` rewrites the expected diagnostics; read the difference
//! before committing it.
#![allow(clippy::unwrap_used, reason = "test code")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use hacher_chain_dsl::{Code, Severity, check, check_bytes};

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
    let entries = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries
        .filter(|path| path.extension().is_some_and(|ext| ext == "toml"))
        .collect();
    files.sort();
    files
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

#[test]
fn every_wrong_file_gives_its_expected_diagnostics() {
    let bless = std::env::var_os("HACHER_BLESS").is_some();
    let files = files("wrong");
    assert!(files.len() >= 40, "only {} wrong files", files.len());
    let mut different = Vec::new();
    for path in files {
        let bytes = std::fs::read(&path).unwrap();
        let problems = match check_bytes(&bytes, &name(&path)) {
            Ok(checked) => checked.warnings().clone(),
            Err(problems) => problems,
        };
        assert!(!problems.is_empty(), "{} has no problem", name(&path));
        let rendered = problems.render(false);
        let expected_path = path.with_extension("expected");
        if bless {
            std::fs::write(&expected_path, &rendered).unwrap();
        }
        let expected = std::fs::read_to_string(&expected_path).unwrap_or_default();
        if expected != rendered {
            different.push(format!(
                "{}\n--- expected\n{expected}--- found\n{rendered}",
                name(&path)
            ));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

#[test]
fn every_valid_file_checks_without_a_warning_and_prints_to_itself() {
    for path in files("valid") {
        let text = std::fs::read_to_string(&path).unwrap();
        let checked = check(&text, &name(&path)).unwrap_or_else(|problems| panic!("{problems}"));
        assert!(checked.warnings().is_empty(), "{}", checked.warnings());
        let printed = checked.chain().to_toml();
        let again = check(&printed, "printed").unwrap_or_else(|problems| panic!("{problems}\n{printed}"));
        assert_eq!(again.chain(), checked.chain());
        assert_eq!(again.chain().to_toml(), printed);
    }
}

/// A code that nothing shows is a promise that nothing keeps.
#[test]
fn every_whole_chain_file_of_the_documents_checks() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut whole = 0;
    for document in ["README.md", "docs/chain.md", "docs/functions.md"] {
        let text = std::fs::read_to_string(root.join(document)).unwrap();
        let blocks = text.split("```toml\n").skip(1);
        for block in blocks.filter_map(|block| block.split("```").next()) {
            if block.lines().any(|line| line.starts_with("chain ")) {
                whole += 1;
                if let Err(problems) = check(block, document) {
                    panic!("{}", problems.render(false));
                }
            }
        }
    }
    assert!(whole >= 3, "{whole} found");
}

#[test]
fn every_code_that_the_checker_can_give_stands_in_the_corpus() {
    let found_by_the_caller = [
        Code::ExecMissing,
        Code::ExecNotExecutable,
        Code::SecretUnresolvable,
        Code::ExecNotUsable,
        Code::FileNotUsable,
        Code::PythonNotUsable,
        Code::AdaptorMissing,
        Code::LibraryMissing,
        Code::TlsNotUsable,
        Code::AddressTaken,
        Code::RouteTaken,
        Code::CertificateDoubtful,
        Code::MemoryPastMachine,
        Code::ProgramLibraryMissing,
        Code::RouteOverlap,
    ];
    let too_large_for_the_corpus = [Code::FileTooLarge, Code::TooMany, Code::ChainTooLarge];
    let mut seen: BTreeSet<Code> = found_by_the_caller
        .into_iter()
        .chain(too_large_for_the_corpus)
        .collect();
    for path in files("wrong") {
        let bytes = std::fs::read(&path).unwrap();
        match check_bytes(&bytes, "f") {
            Ok(checked) => seen.extend(checked.warnings().iter().map(|diagnostic| diagnostic.code())),
            Err(problems) => seen.extend(problems.iter().map(|diagnostic| diagnostic.code())),
        }
    }
    let missing: Vec<&Code> = Code::ALL.iter().filter(|code| !seen.contains(code)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn an_error_in_the_corpus_makes_no_chain_and_a_warning_does() {
    for path in files("wrong") {
        let bytes = std::fs::read(&path).unwrap();
        match check_bytes(&bytes, "f") {
            Ok(checked) => assert!(
                checked
                    .warnings()
                    .iter()
                    .all(|found| found.severity() == Severity::Warning)
            ),
            Err(problems) => assert!(problems.error_count() > 0),
        }
    }
}

/// An editor that ends lines in another way, or marks the encoding, changes no value.
#[test]
fn line_endings_and_a_byte_order_mark_are_no_part_of_any_value() {
    for path in files("valid") {
        let text = std::fs::read_to_string(&path).unwrap();
        let plain = text.trim_start_matches('\u{feff}').replace("\r\n", "\n");
        let other = format!("\u{feff}{}", plain.replace('\n', "\r\n"));
        let chain = |text: &str| {
            check(text, "f")
                .unwrap_or_else(|problems| panic!("{problems}"))
                .into_chain()
        };
        assert_eq!(chain(&plain), chain(&other), "{}", name(&path));
    }
}
