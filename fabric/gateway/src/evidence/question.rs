//! What a client asks for: `nonce=HEX`, or `session=HEX` over TLS 1.3, and perhaps `chain=NAME`.

use hacher_libos_net::attach::{NONCE_BYTES, evidence_purpose};
use hacher_libos_net::name::Name;
use hacher_trustlet_host::evidence::session::{ChannelBinding, RANDOM_BYTES};

/// A nonce, and the chain that is meant; none for all that the gateway serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Question {
    /// One of [`evidence_purpose`]: whether a client has chosen the nonce, or it was computed here, of the
    /// connection that the question came over.
    purpose: u32,
    nonce: [u8; NONCE_BYTES],
    chain: Option<Name>,
}

/// Why a query is no question, to be read by its author.
pub(in super::super) type Fault = &'static str;

impl Question {
    /// Reads the query of a target that came over a connection with this binding.
    pub(in super::super) fn of_query(query: &str, binding: Option<ChannelBinding>) -> Result<Self, Fault> {
        let (mut nonce, mut session, mut chain) = (None, None, None);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let already = match name {
                "nonce" => nonce.replace(value),
                "session" => session.replace(value),
                "chain" => chain.replace(value),
                _ => return Err("only the parameters nonce, session and chain are known here"),
            };
            if already.is_some() {
                return Err("a parameter is given twice");
            }
        }
        let chain = chain
            .map(Name::new)
            .transpose()
            .map_err(|_| "there is no such chain")?;
        let purpose = match session {
            Some(_) => evidence_purpose::SESSION,
            None => evidence_purpose::NONCE,
        };
        let nonce = match (nonce, session) {
            (Some(_), Some(_)) => return Err("a question has a nonce or a session, not both"),
            (_, Some(random)) => {
                let random: [u8; RANDOM_BYTES] = decode(random).ok_or(RANDOM)?;
                // Never without: a nonce that is of no connection would bind to nothing.
                binding.ok_or(UNBOUND)?.nonce(&random)
            }
            (nonce, None) => nonce.and_then(decode).ok_or(NONCE)?,
        };
        Ok(Self {
            purpose,
            nonce,
            chain,
        })
    }

    /// Whether the nonce was computed here, of the connection that the question came over.
    pub(super) const fn is_session(&self) -> bool {
        self.purpose == evidence_purpose::SESSION
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

const RANDOM: Fault =
    "session must be 64 hex digits: 32 random bytes that you have used for no other session";
const UNBOUND: Fault = "evidence for a session is bound to a TLS 1.3 connection that ends at this gateway, and this request came over another";

fn decode<const N: usize>(digits: &str) -> Option<[u8; N]> {
    let (pairs, odd) = digits.as_bytes().as_chunks::<2>();
    if pairs.len() != N || !odd.is_empty() {
        return None;
    }
    let digit = |digit: u8| u8::try_from(char::from(digit).to_digit(16)?).ok();
    let mut bytes = [0; N];
    for (byte, &[high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(high)? << 4 | digit(low)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BINDING: ChannelBinding = ChannelBinding {
        exporter: [1; 32],
        leaf: [2; 32],
    };

    fn of_query(query: &str) -> Result<Question, Fault> {
        Question::of_query(query, Some(BINDING))
    }

    #[test]
    fn a_session_is_of_its_connection_and_of_none_without_tls_1_3() {
        let random = "0c".repeat(32);
        let query = format!("session={random}&chain=echo");
        let question = of_query(&query).unwrap();
        assert!(question.is_session());
        assert_eq!(*question.nonce(), BINDING.nonce(&[0x0c; 32]));
        assert_eq!(Question::of_query(&query, None), Err(UNBOUND));
        for (query, fault) in [
            (format!("session={random}0"), RANDOM),
            (format!("session={random}00"), RANDOM),
            ("session=".to_owned(), RANDOM),
            (
                format!("session={random}&session={random}"),
                "a parameter is given twice",
            ),
            (
                format!("session={random}&nonce={}", "ab".repeat(64)),
                "a question has a nonce or a session, not both",
            ),
        ] {
            assert_eq!(of_query(&query), Err(fault), "{query}");
        }
        let nonce = format!("nonce={}", "ab".repeat(64));
        assert!(!Question::of_query(&nonce, Some(BINDING)).unwrap().is_session());
    }

    #[test]
    fn a_question_has_a_nonce_and_perhaps_a_chain() {
        let nonce = "0aF".repeat(42) + "10";
        let question = of_query(&format!("nonce={nonce}")).unwrap();
        assert_eq!((question.nonce()[0], question.nonce()[63]), (0x0a, 0x10));
        assert_eq!(question.purpose(), evidence_purpose::NONCE);
        assert_eq!((question.named(), question.chain().is_valid()), (None, false));
        let question = of_query(&format!("chain=echo&nonce={nonce}")).unwrap();
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
            assert_eq!(of_query(query), Err(NONCE), "{query}");
        }
        let not_hex = format!("nonce={}zz", "ab".repeat(63));
        assert_eq!(of_query(&not_hex), Err(NONCE));
        for (query, word) in [
            (format!("nonce={nonce}&nonce={nonce}"), "twice"),
            (format!("nonce={nonce}&chains=a"), "known"),
            (format!("nonce={nonce}&purpose=session"), "known"),
            (format!("nonce={nonce}&chain="), "chain"),
            (format!("nonce={nonce}&chain={nonce}"), "chain"),
        ] {
            assert!(of_query(&query).unwrap_err().contains(word), "{query}");
        }
    }
}
