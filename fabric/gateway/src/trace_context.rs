//! Trace context as W3C has it: `traceparent` travels if it is one, `tracestate` only beside it. What is
//! wrong with either never costs a request its answer.

use super::target::connection_options;
use hyper::HeaderMap;
use hyper::header::HeaderValue;

/// Most members of a `tracestate` (section 3.3.1.1).
const MEMBERS_MAX: usize = 32;
/// Bytes of a `traceparent` of version 00, and least of a later one.
const PARENT_BYTES: usize = 55;

/// The trace that a request belongs to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TraceContext<'m> {
    pub(super) parent: &'m str,
    pub(super) state: Option<String>,
}

impl<'m> TraceContext<'m> {
    /// Of the headers of a request; `None` if there is none, or none that is valid. What the client names as
    /// its connection's ends here.
    pub(super) fn of(headers: &'m HeaderMap) -> Option<Self> {
        let ends_here = |name: &str| {
            connection_options(headers).any(|option| option.eq_ignore_ascii_case(name.as_bytes()))
        };
        if ends_here("traceparent") {
            return None;
        }
        let mut parents = headers.get_all("traceparent").iter();
        let parent = text(parents.next()?).filter(|parent| is_parent(parent))?;
        // Of two, nobody knows which is meant.
        if parents.next().is_some() {
            return None;
        }
        Some(Self {
            parent,
            state: state(headers).filter(|_| !ends_here("tracestate")),
        })
    }
}

fn text(value: &HeaderValue) -> Option<&str> {
    core::str::from_utf8(value.as_bytes()).ok()
}

/// Section 3.2: version, trace, parent and flags in lower-case hexadecimal digits. Later versions may go on
/// behind another dash; version ff is none.
fn is_parent(text: &str) -> bool {
    let Some((head, rest)) = text.split_at_checked(PARENT_BYTES) else {
        return false;
    };
    let mut fields = head.split('-');
    let mut field = |digits: usize| {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let field = fields.next()?;
        (field.len() == digits && field.bytes().all(is_digit)).then_some(field)
    };
    let (version, trace, parent, flags) = (field(2), field(32), field(16), field(2));
    let (Some(version), Some(trace), Some(parent), Some(_)) = (version, trace, parent, flags) else {
        return false;
    };
    let is_zero = |field: &str| field.bytes().all(|byte| byte == b'0');
    let ends = match version {
        "ff" => false,
        "00" => rest.is_empty(),
        _ => rest.is_empty() || rest.starts_with('-'),
    };
    ends && !is_zero(trace) && !is_zero(parent)
}

/// Section 3.3: the members of all lines, in their order, without empty ones; nothing if one of them is none.
fn state(headers: &HeaderMap) -> Option<String> {
    let mut members: Vec<&str> = Vec::new();
    for line in headers.get_all("tracestate") {
        let listed = text(line)?
            .split(',')
            .map(|member| member.trim_matches([' ', '\t']));
        for member in listed.filter(|member| !member.is_empty()) {
            // Before anything is compared with all others.
            if members.len() == MEMBERS_MAX {
                return None;
            }
            members.push(member);
        }
    }
    let keys = members
        .iter()
        .map(|member| key_of(member))
        .collect::<Option<Vec<_>>>()?;
    let is_repeated = (1..)
        .zip(&keys)
        .any(|(next, key)| keys.iter().skip(next).any(|other| other == key));
    (!members.is_empty() && !is_repeated).then(|| members.join(","))
}

/// The key of a member, if it is one.
fn key_of(member: &str) -> Option<&str> {
    let (key, value) = member.split_once('=')?;
    let is_key_byte = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/');
    let is_part = |part: &str, max: usize, may_begin_with_digit: bool| {
        let begins = part.bytes().next().is_some_and(|first| {
            first.is_ascii_lowercase() || (may_begin_with_digit && first.is_ascii_digit())
        });
        begins && part.len() <= max && part.bytes().all(is_key_byte)
    };
    let is_key = match key.split_once('@') {
        Some((tenant, system)) => is_part(tenant, 241, true) && is_part(system, 14, false),
        None => is_part(key, 256, true),
    };
    let is_value = (1..=256).contains(&value.len())
        && value
            .bytes()
            .all(|byte| matches!(byte, 0x20..=0x7e) && byte != b'=' && byte != b',')
        && !value.ends_with(' ');
    (is_key && is_value).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderName;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn context(fields: &[(&str, &str)]) -> Option<(String, Option<String>)> {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                value.parse().unwrap(),
            );
        }
        TraceContext::of(&map).map(|context| (context.parent.to_owned(), context.state))
    }

    #[test]
    fn a_trace_that_is_named_as_the_connections_ends_here() {
        let with = |option| {
            context(&[
                ("traceparent", PARENT),
                ("tracestate", "a=1"),
                ("connection", option),
            ])
        };
        let state = |state: Option<&str>| Some((PARENT.to_owned(), state.map(str::to_owned)));
        assert_eq!(with("close"), state(Some("a=1")));
        assert_eq!(with("close, TraceState"), state(None));
        assert_eq!(with("traceparent"), None);
    }

    fn is_taken(parent: &str) -> bool {
        context(&[("traceparent", parent)]).is_some()
    }

    #[test]
    fn a_parent_is_what_section_3_2_says() {
        for parent in [
            PARENT,
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ff",
            "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-the-future-holds",
            "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-",
        ] {
            assert!(is_taken(parent), "{parent}");
        }
        for parent in [
            "",
            "00-1",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-B7AD6B7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.",
            "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.x",
            "0-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-001",
            "00_0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331_01",
            "00-.af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319-b7ad6b71692033310-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0x",
        ] {
            assert!(!is_taken(parent), "{parent}");
        }
        assert_eq!(context(&[("traceparent", PARENT), ("traceparent", PARENT)]), None);
    }

    #[test]
    fn a_state_is_what_section_3_3_says_and_never_travels_alone() {
        let state = |lines: &[&str]| {
            let lines = lines.iter().map(|line| ("tracestate", *line));
            let fields: Vec<_> = [("traceparent", PARENT)].into_iter().chain(lines).collect();
            context(&fields).unwrap().1
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(state(&["foo=1"]), some("foo=1"));
        assert_eq!(state(&["foo=1,bar=2"]), some("foo=1,bar=2"));
        assert_eq!(state(&["foo=1", "bar=2"]), some("foo=1,bar=2"));
        assert_eq!(state(&["foo=1 \t , \t bar=2, ,baz=3"]), some("foo=1,bar=2,baz=3"));
        assert_eq!(state(&["", "foo=1"]), some("foo=1"));
        assert_eq!(
            state(&["f_-*/1=a b", "1a-2f@foo=1"]),
            some("f_-*/1=a b,1a-2f@foo=1")
        );
        let (long, longest) = (format!("{}=1", "z".repeat(257)), format!("{}=1", "z".repeat(256)));
        assert_eq!(state(&[&longest]), Some(longest.clone()));
        let vendor = format!("{}@{}=1", "t".repeat(241), "v".repeat(14));
        assert_eq!(state(&[&vendor]), Some(vendor.clone()));
        let many: Vec<String> = (0..33).map(|at| format!("k{at}=1")).collect();
        assert_eq!(state(&[&many[..32].join(",")]), Some(many[..32].join(",")));
        let too_long = format!("k={}", "v".repeat(257));
        let tenant = format!("{}@v=1", "t".repeat(242));
        let system = format!("t@{}=1", "v".repeat(15));
        for wrong in [
            "",
            "foo",
            "foo=",
            "=1",
            "foo =1",
            "FOO=1",
            "foo.bar=1",
            "foo@=1,bar=2",
            "@foo=1",
            "foo@@bar=1",
            "foo@bar@baz=1",
            "foo=1=2",
            "foo=1,foo=2",
            "_a=1",
            "t@1v=1",
            &long,
            &too_long,
            &tenant,
            &system,
            &many.join(","),
        ] {
            assert_eq!(state(&[wrong]), None, "{wrong}");
        }
        assert_eq!(context(&[("tracestate", "foo=1")]), None);
        assert_eq!(context(&[("traceparent", "00-1"), ("tracestate", "foo=1")]), None);
    }
}
