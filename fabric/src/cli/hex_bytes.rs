//! Bytes in hexadecimal, on the command line.

/// So many bytes in hexadecimal.
pub(super) fn hex_bytes<const N: usize>(text: &str) -> Result<[u8; N], String> {
    if let Some(stranger) = text.chars().find(|c| !c.is_ascii_hexdigit()) {
        return Err(format!(
            "`{}` is not a hexadecimal digit",
            stranger.escape_debug()
        ));
    }
    if text.len() != 2 * N {
        return Err(format!("it has {} hexadecimal digits, not {}", text.len(), 2 * N));
    }
    let mut bytes = [0; N];
    let (pairs, _) = text.as_bytes().as_chunks::<2>();
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        let digit = |digit: &u8| {
            char::from(*digit)
                .to_digit(16)
                .and_then(|digit| u8::try_from(digit).ok())
        };
        let both = digit(high).zip(digit(low)).ok_or("no hexadecimal digit")?;
        *byte = both.0 << 4 | both.1;
    }
    Ok(bytes)
}
