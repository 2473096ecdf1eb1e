//! Sealed requests: any bytes, and any rearrangement of the segments of an honest one.

use hacher_sealed_request::request::{self, PREFIX_BYTES, PrivateKey};
use hacher_sealed_request::{DIGEST_BYTES, KEY_BYTES, Refused, head};

const DIGEST: [u8; DIGEST_BYTES] = [3; DIGEST_BYTES];
const PIECES: [&[u8]; 5] = [b"a", b"bc", b"", b"def", b"the end"];

/// Opens what the bytes are, and what they make of an honest request: each byte puts one segment, whole, cut
/// or with one bit changed.
pub fn sealed_request(bytes: &[u8]) {
    assert!(opened(bytes).1.is_err(), "nobody sealed it");
    if let Ok(Some(read)) = head::decode(bytes) {
        let again = head::encode(read.fields.iter().copied()).unwrap();
        assert_eq!(again, bytes[..read.len_bytes], "one form for one head");
    }

    let honest = Honest::new();
    let mut stream = honest.prefix.clone();
    for &byte in bytes.iter().take(64) {
        let mut segment = honest.segments[usize::from(byte % 8) % honest.segments.len()].clone();
        let at = usize::from(byte / 8) % segment.len();
        match byte % 3 {
            0 => {}
            1 => segment.truncate(at),
            _ => segment[at] ^= 1 << (byte % 7),
        }
        stream.extend(segment);
    }
    let (plaintext, end) = opened(&stream);
    assert!(
        honest.plaintext().starts_with(&plaintext),
        "in its order, from its start"
    );
    let is_whole = stream == honest.stream();
    assert_eq!(end.is_ok(), is_whole);
    assert!(!is_whole || plaintext == honest.plaintext());
}

struct Honest {
    prefix: Vec<u8>,
    segments: Vec<Vec<u8>>,
}

impl Honest {
    fn new() -> Self {
        let (prefix, mut sealer, _) = request::seal(&key().public_key(), &DIGEST, 0).unwrap();
        let mut segments = Vec::new();
        for (index, piece) in PIECES.iter().enumerate() {
            let mut segment = Vec::new();
            if index + 1 < PIECES.len() {
                sealer.seal(piece, &mut segment).unwrap();
            } else {
                sealer.end(piece, &mut segment).unwrap();
            }
            if !segment.is_empty() {
                segments.push(segment);
            }
        }
        Self { prefix, segments }
    }

    fn stream(&self) -> Vec<u8> {
        [&self.prefix[..], &self.segments.concat()].concat()
    }

    fn plaintext(&self) -> Vec<u8> {
        PIECES.concat()
    }
}

fn key() -> PrivateKey {
    PrivateKey::new(&[9; KEY_BYTES].into())
}

/// What came out, and how it ended.
fn opened(bytes: &[u8]) -> (Vec<u8>, Result<(), Refused>) {
    let mut plaintext = Vec::new();
    let Some(prefix) = bytes.first_chunk::<PREFIX_BYTES>() else {
        return (plaintext, Err(Refused::Truncated));
    };
    let mut segments = match request::open(prefix, &key(), &DIGEST) {
        Ok(request) => request.segments,
        Err(refused) => return (plaintext, Err(refused)),
    };
    for piece in bytes[PREFIX_BYTES..].chunks(7) {
        if let Err(refused) = segments.open(piece, &mut plaintext) {
            return (plaintext, Err(refused));
        }
    }
    let end = segments.end();
    (plaintext, end)
}
