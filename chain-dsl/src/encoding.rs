//! From bytes to text: a chain file is UTF-8, and one that is not is told which encoding it seems to have.

use crate::code::Code;
use crate::diagnostic::Diagnostic;
use crate::source::Span;

/// Byte-order marks, the longer ones first: the first two bytes of UTF-32 in little-endian order are those of
/// UTF-16.
const MARKS: [(&[u8], &str); 4] = [
    (&[0xff, 0xfe, 0x00, 0x00], "UTF-32 (little-endian)"),
    (&[0x00, 0x00, 0xfe, 0xff], "UTF-32 (big-endian)"),
    (&[0xff, 0xfe], "UTF-16 (little-endian)"),
    (&[0xfe, 0xff], "UTF-16 (big-endian)"),
];
/// Whether these are no text at all, in whatever encoding: a program, an image, an archive.
#[must_use]
pub fn is_binary(bytes: &[u8]) -> bool {
    // Of the control characters a text has those of lines and pages, and terminals' escape.
    let is_unusual = |byte: &u8| matches!(byte, 0..=6 | 14..=26 | 28..=31);
    wide(bytes).is_none()
        && (bytes.contains(&0) || core::str::from_utf8(bytes).is_err() && bytes.iter().any(is_unusual))
}

/// How much of a file without a mark is looked at for zero bytes.
const SAMPLE_BYTES: usize = 64;

/// The text of a file; of one that is not UTF-8, the text before the first byte that is not, and the problem
/// there.
pub(crate) fn text_of(bytes: &[u8]) -> Result<&str, (&str, Box<Diagnostic>)> {
    if let Some(name) = wide(bytes) {
        return Err((
            "",
            Box::new(not_utf8(
                Span::default(),
                &format!("the file is {name} and not UTF-8"),
            )),
        ));
    }
    core::str::from_utf8(bytes).map_err(|error| {
        let (before, rest) = bytes.split_at(error.valid_up_to());
        let before = core::str::from_utf8(before).unwrap_or("");
        let byte = rest.first().copied().unwrap_or(0);
        let message = format!("the file is not UTF-8: byte 0x{byte:02X} begins no character here");
        let at = Span::new(before.len(), before.len());
        let problem = not_utf8(at, &message)
            .with_help("it may be Latin-1 (ISO 8859-1) or Windows-1252: save the file as UTF-8");
        (before, Box::new(problem))
    })
}

fn not_utf8(at: Span, message: &str) -> Diagnostic {
    Diagnostic::new(Code::NotUtf8, at, message, "expected UTF-8").with_expected("text in UTF-8")
}

/// The encoding of a file whose characters have two or four bytes; `None` if it seems to be none.
fn wide(bytes: &[u8]) -> Option<&'static str> {
    if let Some((_, name)) = MARKS.iter().find(|(mark, _)| bytes.starts_with(mark)) {
        return Some(name);
    }
    // What a chain file begins with is ASCII, so every second byte of it is zero.
    let sample = bytes.get(..bytes.len().min(SAMPLE_BYTES)).unwrap_or(bytes);
    let zeros =
        |first: usize| sample.len() >= 4 && sample.iter().skip(first).step_by(2).all(|byte| *byte == 0);
    match (zeros(0), zeros(1)) {
        (false, true) => Some("UTF-16 (little-endian, without a byte-order mark)"),
        (true, false) => Some("UTF-16 (big-endian, without a byte-order mark)"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wide_text(text: &str, bytes_of: impl Fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(bytes_of).collect()
    }

    #[test]
    fn utf_8_is_taken_as_it_is() {
        assert_eq!(text_of("chain = \"é\"".as_bytes()).unwrap(), "chain = \"é\"");
        assert_eq!(text_of(b"").unwrap(), "");
    }

    #[test]
    fn other_encodings_are_named() {
        let cases = [
            (
                wide_text("\u{feff}chain", u16::to_le_bytes),
                "UTF-16 (little-endian)",
            ),
            (
                wide_text("\u{feff}chain", u16::to_be_bytes),
                "UTF-16 (big-endian)",
            ),
            (
                wide_text("chain", u16::to_le_bytes),
                "UTF-16 (little-endian, without",
            ),
            (
                wide_text("chain", u16::to_be_bytes),
                "UTF-16 (big-endian, without",
            ),
            (b"\xff\xfe\0\0c\0\0\0".to_vec(), "UTF-32 (little-endian)"),
            (b"\0\0\xfe\xff\0\0\0c".to_vec(), "UTF-32 (big-endian)"),
        ];
        for (bytes, name) in cases {
            let (before, problem) = text_of(&bytes).unwrap_err();
            assert_eq!(before, "");
            assert!(problem.message().contains(name), "{}", problem.message());
        }
    }

    #[test]
    fn programs_and_archives_are_no_text_and_text_in_other_encodings_is() {
        for binary in [
            &b"\x7fELF\x02\x01\x01\0\0"[..],
            b"\x1f\x8b\x08\x03\xff",
            b"\x89PNG\r\n\x1a\n\0",
        ] {
            assert!(is_binary(binary), "{binary:?}");
        }
        let wide = wide_text("chain = 1", u16::to_be_bytes);
        for text in [&b""[..], b"chain = \"caf\xe9\"", "é\x1b[0m".as_bytes(), &wide] {
            assert!(!is_binary(text), "{text:?}");
        }
    }

    #[test]
    fn a_byte_that_is_no_character_is_shown_where_it_stands() {
        let (before, problem) = text_of(b"chain = \"caf\xe9\"").unwrap_err();
        assert_eq!(before, "chain = \"caf");
        assert!(problem.message().contains("0xE9"));
        assert!(problem.helps().iter().any(|help| help.contains("Latin-1")));
    }
}
