//! The nearest known name to one that is not known, for "did you mean".

/// Longer names are never compared: the cost is the product of both lengths.
const MAX_LEN: usize = 64;

/// The known name that is closest to `name`, if one is close enough to be what was meant.
pub(crate) fn nearest<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    if name.is_empty() || name.len() > MAX_LEN {
        return None;
    }
    let lower = name.to_lowercase();
    let allowed = (lower.chars().count() / 3).max(1);
    known
        .into_iter()
        .filter(|candidate| candidate.len() <= MAX_LEN)
        .map(|candidate| (distance(&lower, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= allowed && *distance < candidate.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Edits between two words: insert, delete, replace, or swap two neighbours (optimal string alignment).
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=to.len()).collect();
    let mut last_from = None;
    for (row, from_char) in from.chars().enumerate() {
        let mut current = vec![row + 1];
        let mut last_to = None;
        for (column, to_char) in to.iter().copied().enumerate() {
            let at = |line: &[usize], index: usize| line.get(index).copied().unwrap_or(usize::MAX / 2);
            let replace = at(&above, column) + usize::from(from_char != to_char);
            let mut best = replace
                .min(at(&above, column + 1) + 1)
                .min(at(&current, column) + 1);
            if last_from == Some(to_char) && last_to == Some(from_char) {
                best = best.min(at(&before, column.wrapping_sub(1)) + 1);
            }
            current.push(best);
            last_to = Some(to_char);
        }
        before = std::mem::replace(&mut above, current);
        last_from = Some(from_char);
    }
    above.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_finds_its_word() {
        let known = ["memory", "timeout", "max_body", "ports"];
        assert_eq!(nearest("memroy", known), Some("memory"));
        assert_eq!(nearest("Timeout", known), Some("timeout"));
        assert_eq!(nearest("maxbody", known), Some("max_body"));
        assert_eq!(nearest("port", known), Some("ports"));
    }

    #[test]
    fn a_strange_word_finds_nothing() {
        assert_eq!(nearest("colour", ["memory", "timeout"]), None);
        assert_eq!(nearest("x", ["a"]), None);
        assert_eq!(nearest("", ["a"]), None);
    }

    #[test]
    fn edits_and_swaps_are_counted() {
        assert_eq!(distance("abcd", "abdc"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
