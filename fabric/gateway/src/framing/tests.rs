use super::*;
use proptest::prelude::*;

/// Judges a stream that comes in pieces of `piece` bytes: heads, bytes passed, status of a refusal (0 for a
/// body's).
fn judge(stream: &[u8], piece: usize) -> (u64, usize, Option<u16>) {
    let mut framing = Framing::new();
    let (mut heads, mut passed, mut seen) = (0, 0, 0);
    while seen < stream.len() {
        seen = (seen + piece).min(stream.len());
        let judged = framing.judge(&stream[passed..seen]);
        heads += judged.heads;
        passed += judged.passed;
        match judged.refused {
            None => {}
            Some(Refused::Body(_)) => return (heads, passed, Some(0)),
            Some(Refused::Head(problem)) => {
                return (heads, passed, Some(problem.response().status().as_u16()));
            }
        }
    }
    (heads, passed, None)
}

/// The same in pieces of all sizes. A body that is refused may have been passed in part.
fn judged(stream: &[u8]) -> (u64, usize, Option<u16>) {
    let whole = judge(stream, stream.len().max(1));
    for piece in [1, 2, 3, 7] {
        let (heads, passed, refused) = judge(stream, piece);
        assert_eq!((heads, refused), (whole.0, whole.2), "in pieces of {piece}");
        assert!(passed == whole.1 || refused == Some(0));
    }
    whole
}

#[test]
fn messages_end_where_their_framing_says() {
    for stream in [
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\ncontent-length: 4\r\n\r\nbody",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length:\t 0 \r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\ntransfer-encoding: chunked\r\n\r\n\
         00A;ext=\"1\"; b\r\nGET / HTTP\r\n0\r\nx-trailer: 1\r\n\r\n",
    ] {
        assert_eq!(judged(stream.as_bytes()), (1, stream.len(), None), "{stream:?}");
        let twice = format!("{stream}{stream}");
        assert_eq!(judged(twice.as_bytes()), (2, twice.len(), None), "{stream:?}");
        let (cut, _) = stream.split_at(stream.find("\r\n\r\nb").unwrap_or(10));
        assert_eq!(judged(cut.as_bytes()).0, 0, "{cut:?}");
    }
}

#[test]
fn http_2_is_let_through() {
    let stream = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    assert_eq!(judged(stream), (0, stream.len(), None));
    assert_eq!(judged(b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n").2, Some(505));
    let late = b"GET / HTTP/1.1\r\nHost: x\r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    assert_eq!(judged(late), (1, 27, Some(505)));
}

#[test]
fn what_two_readers_could_read_differently_is_refused() {
    let with = |fields: &str| format!("POST / HTTP/1.1\r\nHost: x\r\n{fields}\r\n\r\n");
    for (fields, status) in [
        ("Content-Length: 4\r\nTransfer-Encoding: chunked", 400),
        ("Transfer-Encoding: chunked\r\nContent-Length: 4", 400),
        ("Transfer-Encoding: chunked\r\nContent-Length: nonsense", 400),
        ("Content-Length: 4\r\nContent-Length: 4", 400),
        ("Content-Length: 4\r\nContent-Length: 5", 400),
        ("Content-Length: 4, 4", 400),
        ("Content-Length: +4", 400),
        ("Content-Length: 0x4", 400),
        ("Content-Length: 4 4", 400),
        ("Content-Length:", 400),
        ("Content-Length: 18446744073709551615", 413),
        ("Content-Length: 99999999999999999999999", 413),
        ("Transfer-Encoding: xchunked", 400),
        ("Transfer-Encoding: chunked, gzip", 400),
        ("Transfer-Encoding: chunked, chunked", 400),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", 400),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", 400),
        ("Transfer-Encoding: identity", 400),
        ("Transfer-Encoding: \"chunked\"", 400),
        ("Transfer-Encoding: chunked;q=1", 400),
        ("Transfer-Encoding:", 400),
        ("Transfer-Encoding: ,chunked", 400),
        ("Transfer-Encoding: gzip, chunked", 501),
        ("Transfer-Encoding : chunked", 400),
        ("Transfer-Encoding\t: chunked", 400),
        ("Transfer-Encoding:\x0bchunked", 400),
        ("Transfer-Encoding: \x7fchunked", 400),
        (" Transfer-Encoding: chunked", 400),
        ("X: a\r\n Transfer-Encoding: chunked", 400),
        ("X: a\rTransfer-Encoding: chunked", 400),
        ("X: a\nTransfer-Encoding: chunked", 400),
        ("X: a\0b", 400),
        (": empty", 400),
        ("no colon", 400),
        ("na me: x", 400),
        ("Host: x", 400),
        ("Host: y", 400),
    ] {
        assert_eq!(judged(with(fields).as_bytes()).2, Some(status), "{fields:?}");
    }
    assert_eq!(
        judged(b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n").2,
        Some(400)
    );
    assert_eq!(
        judged(b"GET / HTTP/1.0\r\nHost: x\r\nHost: x\r\n\r\n").2,
        Some(400)
    );
    for allowed in [
        "Transfer_Encoding: gzip",
        "X-Empty:",
        "X-Obs: \u{fc}",
        "X-Padded:   \t v \t ",
    ] {
        assert_eq!(judged(with(allowed).as_bytes()).2, None, "{allowed:?}");
    }
}

#[test]
fn request_lines_are_strict() {
    for (line, status) in [
        ("GET  / HTTP/1.1", 400),
        ("GET /  HTTP/1.1", 400),
        ("GET / HTTP/1.1 ", 400),
        (" GET / HTTP/1.1", 400),
        ("GET\t/ HTTP/1.1", 400),
        ("GET /", 400),
        ("GET / ", 400),
        ("GET", 400),
        ("G(T / HTTP/1.1", 400),
        ("GET / http/1.1", 400),
        ("GET / HTTP/1.10", 400),
        ("GET / HTTP/2.0", 505),
        ("GET / HTTP/0.9", 505),
        ("GET / HTTP/1.2", 505),
        ("INVALID CONNECTION PREFACE", 400),
        ("GET /a#b HTTP/1.1", 400),
        ("GET /\u{fc} HTTP/1.1", 400),
        ("GET * HTTP/1.1", 400),
        ("GET healthz HTTP/1.1", 400),
        ("GET x:80 HTTP/1.1", 400),
        ("GET 1http://x/ HTTP/1.1", 400),
    ] {
        let stream = format!("{line}\r\nHost: x\r\n\r\n");
        assert_eq!(judged(stream.as_bytes()).2, Some(status), "{line:?}");
    }
    for line in [
        "OPTIONS * HTTP/1.1",
        "CONNECT x:80 HTTP/1.1",
        "GET http://x/y HTTP/1.1",
        "GET /?a=b://c HTTP/1.1",
    ] {
        let stream = format!("{line}\r\nHost: x\r\n\r\n");
        assert_eq!(judged(stream.as_bytes()).2, None, "{line:?}");
    }
    assert_eq!(judged(b"GET / HTTP/1.1\r\n\r\n").2, Some(400), "no Host");
}

#[test]
fn heads_are_bounded_in_target_fields_and_bytes() {
    let target = |len: usize| format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(len - 1));
    assert_eq!(judged(target(TARGET_MAX_BYTES).as_bytes()).2, None);
    assert_eq!(judged(target(TARGET_MAX_BYTES + 1).as_bytes()).2, Some(414));
    // Long before its end, if it has one.
    assert_eq!(judged(&vec![b'a'; TARGET_MAX_BYTES + 100]).2, Some(414));
    let fields = |count: usize| format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "a:b\r\n".repeat(count));
    assert_eq!(judged(fields(FIELDS_MAX - 1).as_bytes()).2, None);
    assert_eq!(judged(fields(FIELDS_MAX).as_bytes()).2, Some(431));
    let long = format!("GET / HTTP/1.1\r\nHost: x\r\na: {}", "b".repeat(HEAD_MAX_BYTES));
    assert_eq!(judged(long.as_bytes()).2, Some(431));
    assert_eq!(judged("\r\n".repeat(HEAD_MAX_BYTES).as_bytes()).2, Some(431));
}

#[test]
fn chunks_are_strict() {
    let stream =
        |body: &str| format!("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
    for body in [
        "\r\n",
        ";x\r\n",
        "-1\r\n",
        "0x4\r\nbody\r\n0\r\n\r\n",
        "4 \r\nbody\r\n0\r\n\r\n",
        "4\nbody\r\n0\r\n\r\n",
        "4\r\rbody\r\n0\r\n\r\n",
        "4;a\nb\r\nbody\r\n0\r\n\r\n",
        "4;a\rb\r\nbody\r\n0\r\n\r\n",
        "4\r\nbody0\r\n\r\n",
        "4\r\nbody\n0\r\n\r\n",
        "4\r\nbody\r0\r\n\r\n",
        "10000000000000000\r\n",
        "0\r\na: b\n\r\n",
        "0\r\na: b\rc\r\n\r\n",
        "0\r\na: \0\r\n\r\n",
    ] {
        assert_eq!(judged(stream(body).as_bytes()).2, Some(0), "{body:?}");
    }
    let long = |len: usize| format!("4;{}\r\nbody\r\n0\r\n\r\n", "a".repeat(len));
    assert_eq!(judged(stream(&long(100)).as_bytes()).2, None);
    assert_eq!(judged(stream(&long(CHUNK_LINE_MAX_BYTES)).as_bytes()).2, Some(0));
    let trailers = format!("0\r\n{}", "a: b\r\n".repeat(TRAILERS_MAX_BYTES));
    assert_eq!(judged(stream(&trailers).as_bytes()).2, Some(0));
}

/// Pieces of which attacks are made.
fn piece() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "GET / HTTP/1.1",
        "POST /chains/t HTTP/1.1",
        "HTTP/1.0",
        "\r\n",
        "\r\n\r\n",
        "\n",
        "\r",
        " ",
        "\t",
        "\0",
        "Host: x",
        "Content-Length: 4",
        "Content-Length: 0",
        "Transfer-Encoding: chunked",
        "Transfer-Encoding:",
        "body",
        "0",
        "4",
        "4\r\nbody\r\n",
        "0\r\n\r\n",
        ";a=b",
        ":",
        "a: b",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "\u{fc}",
    ])
}

proptest! {
    #[test]
    fn however_a_stream_is_cut_it_is_judged_alike(pieces in prop::collection::vec(piece(), 0..24)) {
        let stream = pieces.concat();
        judged(stream.as_bytes());
    }

    #[test]
    fn no_bytes_make_it_panic_or_pass_more_than_there_is(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let (_, passed, _) = judged(&bytes);
        prop_assert!(passed <= bytes.len());
    }
}
