//! The route of a chain: which paths are its, and what they capture. The chain language has checked it
//! (`chain-dsl/src/route.rs`).

use hacher_http::own_paths::is_own;

/// A route, segment by segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern(Vec<Segment>);

/// What a segment of a path has to be; in the order in which routes come first where several take a path.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Literal(String),
    /// Any that is not empty.
    Capture(String),
    /// This one and all that follow.
    Rest(String),
}

/// A path that a route takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Match {
    /// Names and values, percent-encoded as the path is.
    pub(super) captures: Vec<(String, Captured)>,
    /// The least of several routes has the path.
    pub(super) rank: Vec<u8>,
}

/// What a capture took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Captured {
    /// One segment.
    Segment(String),
    /// The rest of a path, whose slashes tell its segments apart.
    Rest(String),
}

impl Pattern {
    pub(super) fn new(route: &str) -> Self {
        let path = route.strip_prefix('/').unwrap_or(route);
        Self(segments(path).map(Segment::new).collect())
    }

    /// Whether a path is this route's. The gateway's own paths are no route's, however much it would take.
    pub(super) fn takes(&self, path: &str) -> Option<Match> {
        if is_own(path) {
            return None;
        }
        let mut rest = Some(path.strip_prefix('/')?).filter(|path| !path.is_empty());
        let mut captures = Vec::new();
        for segment in &self.0 {
            let left = rest?;
            let (first, behind) = left
                .split_once('/')
                .map_or((left, None), |(first, behind)| (first, Some(behind)));
            rest = behind;
            match segment {
                Segment::Literal(literal) if literal == first => {}
                Segment::Literal(_) => return None,
                Segment::Capture(_) if first.is_empty() => return None,
                Segment::Capture(name) => captures.push((name.clone(), Captured::Segment(first.to_owned()))),
                Segment::Rest(_) if left.is_empty() => return None,
                Segment::Rest(name) => {
                    captures.push((name.clone(), Captured::Rest(left.to_owned())));
                    rest = None;
                }
            }
        }
        let rank = self.0.iter().map(Segment::rank).collect();
        rest.is_none().then_some(Match { captures, rank })
    }
}

/// The segments of a path without its first slash; none of an empty one.
fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(move |_| !path.is_empty())
}

impl Segment {
    fn new(text: &str) -> Self {
        let name = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        match name.map(|name| name.strip_prefix('*').ok_or(name)) {
            None => Self::Literal(text.to_owned()),
            Some(Ok(rest)) => Self::Rest(rest.to_owned()),
            Some(Err(name)) => Self::Capture(name.to_owned()),
        }
    }

    const fn rank(&self) -> u8 {
        match self {
            Self::Literal(_) => 0,
            Self::Capture(_) => 1,
            Self::Rest(_) => 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(route: &str, path: &str) -> Option<Vec<(String, String)>> {
        let found = Pattern::new(route).takes(path)?;
        let text = |captured| match captured {
            Captured::Segment(text) | Captured::Rest(text) => text,
        };
        Some(
            found
                .captures
                .into_iter()
                .map(|(name, captured)| (name, text(captured)))
                .collect(),
        )
    }

    #[test]
    fn a_route_takes_whole_paths_of_its_form() {
        let is = |route, path, expected: &[(&str, &str)]| {
            let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
            assert_eq!(
                taken(route, path),
                Some(expected.iter().map(owned).collect()),
                "{route} {path}"
            );
        };
        is("/", "/", &[]);
        is("/thumbs", "/thumbs", &[]);
        is("/thumbs/{size}", "/thumbs/640", &[("size", "640")]);
        is("/t/{a}/x/{b}", "/t/%2F/x/2", &[("a", "%2F"), ("b", "2")]);
        is("/t/{*rest}", "/t/a/b/", &[("rest", "a/b/")]);
        is("/{*all}", "/a", &[("all", "a")]);
        for (route, path) in [
            ("/", ""),
            ("/", "/a"),
            ("/thumbs", "/thumbs/"),
            ("/thumbs", "/thumbsx"),
            ("/thumbs/{size}", "/thumbs"),
            ("/thumbs/{size}", "/thumbs/"),
            ("/thumbs/{size}", "/thumbs/1/"),
            ("/thumbs/{size}", "/thumbs/1/2"),
            ("/thumbs/{size}", "//thumbs/1"),
            ("/t/{*rest}", "/t"),
            ("/t/{*rest}", "/t/"),
            ("/{*all}", "/"),
            ("/t", "*"),
            ("/{page}", "/chains"),
            ("/{*rest}", "/healthz/x"),
            ("/{*rest}", "/chains/t"),
            ("/{a}/{b}", "/evidence/x"),
        ] {
            assert_eq!(taken(route, path), None, "{route} {path}");
        }
    }

    #[test]
    fn what_is_literal_comes_before_what_is_captured() {
        let rank = |route: &str| Pattern::new(route).takes("/a/b/c").unwrap().rank;
        let ordered = [
            "/a/b/c",
            "/a/b/{x}",
            "/a/b/{*x}",
            "/a/{x}/c",
            "/a/{*x}",
            "/{x}/b/c",
            "/{*x}",
        ];
        assert!(ordered.map(rank).is_sorted());
    }
}
