//! Paths of source files, as debug information has them: in parts.

/// One path of several, of which each is relative to the one before, without `.` and `..`: a header that is
/// included in two ways is one file.
pub(super) fn joined(parts: &[&str]) -> String {
    let begin = parts.iter().rposition(|part| part.starts_with('/')).unwrap_or(0);
    let mut names: Vec<&str> = Vec::new();
    for name in parts.iter().skip(begin).flat_map(|part| part.split('/')) {
        match name {
            "" | "." => {}
            ".." if names.last().is_some_and(|last| *last != "..") => drop(names.pop()),
            name => names.push(name),
        }
    }
    let root = if parts.get(begin).is_some_and(|part| part.starts_with('/')) {
        "/"
    } else {
        ""
    };
    format!("{root}{}", names.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_however_it_was_reached() {
        assert_eq!(joined(&["/w", "a/b", "c.rs"]), "/w/a/b/c.rs");
        assert_eq!(joined(&["/w", "../x", "./c.rs"]), "/x/c.rs");
        assert_eq!(joined(&["/w", "/a", "c.rs"]), "/a/c.rs");
        assert_eq!(joined(&["/w", "a", "/c.rs"]), "/c.rs");
        assert_eq!(joined(&["", "a/../..", "c.rs"]), "../c.rs");
    }
}
