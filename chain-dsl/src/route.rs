//! The path at which a chain stands besides `/chains/NAME`: literal segments, captures, and perhaps the rest
//! of the path.

use crate::code::Code;
use crate::diagnostic::{Diagnostic, Problems};
use crate::keys;
use crate::section::{Entry, excerpt, string};
use crate::source::Spanned;

/// What is expected, in words.
const EXPECTED: &str = "a path such as \"/thumbs/{size}\"";

/// A checked route: it begins with `/`, and each segment is literal or a capture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    text: String,
    segments: Vec<Segment>,
}

/// What one segment of a path has to be.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    /// Exactly this.
    Literal(String),
    /// Anything that is not empty; functions find it by this name.
    Capture(String),
    /// This segment and all that follow, as the last of a route.
    Rest(String),
}

impl Route {
    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The names of its captures, in their order.
    pub fn captures(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Literal(_) => None,
            Segment::Capture(name) | Segment::Rest(name) => Some(name.as_str()),
        })
    }

    /// Whether no path tells it from `other`: where two routes take a path, the one has it that is literal at
    /// the first segment where they differ, and a capture comes before the rest of a path.
    #[must_use]
    pub fn conflicts_with(&self, other: &Self) -> bool {
        let is_same = |(one, another): (&Segment, &Segment)| match (one, another) {
            (Segment::Literal(one), Segment::Literal(another)) => one == another,
            (Segment::Capture(_), Segment::Capture(_)) | (Segment::Rest(_), Segment::Rest(_)) => true,
            _ => false,
        };
        self.segments.len() == other.segments.len() && self.segments.iter().zip(&other.segments).all(is_same)
    }

    /// Whether both routes take one path: which of them has it, [`Self::conflicts_with`] tells.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        overlap(&self.segments, &other.segments)
    }
}

fn overlap(one: &[Segment], other: &[Segment]) -> bool {
    let pairs = one.iter().zip(other);
    for pair in pairs {
        match pair {
            // A catch-all matches any rest that is not empty.
            (Segment::Rest(_), _) | (_, Segment::Rest(_)) => return true,
            (Segment::Literal(one), Segment::Literal(other)) if one != other => return false,
            _ => {}
        }
    }
    one.len() == other.len()
}

/// The route that an entry holds.
pub(crate) fn route(entry: &Entry<'_>, problems: &mut Problems) -> Option<Spanned<Route>> {
    let text = string(entry, EXPECTED, problems)?;
    match parse(text) {
        Ok(segments) => {
            let text = text.to_owned();
            Some(Spanned::new(Route { text, segments }, entry.span()))
        }
        Err((label, help)) => {
            let message = format!("\"{}\" is not a route", excerpt(text));
            let problem =
                Diagnostic::new(Code::BadRoute, entry.span(), message, label).with_expected(EXPECTED);
            problems.push(match help {
                Some(help) => problem.with_help(help),
                None => problem,
            });
            None
        }
    }
}

type Wrong = (&'static str, Option<String>);

fn parse(text: &str) -> Result<Vec<Segment>, Wrong> {
    if text.len() > keys::MAX_ROUTE_BYTES {
        return Err(("a route has at most 256 bytes", None));
    }
    let Some(path) = text.strip_prefix('/') else {
        return Err((
            "a route begins with `/`",
            Some(format!("write \"/{}\"", excerpt(text))),
        ));
    };
    if path.is_empty() {
        return Ok(Vec::new());
    }
    let parts: Vec<&str> = path.split('/').collect();
    if parts.len() > keys::MAX_ROUTE_SEGMENTS {
        return Err(("a route has at most 16 segments", None));
    }
    if parts
        .first()
        .is_some_and(|first| keys::RESERVED_PATHS.contains(first))
    {
        return Err((
            "the gateway's own",
            Some(format!(
                "/{} are the gateway's; choose another",
                keys::RESERVED_PATHS.join(", /")
            )),
        ));
    }
    let mut segments: Vec<Segment> = Vec::new();
    for (at, part) in parts.iter().enumerate() {
        let segment = segment(part)?;
        if matches!(segment, Segment::Rest(_)) && at + 1 < parts.len() {
            return Err(("`{*NAME}` takes the rest of the path, so it stands last", None));
        }
        segments.push(segment);
    }
    let route = Route {
        text: String::new(),
        segments,
    };
    let names: Vec<&str> = route.captures().collect();
    let is_twice = (1..)
        .zip(&names)
        .any(|(next, name)| names.iter().skip(next).any(|other| other == name));
    if is_twice {
        return Err(("two captures have one name", None));
    }
    Ok(route.segments)
}

fn segment(part: &str) -> Result<Segment, Wrong> {
    if let Some(inner) = part.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
        let (name, is_rest) = inner
            .strip_prefix('*')
            .map_or((inner, false), |name| (name, true));
        let is_name = name.len() <= keys::MAX_CAPTURE_BYTES
            && name.starts_with(|first: char| first.is_ascii_lowercase())
            && name
                .bytes()
                .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'));
        if !is_name {
            return Err((
                "a capture is named by 1 to 32 lower-case letters, digits, `-` and `_`, a letter first",
                None,
            ));
        }
        let name = name.to_owned();
        return Ok(if is_rest {
            Segment::Rest(name)
        } else {
            Segment::Capture(name)
        });
    }
    if part.is_empty() {
        return Err((
            "an empty segment",
            Some("write one `/` between segments, and none at the end".to_owned()),
        ));
    }
    if part.contains(['{', '}']) {
        return Err(("a capture is a whole segment, as in \"/thumbs/{size}\"", None));
    }
    let is_literal = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte);
    if matches!(part, "." | "..") || !part.bytes().all(is_literal) {
        return Err((
            "a segment is letters, digits and -._~!$&'()*+,;=:@, and neither `.` nor `..`",
            None,
        ));
    }
    Ok(Segment::Literal(part.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Route {
        let text = text.to_owned();
        let segments = parse(&text).unwrap();
        Route { text, segments }
    }

    #[test]
    fn a_route_is_literals_and_captures() {
        let route = of("/thumbs/{size}/{*rest}");
        assert_eq!(route.captures().collect::<Vec<_>>(), ["size", "rest"]);
        assert_eq!(of("/").segments, []);
        for text in [
            "",
            "thumbs",
            "//",
            "/a//b",
            "/a/",
            "/a b",
            "/a%20b",
            "/{a",
            "/a}",
            "/x{a}",
            "/{A}",
            "/{}",
            "/{*}",
            "/{1}",
            "/{*a}/b",
            "/{a}/{a}",
            "/{a}/{*a}",
            "/./a",
            "/..",
            "/a?b",
            "/a#b",
            "/\u{e4}",
            "/healthz",
            "/chains/x",
            "/evidence/{a}",
            "/readyz",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse(&format!("/{}", "a".repeat(256))).is_err());
        assert!(parse(&"/a".repeat(17)).is_err());
        assert!(parse(&format!("/{{{}}}", "a".repeat(33))).is_err());
        assert!(parse("/healthzz/chains").is_ok());
    }

    #[test]
    fn routes_conflict_where_no_path_tells_them_apart() {
        for (one, other, conflicts) in [
            ("/a", "/a", true),
            ("/a/{x}", "/a/{y}", true),
            ("/{*x}", "/{*y}", true),
            ("/a/{x}", "/a/b", false),
            ("/a/{x}", "/a/{*x}", false),
            ("/a/{x}/c", "/{y}/b/c", false),
            ("/a", "/a/{x}", false),
            ("/", "/{*x}", false),
        ] {
            assert_eq!(of(one).conflicts_with(&of(other)), conflicts, "{one} {other}");
            assert_eq!(of(other).conflicts_with(&of(one)), conflicts, "{other} {one}");
        }
    }

    #[test]
    fn routes_overlap_where_a_path_is_both() {
        for (one, other, overlaps) in [
            ("/a", "/a", true),
            ("/a/{x}", "/a/b", true),
            ("/a/{x}", "/a/{*x}", true),
            ("/a/{x}/c", "/{y}/b/c", true),
            ("/a/{*x}", "/{y}/b/c", true),
            ("/{*x}", "/a", true),
            ("/a", "/b", false),
            ("/a", "/a/{x}", false),
            ("/a", "/a/{*x}", false),
            ("/", "/{*x}", false),
            ("/a/{x}/c", "/a/{x}/d", false),
            ("/a/b/{*x}", "/a/c/{*x}", false),
        ] {
            assert_eq!(of(one).overlaps(&of(other)), overlaps, "{one} {other}");
            assert_eq!(of(other).overlaps(&of(one)), overlaps, "{other} {one}");
        }
    }
}
