//! How a limit on what is held is told: by its value, the key that sets it, and what it would have to be.

/// `the limit is 32 MiB (ingress.max_body)`, and what it would have to be for so many bytes, if that is
/// known.
pub(super) fn limit(limit_bytes: u64, key: &str, needed_bytes: Option<u64>) -> String {
    let limit = size(limit_bytes, " ");
    match needed_bytes {
        None => format!("the limit is {limit} (`{key}`)"),
        Some(needed) => {
            let unit = if needed < 1 << 20 { 1 << 10 } else { 1 << 20 };
            let enough = size(needed.div_ceil(unit).saturating_mul(unit), "");
            format!("the limit is {limit} (`{key}`), and would have to be \"{enough}\" at least")
        }
    }
}

/// A size in the largest unit that it is a whole number of.
fn size(bytes: u64, space: &str) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let whole = units
        .iter()
        .find(|(unit, _)| bytes > 0 && bytes.is_multiple_of(*unit));
    match whole {
        Some((unit, name)) => format!("{}{space}{name}", bytes / unit),
        None => format!("{bytes}{space}B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_names_its_key_and_what_would_do() {
        for (bytes, needed, told) in [
            (32 << 20, None, "the limit is 32 MiB (`k`)"),
            (
                1 << 30,
                Some((1 << 30) + 1),
                "the limit is 1 GiB (`k`), and would have to be \"1025MiB\" at least",
            ),
            (
                1000,
                Some(1001),
                "the limit is 1000 B (`k`), and would have to be \"1KiB\" at least",
            ),
        ] {
            assert_eq!(limit(bytes, "k", needed), told);
        }
    }
}
