//! Which chains, functions and requests an operator asks for: the query of `/status` and `/traces`.

use hacher_http::percent;

/// Longest query that is looked at; names and ids are much shorter.
const QUERY_MAX_BYTES: usize = 4096;
/// Hexadecimal digits of an id that traces and logs have, and of a whole one.
const ID_DIGITS: usize = 16;
const WHOLE_ID_DIGITS: usize = 32;

/// What is asked for; everything, where nothing is said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Filter {
    /// Of this chain.
    pub chain: Option<String>,
    /// Of this function.
    pub function: Option<String>,
    /// Of the request whose id ends with this.
    pub invocation: Option<u64>,
    /// What is wrong, or went wrong, alone.
    pub failed: bool,
    /// No more than so many.
    pub limit: Option<usize>,
}

impl Filter {
    /// Reads a query that may have these keys.
    ///
    /// # Errors
    /// What is wrong with it, for whoever asked.
    pub(super) fn parse(query: Option<&str>, keys: &[&str]) -> Result<Self, String> {
        let query = query.unwrap_or_default();
        if query.len() > QUERY_MAX_BYTES {
            return Err(format!("a query has at most {QUERY_MAX_BYTES} bytes"));
        }
        let mut filter = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = decoded(value)
                .ok_or_else(|| format!("the value of `{}` is not encoded as a query is", shown(key)))?;
            if !keys.contains(&key) {
                return Err(format!(
                    "there is no filter `{}` here; known filters: {}",
                    shown(key),
                    keys.join(", ")
                ));
            }
            match key {
                "chain" => filter.chain = Some(value),
                "function" => filter.function = Some(value),
                "invocation" => filter.invocation = Some(low_half(&value)?),
                "failed" => filter.failed = truth(&value)?,
                _ => {
                    let limit = value
                        .parse()
                        .map_err(|_| "`limit` is a number of traces".to_owned())?;
                    filter.limit = Some(limit);
                }
            }
        }
        Ok(filter)
    }

    /// Whether a chain of this name is asked for.
    pub(super) fn wants_chain(&self, name: &str) -> bool {
        self.chain.as_ref().is_none_or(|chain| chain == name)
    }

    /// Whether a function of this name is asked for.
    pub(super) fn wants_function(&self, name: &str) -> bool {
        self.function.as_ref().is_none_or(|function| function == name)
    }
}

/// The low half of an id, of which a client may know the whole.
fn low_half(id: &str) -> Result<u64, String> {
    let digits = id.trim();
    let is_id = matches!(digits.len(), ID_DIGITS | WHOLE_ID_DIGITS);
    digits
        .len()
        .checked_sub(ID_DIGITS)
        .filter(|_| is_id && digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
        .and_then(|from| u64::from_str_radix(digits.get(from..)?, 16).ok())
        .ok_or_else(|| {
            format!("`invocation` has {ID_DIGITS} hexadecimal digits, as in the header `hacher-invocation`")
        })
}

fn truth(value: &str) -> Result<bool, String> {
    match value {
        "" | "1" | "true" => Ok(true),
        "0" | "false" => Ok(false),
        _ => Err("`failed` is `true` or `false`".to_owned()),
    }
}

fn shown(text: &str) -> String {
    text.escape_debug().take(64).collect()
}

/// A value without its percent-encoding; nothing if that is broken, or what it stands for is no text.
fn decoded(value: &str) -> Option<String> {
    let (before, escapes) = percent::escapes(value);
    let mut bytes = before.as_bytes().to_vec();
    for escape in escapes {
        let (byte, rest) = escape?;
        bytes.push(byte);
        bytes.extend(rest.bytes());
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &[&str] = &["chain", "function", "invocation", "failed", "limit"];

    #[test]
    fn a_query_is_understood_as_a_whole_or_refused() {
        let id = "00112233445566778899AABBCCDDEEFF";
        let query = format!("chain=a%2Db&function=f&invocation={id}&failed&limit=3");
        let filter = Filter::parse(Some(&query), ALL).unwrap();
        let expected = Filter {
            chain: Some("a-b".to_owned()),
            function: Some("f".to_owned()),
            invocation: Some(0x8899_aabb_ccdd_eeff),
            failed: true,
            limit: Some(3),
        };
        assert_eq!(filter, expected);
        assert_eq!(Filter::parse(None, ALL), Ok(Filter::default()));
        assert_eq!(Filter::parse(Some("&"), ALL), Ok(Filter::default()));
        assert!(Filter::parse(Some("chain=t"), &["function"]).is_err());
        let bad = [
            "colour=x",
            "invocation=",
            "invocation=1",
            "invocation=+011223344556677",
            "failed=maybe",
            "limit=-1",
            "chain=%4",
            "chain=%zz",
            "chain=%+1",
            "chain=%ff",
            "%",
        ];
        for query in bad {
            assert!(Filter::parse(Some(query), ALL).is_err(), "{query}");
        }
        assert!(Filter::parse(Some(&"a".repeat(5000)), ALL).is_err());
    }
}
