use super::*;

fn values<'a>(encoded: &'a [u8], name: &str) -> Vec<&'a str> {
    let named = Headers::new(encoded).filter(|(found, _)| *found == name);
    named.map(|(_, value)| value).collect()
}

#[test]
fn headers_are_found_replaced_and_start_a_record() {
    let mut plain = vec![0, 0];
    set(&mut plain, "content-type", "image/jpeg").unwrap();
    set(&mut plain, "traceparent", "00-abc").unwrap();
    plain.extend_from_slice(b"body");
    set(&mut plain, "content-type", "image/png").unwrap();
    let (headers, body) = split(&plain).unwrap();
    assert_eq!(find(headers, CONTENT_TYPE), Some("image/png"));
    assert_eq!(find(headers, "traceparent"), Some("00-abc"));
    assert_eq!(Headers::new(headers).count(), 2);
    assert_eq!(body, b"body");
    let mut next = Vec::new();
    start(&mut next, headers);
    assert_eq!(split(&next).unwrap(), (headers, &[][..]));
}

#[test]
fn a_name_keeps_all_values_until_it_is_set_or_removed() {
    let mut plain = vec![0, 0];
    append(&mut plain, "link", "<a>").unwrap();
    append(&mut plain, "ce-id", "7").unwrap();
    append(&mut plain, "link", "").unwrap();
    append(&mut plain, "link", "<b>").unwrap();
    plain.extend_from_slice(b"body");
    assert_eq!(values(split(&plain).unwrap().0, "link"), ["<a>", "", "<b>"]);
    set(&mut plain, "link", "<c>").unwrap();
    assert_eq!(values(split(&plain).unwrap().0, "link"), ["<c>"]);
    remove(&mut plain, "link").unwrap();
    remove(&mut plain, "absent").unwrap();
    let (headers, body) = split(&plain).unwrap();
    assert_eq!(Headers::new(headers).collect::<Vec<_>>(), [("ce-id", "7")]);
    assert_eq!(body, b"body");
}

#[test]
fn what_speaks_of_the_request_is_inherited_and_what_describes_a_body_is_not() {
    let mut plain = vec![0, 0];
    for (name, value) in [
        ("content-type", "text/plain"),
        ("traceparent", "00-1"),
        ("content-encoding", "gzip"),
        ("tracestate", "a=1"),
        ("baggage", "b=2"),
        ("ce-id", "7"),
        ("ce-myextension", "x"),
        ("idempotency-key", "k"),
        ("hacher-query", "a=b"),
        ("hacher-status", "404"),
        ("hacher-error-cause", "failed"),
        ("x-own", "y"),
    ] {
        set(&mut plain, name, value).unwrap();
    }
    append(&mut plain, "baggage", "c=3").unwrap();
    let mut inherited = Vec::new();
    inherit(&mut inherited, split(&plain).unwrap().0);
    let found: Vec<_> = Headers::new(&inherited).collect();
    assert_eq!(
        found,
        [
            ("traceparent", "00-1"),
            ("tracestate", "a=1"),
            ("baggage", "b=2"),
            ("idempotency-key", "k"),
            ("hacher-query", "a=b"),
            ("hacher-error-cause", "failed"),
            ("baggage", "c=3"),
        ]
    );
}

#[test]
fn cut_oversized_or_invalid_headers_are_refused_and_change_nothing() {
    assert_eq!(split(&[1]), Err(HeaderError::Malformed));
    assert_eq!(split(&[4, 0, 1, b'a', 9, 0]), Err(HeaderError::Malformed));
    assert_eq!(split(&[0xff, 0xff]), Err(HeaderError::TooLong));
    let mut plain = vec![0, 0];
    set(&mut plain, "x", "1").unwrap();
    let before = plain.clone();
    assert_eq!(
        set(&mut plain, "x", &"v".repeat(HEADERS_MAX_BYTES)),
        Err(HeaderError::TooLong)
    );
    for (name, value) in [
        ("", "v"),
        ("X", "v"),
        ("x y", "v"),
        ("x:", "v"),
        ("ü", "v"),
        ("x", "a\r\nb: c"),
        ("x", "\0"),
        ("x", "\u{7f}"),
    ] {
        assert_eq!(
            set(&mut plain, name, value),
            Err(HeaderError::Invalid),
            "{name:?} {value:?}"
        );
    }
    assert_eq!(plain, before);
    set(&mut plain, "x", "grün\tund blau").unwrap();
    assert_eq!(find(split(&plain).unwrap().0, "x"), Some("grün\tund blau"));
}

#[test]
fn headers_are_text_and_what_is_not_is_refused() {
    for header in [
        &b"\x01\xff\x01\x00a"[..],
        b"\x01a\x01\x00\xff",
        b"\x01a\x02\x00\xc3\x28",
    ] {
        let mut plain = vec![u8::try_from(header.len()).unwrap(), 0];
        plain.extend_from_slice(header);
        assert_eq!(split(&plain), Err(HeaderError::Malformed), "{header:?}");
        let before = plain.clone();
        assert_eq!(append(&mut plain, "x", "1"), Err(HeaderError::Malformed));
        assert_eq!(plain, before);
    }
    assert_eq!(remove(&mut vec![1, 0, 5], "x"), Err(HeaderError::Malformed));
    // A length may be no ASCII although all text is.
    let (mut plain, long) = (vec![0, 0], "v".repeat(200));
    set(&mut plain, "long", &long).unwrap();
    set(&mut plain, "umlaut", "ä").unwrap();
    let (headers, _) = split(&plain).unwrap();
    assert_eq!(find(headers, "long"), Some(long.as_str()));
    let both: Vec<_> = named(headers, &["umlaut", "long", "absent"]).collect();
    assert_eq!(both, [("long", long.as_str()), ("umlaut", "ä")]);
}

#[test]
fn a_value_that_replaces_a_long_one_fits_where_the_long_one_stood() {
    let mut plain = vec![0, 0];
    set(&mut plain, "x", &"v".repeat(HEADERS_MAX_BYTES - 4)).unwrap();
    assert_eq!(append(&mut plain, "x", ""), Err(HeaderError::TooLong));
    set(&mut plain, "x", &"w".repeat(HEADERS_MAX_BYTES - 4)).unwrap();
}

/// One change of a record's headers.
#[derive(Debug, Clone)]
enum Change {
    Set(String, String),
    Append(String, String),
    Remove(String),
}

fn changes() -> impl proptest::strategy::Strategy<Value = Vec<Change>> {
    use proptest::prelude::*;
    let name = "[a-c]{1,2}";
    let change = prop_oneof![
        (name, "[ -~äß]{0,20}").prop_map(|(name, value)| Change::Set(name, value)),
        (name, "[ -~äß]{0,20}").prop_map(|(name, value)| Change::Append(name, value)),
        name.prop_map(Change::Remove),
    ];
    proptest::collection::vec(change, 0..40)
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..64)) {
        if let Ok((headers, _)) = split(&bytes) {
            let _ = Headers::new(headers).count();
            let mut inherited = Vec::new();
            inherit(&mut inherited, headers);
            assert!(inherited.len() <= headers.len());
        }
        let mut plain = bytes;
        let _ = set(&mut plain, "a", "b");
        let _ = remove(&mut plain, "a");
    }

    #[test]
    fn changes_do_what_they_do_to_a_list(changes in changes()) {
        let mut plain = vec![0, 0];
        plain.extend_from_slice(b"body");
        let mut model: Vec<(String, String)> = Vec::new();
        for change in changes {
            match change {
                Change::Set(name, value) => {
                    set(&mut plain, &name, &value).unwrap();
                    model.retain(|(found, _)| *found != name);
                    model.push((name, value));
                }
                Change::Append(name, value) => {
                    append(&mut plain, &name, &value).unwrap();
                    model.push((name, value));
                }
                Change::Remove(name) => {
                    remove(&mut plain, &name).unwrap();
                    model.retain(|(found, _)| *found != name);
                }
            }
            let (headers, body) = split(&plain).unwrap();
            let found: Vec<_> = Headers::new(headers)
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect();
            assert_eq!(found, model);
            assert_eq!(body, b"body");
        }
    }
}

#[test]
fn an_explanation_always_fits() {
    let mut plain = vec![0, 0];
    let room = HEADERS_MAX_BYTES - 3 - "baggage".len();
    set(&mut plain, "baggage", &"b".repeat(room)).unwrap();
    assert_eq!(set(&mut plain, "x", ""), Err(HeaderError::TooLong));
    let longest = "v".repeat(EXPLANATION_VALUE_MAX_BYTES);
    for _ in 0..2 {
        for name in EXPLANATION {
            set(&mut plain, name, &longest).unwrap();
        }
    }
    // What was explained once is carried on, and what fitted before still does.
    set(&mut plain, "baggage", &"c".repeat(room)).unwrap();
    let (headers, _) = split(&plain).unwrap();
    assert_eq!(Headers::new(headers).count(), 5);
    assert_eq!(set(&mut plain, "x", ""), Err(HeaderError::TooLong));
    let longer = "v".repeat(EXPLANATION_VALUE_MAX_BYTES + 1);
    assert_eq!(
        set(&mut plain, EXPLANATION[0], &longer),
        Err(HeaderError::TooLong)
    );
}

#[test]
fn headers_that_take_the_room_of_an_explanation_are_refused() {
    // A hostile function encodes them itself: 12 KiB and some, of one name or of two.
    let mut plain = vec![0, 0];
    let name = b"hacher-error-other";
    for _ in 0..46 {
        plain.push(u8::try_from(name.len()).unwrap());
        plain.extend_from_slice(name);
        plain.extend_from_slice(&256_u16.to_le_bytes());
        plain.extend_from_slice(&[b'x'; 256]);
    }
    let len = u16::try_from(plain.len() - 2).unwrap();
    assert!(usize::from(len) > HEADERS_MAX_BYTES && usize::from(len) <= ENCODED_MAX_BYTES);
    plain[..2].copy_from_slice(&len.to_le_bytes());
    assert_eq!(split(&plain), Err(HeaderError::TooLong));
    // Many of one name are one when it is set.
    let mut plain = vec![0, 0];
    let name = EXPLANATION[1].as_bytes();
    for _ in 0..30 {
        plain.push(u8::try_from(name.len()).unwrap());
        plain.extend_from_slice(name);
        plain.extend_from_slice(&256_u16.to_le_bytes());
        plain.extend_from_slice(&[b'x'; 256]);
    }
    let len = u16::try_from(plain.len() - 2).unwrap();
    plain[..2].copy_from_slice(&len.to_le_bytes());
    for name in EXPLANATION {
        set(&mut plain, name, "v").unwrap();
    }
    assert_eq!(Headers::new(split(&plain).unwrap().0).count(), 4);
}
