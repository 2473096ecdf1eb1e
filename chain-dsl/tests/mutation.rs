//! Valid files, damaged in every small way: each gives a chain or a diagnostic with a line, never a panic.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use std::path::Path;

use hacher_chain_dsl::check;

/// A small generator with a fixed seed, so that a failure comes back.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(bound.max(1)).unwrap()).unwrap()
    }
}

const PIECES: &[&str] = &[
    "->",
    "=>",
    "&",
    "|",
    ".",
    "\"",
    "'",
    "[",
    "]",
    "{",
    "}",
    "=",
    ",",
    "\n",
    "#",
    "-",
    " ",
    "\u{0}",
    "\\",
    "é",
    "0",
    "1MiB",
    "\"\"\"",
    "ingress",
    "egress",
    "error",
    "[function.a]\n",
    "ports",
    "true",
    "1.5",
    "-1",
    "99999999999999999999",
];

/// One change: delete, double, replace, insert or swap, of a byte or of a token.
fn mutate(text: &str, dice: &mut Dice) -> String {
    let chars: Vec<char> = text.chars().collect();
    let at = dice.below(chars.len());
    let token_len = 1 + chars[at..]
        .iter()
        .skip(1)
        .take_while(|c| c.is_alphanumeric())
        .count();
    let len = if dice.below(2) == 0 { 1 } else { token_len };
    let (before, rest) = chars.split_at(at);
    let (piece, after) = rest.split_at(len.min(rest.len()));
    let random = PIECES[dice.below(PIECES.len())];
    let middle: String = match dice.below(5) {
        0 => String::new(),
        1 => piece.iter().chain(piece).collect(),
        2 => random.to_owned(),
        3 => piece.iter().collect::<String>() + random,
        _ => piece.iter().rev().collect(),
    };
    before.iter().collect::<String>() + &middle + &after.iter().collect::<String>()
}

#[test]
fn two_thousand_damaged_files_give_a_chain_or_a_diagnostic_with_a_line() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/valid");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let mut dice = Dice(0x5eed_cafe);
    let (mut good, mut wrong) = (0, 0);
    for round in 0..2000 {
        let original = std::fs::read_to_string(&files[round % files.len()]).unwrap();
        let mut text = original;
        for _ in 0..=dice.below(3) {
            text = mutate(&text, &mut dice);
        }
        match check(&text, "mutant.toml") {
            Ok(checked) => {
                good += 1;
                let printed = checked.chain().to_toml();
                assert_eq!(
                    check(&printed, "printed").unwrap().chain(),
                    checked.chain(),
                    "{text}"
                );
            }
            Err(problems) => {
                wrong += 1;
                assert!(problems.error_count() > 0, "{text}");
                for found in &problems {
                    let (start, end) = problems.positions(found.primary().span());
                    assert!(start.line >= 1 && start.column >= 1 && end >= start, "{text}");
                    assert!(start.line <= text.split('\n').count(), "{text}");
                    assert!(!found.message().is_empty());
                }
                let rendered = problems.render(false);
                assert!(rendered.contains("mutant.toml:"), "{rendered}");
                assert_eq!(
                    rendered.matches("\nerror[").count() + usize::from(rendered.starts_with("error[")),
                    problems.error_count()
                );
                serde_json::to_string(&problems).unwrap();
            }
        }
    }
    assert!(
        wrong >= 1000 && good >= 100,
        "{wrong} wrong, {good} good: the mutations test too little"
    );
}
