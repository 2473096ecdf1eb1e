//! A sealed secret, taken out of its JSON (RFC 7516, flattened): the monitor reads no text.

use crate::failed::Failed;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hacher_libos_net::attach::SECRET_VALUE_MAX_BYTES;
use hacher_trustlet_host::calls::SealedSecret;
use serde_json::Value;

/// The longest protected header that is taken; the monitor has the same bound.
const PROTECTED_MAX_BYTES: usize = 1024;

/// What a broker has sealed for the monitor's key.
#[derive(Debug)]
pub(super) struct Sealed {
    pub(super) entry: SealedSecret,
    /// The protected header as it was sent: it is authenticated in this form.
    pub(super) protected: String,
    pub(super) ciphertext: Vec<u8>,
}

impl Sealed {
    /// Takes a broker's answer apart.
    pub(super) fn read(answer: &Value) -> Result<Self, Failed> {
        let protected = text(answer, "protected")?;
        if protected.len() > PROTECTED_MAX_BYTES {
            return Err(Failed::new(format!(
                "the protected header of its answer has more than {PROTECTED_MAX_BYTES} characters"
            )));
        }
        let header: Value = serde_json::from_slice(&decode(protected, "protected")?).unwrap_or(Value::Null);
        for (name, value) in [
            ("/alg", "ECDH-ES+A256KW"),
            ("/enc", "A256GCM"),
            ("/epk/kty", "EC"),
            ("/epk/crv", "P-256"),
        ] {
            if header.pointer(name).and_then(Value::as_str) != Some(value) {
                return Err(Failed::new(format!(
                    "its answer is not sealed as requested: `{}` is not `{value}`",
                    name.trim_start_matches('/')
                )));
            }
        }
        if ["apu", "apv", "zip", "crit"]
            .iter()
            .any(|name| header.get(name).is_some())
        {
            return Err(Failed::new("its answer is sealed in an unknown way"));
        }
        let epk = header.get("epk").unwrap_or(&Value::Null);
        let ciphertext = decode(text(answer, "ciphertext")?, "ciphertext")?;
        if ciphertext.len() > SECRET_VALUE_MAX_BYTES {
            return Err(Failed::new(format!(
                "it has more than {SECRET_VALUE_MAX_BYTES} bytes, the most that a secret may have"
            )));
        }
        Ok(Self {
            entry: SealedSecret {
                x: part(epk, "x")?,
                y: part(epk, "y")?,
                encrypted_key: part(answer, "encrypted_key")?,
                iv: part(answer, "iv")?,
                tag: part(answer, "tag")?,
            },
            protected: protected.to_owned(),
            ciphertext,
        })
    }
}

fn text<'a>(object: &'a Value, name: &str) -> Result<&'a str, Failed> {
    let found = object.get(name).and_then(Value::as_str);
    found.ok_or_else(|| Failed::new(format!("its answer has no string `{name}`")))
}

fn decode(text: &str, name: &str) -> Result<Vec<u8>, Failed> {
    let decoded = BASE64_URL_SAFE_NO_PAD.decode(text);
    decoded.map_err(|_| Failed::new(format!("`{name}` of its answer is not base64url without padding")))
}

/// A part that always has the same length.
fn part<const BYTES: usize>(object: &Value, name: &str) -> Result<[u8; BYTES], Failed> {
    let decoded = decode(text(object, name)?, name)?;
    let part = decoded.try_into();
    part.map_err(|_| Failed::new(format!("`{name}` of its answer does not have {BYTES} bytes")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn encode(bytes: &[u8]) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    }

    fn header() -> Value {
        json!({
            "alg": "ECDH-ES+A256KW",
            "enc": "A256GCM",
            "epk": { "kty": "EC", "crv": "P-256", "x": encode(&[1; 32]), "y": encode(&[2; 32]) },
        })
    }

    fn answer(header: &Value) -> Value {
        json!({
            "protected": encode(header.to_string().as_bytes()),
            "encrypted_key": encode(&[3; 40]),
            "iv": encode(&[4; 12]),
            "ciphertext": encode(b"sealed"),
            "tag": encode(&[5; 16]),
        })
    }

    #[test]
    fn a_sealed_secret_is_taken_apart() {
        let sealed = Sealed::read(&answer(&header())).unwrap();
        assert_eq!(sealed.entry.x, [1; 32]);
        assert_eq!(sealed.entry.tag, [5; 16]);
        assert_eq!(sealed.ciphertext, b"sealed");
        assert_eq!(sealed.protected, encode(header().to_string().as_bytes()));
    }

    #[test]
    fn what_is_sealed_otherwise_or_malformed_is_refused() {
        for (at, value) in [
            ("/alg", json!("RSA1_5")),
            ("/alg", json!("ECDH-ES")),
            ("/enc", json!("A128GCM")),
            ("/epk/crv", json!("P-521")),
            ("/epk/x", json!(encode(&[1; 31]))),
            ("/epk", json!(null)),
        ] {
            let mut header = header();
            *header.pointer_mut(at).unwrap() = value;
            assert!(Sealed::read(&answer(&header)).is_err(), "{at}");
        }
        let mut with_party = header();
        with_party["apu"] = json!("QWxpY2U");
        assert!(Sealed::read(&answer(&with_party)).is_err());
        let mut long = header();
        long["kid"] = json!("k".repeat(1024));
        assert!(Sealed::read(&answer(&long)).is_err());
        for (name, value) in [
            ("encrypted_key", encode(&[3; 39])),
            ("iv", encode(&[4; 16])),
            ("tag", encode(&[5; 12])),
            ("tag", "====".to_owned()),
            ("ciphertext", encode(&vec![6; SECRET_VALUE_MAX_BYTES + 1])),
            ("protected", "e30".to_owned()),
        ] {
            let mut answer = answer(&header());
            answer[name] = json!(value);
            assert!(Sealed::read(&answer).is_err(), "{name}");
        }
        assert!(Sealed::read(&json!({})).is_err());
    }
}
