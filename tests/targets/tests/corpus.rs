//! Replays what fuzzers have found worth keeping, and a little noise, through the functions that the fuzzers
//! call.
#![allow(clippy::unwrap_used, reason = "test code")]

use hacher_fuzz_targets::TARGETS;
use std::fs;
use std::path::{Path, PathBuf};

fn corpus(target: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/corpus")
        .join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn every_file_of_every_corpus_is_taken_without_a_panic() {
    for &(name, target) in TARGETS {
        let files = corpus(name);
        assert!(!files.is_empty(), "{name} has a corpus");
        for file in files {
            println!("{}", file.display());
            target(&fs::read(file).unwrap());
        }
    }
}

#[test]
fn changed_and_cut_files_are_taken_too() {
    for &(name, target) in TARGETS {
        for file in corpus(name).into_iter().take(20) {
            let whole = fs::read(&file).unwrap();
            for step in 1..8 {
                let mut changed = whole.clone();
                for at in (step * 3..changed.len()).step_by(step * 17) {
                    if let Some(byte) = changed.get_mut(at) {
                        *byte = byte.wrapping_mul(31).wrapping_add(7);
                    }
                }
                target(&changed);
                target(whole.get(..whole.len() * step / 8).unwrap());
            }
        }
    }
}

#[test]
fn each_target_has_its_fuzzer() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/Cargo.toml");
    let manifest = fs::read_to_string(manifest).unwrap();
    for &(name, _) in TARGETS {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
    }
}
