//! Paths that are the gateway's own, below which no chain has a route.

/// Their first segments.
pub const FIRST_SEGMENTS: [&str; 4] = ["chains", "evidence", "healthz", "readyz"];

/// Whether a path is the gateway's own, or below one that is.
#[must_use]
pub fn is_own(path: &str) -> bool {
    let mut segments = path.split('/');
    segments.next() == Some("")
        && segments
            .next()
            .is_some_and(|first| FIRST_SEGMENTS.contains(&first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gateways_paths_are_whole_segments() {
        for path in ["/chains", "/chains/", "/healthz/x", "/readyz", "/evidence/a/b"] {
            assert!(is_own(path), "{path}");
        }
        for path in [
            "",
            "/",
            "*",
            "/chainsx",
            "/a/chains",
            "chains",
            "//chains",
            "/Chains",
        ] {
            assert!(!is_own(path), "{path}");
        }
    }
}
