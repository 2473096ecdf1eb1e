//! What a client asks for: `nonce=HEX`, and perhaps `chain=NAME`.

use hacher_libos_net::attach::{NONCE_BYTES, evidence_purpose};
use hacher_libos_net::name::Name;

/// A nonce, and the chain that is meant; none for all that the gateway serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Question {
    /// One of [`evidence_purpose`].
    purpose: u32,
    nonce: [u8; NONCE_BYTES],
    chain: Option<Name>,
}

/// Why a query is no question, to be read by its author.
pub(in super::super) type Fault = &'static str;

impl Question {
    /// Reads the query of a target. The nonce is the client's, whatever the query says.
    pub(in super::super) fn of_query(query: &str) -> Result<Self, Fault> {
        let (mut nonce, mut chain) = (None, None);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let already = match name {
                "nonce" => nonce.replace(value),
                "chain" => chain.replace(value),
                _ => return Err("only the parameters nonce and chain are known here"),
            };
            if already.is_some() {
                return Err("a parameter is given twice");
            }
        }
        let nonce = nonce.ok_or(NONCE)?;
        Ok(Self {
            purpose: evidence_purpose::NONCE,
            nonce: decode(nonce).ok_or(NONCE)?,
            chain: chain
                .map(Name::new)
                .transpose()
                .map_err(|_| "there is no such chain")?,
        })
    }

    pub(super) const fn purpose(&self) -> u32 {
        self.purpose
    }

    pub(super) const fn nonce(&self) -> &[u8; NONCE_BYTES] {
        &self.nonce
    }

    /// The name of the chain; no name for all.
    pub(super) fn chain(&self) -> Name {
        self.chain.unwrap_or_else(Name::none)
    }

    /// The chain that is meant, if one is.
    pub(in super::super) fn named(&self) -> Option<&str> {
        self.chain.as_ref().map(Name::as_str)
    }
}

const NONCE: Fault = "nonce must be 128 hex digits: 64 bytes that you have used for no other question";

fn decode(digits: &str) -> Option<[u8; NONCE_BYTES]> {
    let (pairs, odd) = digits.as_bytes().as_chunks::<2>();
    if pairs.len() != NONCE_BYTES || !odd.is_empty() {
        return None;
    }
    let digit = |digit: u8| u8::try_from(char::from(digit).to_digit(16)?).ok();
    let mut bytes = [0; NONCE_BYTES];
    for (byte, &[high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(high)? << 4 | digit(low)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_has_a_nonce_and_perhaps_a_chain() {
        let nonce = "0aF".repeat(42) + "10";
        let question = Question::of_query(&format!("nonce={nonce}")).unwrap();
        assert_eq!((question.nonce()[0], question.nonce()[63]), (0x0a, 0x10));
        assert_eq!(question.purpose(), evidence_purpose::NONCE);
        assert_eq!((question.named(), question.chain().is_valid()), (None, false));
        let question = Question::of_query(&format!("chain=echo&nonce={nonce}")).unwrap();
        assert_eq!(
            (question.named(), question.chain().as_str()),
            (Some("echo"), "echo")
        );
    }

    #[test]
    fn what_is_wrong_with_a_question_is_said() {
        let nonce = "ab".repeat(64);
        for query in [
            "",
            "nonce",
            "nonce=",
            "chain=echo",
            "nonce=abc",
            &format!("nonce={nonce}0"),
        ] {
            assert_eq!(Question::of_query(query), Err(NONCE), "{query}");
        }
        let not_hex = format!("nonce={}zz", "ab".repeat(63));
        assert_eq!(Question::of_query(&not_hex), Err(NONCE));
        for (query, word) in [
            (format!("nonce={nonce}&nonce={nonce}"), "twice"),
            (format!("nonce={nonce}&chains=a"), "known"),
            (format!("nonce={nonce}&purpose=session"), "known"),
            (format!("nonce={nonce}&chain="), "chain"),
            (format!("nonce={nonce}&chain={nonce}"), "chain"),
        ] {
            assert!(Question::of_query(&query).unwrap_err().contains(word), "{query}");
        }
    }
}
