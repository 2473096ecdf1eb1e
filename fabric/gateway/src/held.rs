//! How a limit on what is held is told: by its value, the key that sets it, and what it would have to be.

/// `the limit is "32MiB" (ingress.max_body)`, and what it would have to be for so many bytes, if that is
/// known. Sizes are those of chain files.
pub(super) fn limit(limit_bytes: u64, key: &str, needed_bytes: Option<u64>) -> String {
    let limit = size(limit_bytes);
    match needed_bytes {
        None => format!("the limit is \"{limit}\" (`{key}`)"),
        Some(needed) => {
            let unit = if needed < 1 << 20 { 1 << 10 } else { 1 << 20 };
            let enough = size(needed.div_ceil(unit).saturating_mul(unit));
            format!("the limit is \"{limit}\" (`{key}`), raise it to \"{enough}\" or more")
        }
    }
}

/// A size in the largest unit that it is a whole number of.
fn size(bytes: u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let whole = units
        .iter()
        .find(|(unit, _)| bytes > 0 && bytes.is_multiple_of(*unit));
    match whole {
        Some((unit, name)) => format!("{}{name}", bytes / unit),
        None => format!("{bytes}B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_names_its_key_and_what_would_do() {
        for (bytes, needed, told) in [
            (32 << 20, None, "the limit is \"32MiB\" (`k`)"),
            (
                1 << 30,
                Some((1 << 30) + 1),
                "the limit is \"1GiB\" (`k`), raise it to \"1025MiB\" or more",
            ),
            (
                1000,
                Some(1001),
                "the limit is \"1000B\" (`k`), raise it to \"1KiB\" or more",
            ),
        ] {
            assert_eq!(limit(bytes, "k", needed), told);
        }
    }
}
