//! Whatever is taken apart is put together as it was, and no bytes do harm.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use hacher_evidence::{Evidence, Manifest};
use proptest::collection::vec;
use proptest::prelude::*;

const MANIFEST: &[u8] = include_bytes!("data/manifest.txt");
const EVIDENCE: &[u8] = include_bytes!("data/evidence.bin");

/// Lines as manifests have them, many of them slightly wrong.
fn line() -> impl Strategy<Value = String> {
    let known: Vec<String> = std::str::from_utf8(MANIFEST)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect();
    prop_oneof![
        8 => proptest::sample::select(known),
        1 => "[ -~]{0,40}",
        1 => "(layer|edge|function|carrier|chain|tls-key) [a-c ]{0,6} (enforced|missing|sealed|mapped|logs dropped)",
    ]
}

proptest! {
    #[test]
    fn any_bytes_are_refused_or_written_back(bytes in vec(any::<u8>(), 0..400)) {
        if let Ok(manifest) = Manifest::decode(&bytes) {
            prop_assert_eq!(manifest.encode(), &bytes[..]);
        }
        if let Ok(evidence) = Evidence::decode(&bytes) {
            prop_assert_eq!(evidence.encode(), &bytes[..]);
        }
    }

    #[test]
    fn any_lines_are_refused_or_written_back(lines in vec(line(), 0..30)) {
        let head = &std::str::from_utf8(MANIFEST).unwrap().split_inclusive('\n').take(9).collect::<String>();
        for before in ["", head] {
            let text = format!("{before}{}\n", lines.join("\n"));
            if let Ok(manifest) = Manifest::decode(text.as_bytes()) {
                prop_assert_eq!(manifest.encode(), text.as_bytes());
            }
        }
    }

    #[test]
    fn a_changed_example_is_refused_or_written_back(
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
        doubled in any::<bool>(),
    ) {
        for example in [MANIFEST, EVIDENCE] {
            let mut bytes = example.to_vec();
            for (at, byte) in &changes {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            if doubled {
                let from = cut.index(bytes.len());
                bytes.extend_from_within(from..);
            }
            if let Ok(manifest) = Manifest::decode(&bytes) {
                prop_assert_eq!(manifest.encode(), &bytes[..]);
            }
            if let Ok(evidence) = Evidence::decode(&bytes) {
                prop_assert_eq!(evidence.encode(), &bytes[..]);
            }
        }
    }
}
