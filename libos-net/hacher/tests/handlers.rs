//! Every form of a handler, and what becomes of what it returns.
#![allow(
    clippy::unwrap_used,
    clippy::needless_pass_by_value,
    clippy::cast_possible_truncation,
    reason = "test code"
)]

use hacher::harness::{Call, Reply};
use hacher::{
    BoxError, Captures, ContentType, Extract, Failure, FromRecord, Input, Json, OrFail, Output, Query,
    SendRecord, To, permanent, retry,
};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize, PartialEq)]
struct Point {
    x: i32,
    y: i32,
}

fn text(reply: &Reply) -> &str {
    core::str::from_utf8(reply.port("out").unwrap().body()).unwrap()
}

#[test]
fn parameters_and_results_are_converted() {
    fn swap(Json(point): Json<Point>) -> Json<Point> {
        Json(Point {
            x: point.y,
            y: point.x,
        })
    }
    let reply = Call::new().body(br#"{"x":1,"y":2}"#).run(swap);
    assert_eq!(text(&reply), r#"{"x":2,"y":1}"#);
    let record = reply.port("out").unwrap();
    assert_eq!(record.content_type(), Some("application/json"));

    let constant = Call::new().body(b"").run(|| "hello");
    assert_eq!(text(&constant), "hello");
    assert_eq!(
        constant.port("out").unwrap().content_type(),
        Some("text/plain; charset=utf-8")
    );
    let bytes = Call::new().body(&[0xff, 0]).run(|body: Vec<u8>| body);
    assert_eq!(bytes.port("out").unwrap().body(), [0xff, 0]);
    assert_eq!(bytes.port("out").unwrap().content_type(), None);
    let image = Call::new()
        .body(b"jpeg")
        .run(|body: bytes::Bytes| ContentType("image/jpeg", body));
    assert_eq!(image.port("out").unwrap().content_type(), Some("image/jpeg"));
    let twice = |a: String, b: Vec<u8>, c: bytes::Bytes, headers: http::HeaderMap| {
        format!("{a} {} {} {:?}", b.len(), c.len(), headers["x-a"])
    };
    let reply = Call::new().body(b"abc").header("x-a", "1").run(twice);
    assert_eq!(text(&reply), "abc 3 3 \"1\"");
}

#[test]
fn the_input_is_there_besides_typed_parameters() {
    fn sign(input: &Input<'_>, body: String) -> Result<String, BoxError> {
        let key = input.secret("KEY").or_permanent("there is no key")?;
        Ok(format!("{body} {} {}", key.len(), input.attempt()))
    }
    let reply = Call::new().body(b"x").secret("KEY", b"abc").attempt(2).run(sign);
    assert_eq!(text(&reply), "x 3 2");
    let without = Call::new().body(b"x").run(sign);
    assert_eq!(without.failure(), Some(Failure::permanent("there is no key")));
}

#[test]
fn the_input_alone_is_a_parameter_and_its_body_is_not_waited_for() {
    fn tell(input: &Input<'_>) -> String {
        format!("{} {:?} {}", input.method(), input.query(), input.attempt())
    }
    let call = || Call::new().body(b"x").method("GET").query("a=1");
    assert_eq!(text(&call().run(tell)), "GET Some(\"a=1\") 1");
    let reply = call().run(|input: &Input<'_>| -> Result<String, BoxError> {
        Ok(input.secret("KEY").ok_or("there is no key")?.len().to_string())
    });
    assert!(reply.failure().unwrap().is_transient());
    // Two segments, of which the second never comes.
    let broken = Call::new()
        .body(&vec![0; 100_000])
        .breaks_off()
        .run(|_: &Input<'_>| "answered");
    assert_eq!(text(&broken), "answered");
}

#[test]
fn queries_and_captures_are_the_fields_of_a_type() {
    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename_all = "lowercase")]
    enum Order {
        Up,
        Down,
    }
    #[derive(Debug, Deserialize, PartialEq)]
    struct Meters(f64);
    #[derive(Debug, Deserialize, PartialEq)]
    struct Asked {
        name: String,
        page: Option<u32>,
        #[serde(default)]
        order: Option<Order>,
        far: Option<Meters>,
        #[serde(default)]
        all: bool,
        offset: Option<i8>,
    }
    let read = |query: &str| {
        let mut asked = None;
        let reply = Call::new()
            .body(b"x")
            .query(query)
            .run(|found: Result<Query<Asked>, BoxError>| {
                asked = Some(found.map(|Query(asked)| asked));
                "x"
            });
        assert!(reply.failure().is_none());
        asked.unwrap()
    };
    let asked = read("name=a%26b+c%C3%BC&page=2&order=down&far=1.5&all=true&offset=-3&more=x").unwrap();
    let expected = Asked {
        name: "a&b c\u{fc}".to_owned(),
        page: Some(2),
        order: Some(Order::Down),
        far: Some(Meters(1.5)),
        all: true,
        offset: Some(-3),
    };
    assert_eq!(asked, expected);
    assert_eq!(read("name=").unwrap().name, "");
    for wrong in [
        "",
        "page=1",
        "name=a&page=-1",
        "name=a&page=4294967296",
        "name=a&name=b",
        "name=a&order=sideways",
        "name=a&all=yes",
        "name=a&far=",
    ] {
        let error = read(wrong).unwrap_err();
        assert!(error.to_string().contains("the query is not"), "{wrong}: {error}");
        assert!(error.source().is_some(), "{wrong}: why");
    }

    #[derive(Deserialize)]
    struct Place {
        user: u64,
        path: String,
    }
    let tell = |Captures(place): Captures<Place>, method: http::Method| {
        format!("{method} {} {}", place.user, place.path)
    };
    let call = Call::new().body(b"").method("PUT").capture("user", "7");
    assert_eq!(text(&call.capture("path", "a%2Fb").run(tell)), "PUT 7 a%2Fb");
    let failure = Call::new()
        .body(b"")
        .capture("user", "x")
        .run(tell)
        .failure()
        .unwrap();
    assert!(
        !failure.is_transient() && failure.reason().contains("route"),
        "{failure}"
    );
}

#[test]
fn a_join_is_read_by_function_and_port() {
    fn merge(input: Input<'_>) -> Result<Json<Vec<Point>>, BoxError> {
        let part = |function, port| {
            let part = input.part_on(function, port).ok_or("a part is missing")?;
            Ok::<_, BoxError>(part.extract::<Json<Point>>()?.0)
        };
        Ok(Json(vec![part("split", "low")?, part("split", "high")?]))
    }
    let join = || {
        Call::new()
            .input_on("split", "high", br#"{"x":2,"y":2}"#)
            .input_on("split", "low", br#"{"x":1,"y":1}"#)
    };
    assert_eq!(text(&join().run(merge)), r#"[{"x":1,"y":1},{"x":2,"y":2}]"#);
    // What takes one record refuses a join, for good.
    let failure = join().run(|body: String| body).failure().unwrap();
    assert!(!failure.is_transient() && failure.reason().contains("joins"));
}

#[test]
fn a_handler_with_an_output_writes_what_and_where_it_wants() {
    fn sort(Json(point): Json<Point>, output: &mut Output<'_>) -> Result<(), BoxError> {
        if point.x < 0 {
            return output.send_record(To("reject", (http::StatusCode::UNPROCESSABLE_ENTITY, "negative")));
        }
        output.send_record(Json(point))
    }
    let call = |body: &[u8]| Call::new().body(body).ports(&["out", "reject"]);
    let taken = call(br#"{"x":1,"y":1}"#).run(sort);
    assert!(taken.port("reject").is_none());
    assert_eq!(text(&taken), r#"{"x":1,"y":1}"#);
    let refused = call(br#"{"x":-1,"y":1}"#).run(sort);
    let record = refused.port("reject").unwrap();
    assert_eq!((record.body(), record.status()), (&b"negative"[..], 422));
    // A port that the chain file does not declare is an error of the author.
    let undeclared = Call::new().body(b"").run(|| To("elsewhere", "x"));
    assert!(!undeclared.failure().unwrap().is_transient());
}

#[test]
fn a_port_gets_one_record_in_a_run() {
    fn twice(text: String, output: &mut Output<'_>) -> Result<(), BoxError> {
        output.set_status(201)?; // of the record to come
        output.send_record(text.clone())?;
        match text.as_str() {
            "typed" => output.send_record(ContentType("text/html", "again")),
            "bytes" => Ok(output.send(b"again")?),
            "named" => Ok(output.send_to("out", b"again")?),
            "added" => Ok(output.out()?.append(b", and more")?),
            _ => output.send_record(To("other", "a port of its own")),
        }
    }
    let run = |text: &str| {
        Call::new()
            .body(text.as_bytes())
            .ports(&["out", "other"])
            .run(twice)
    };
    for text in ["typed", "bytes", "named"] {
        let failure = run(text).failure().unwrap();
        assert!(!failure.is_transient(), "{text}");
        assert!(
            failure.reason().contains("second record to one port"),
            "{text}: {}",
            failure.reason()
        );
    }
    assert_eq!(run("added").port("out").unwrap().body(), b"added, and more");
    let both = run("both");
    assert_eq!(both.port("out").unwrap().body(), b"both");
    assert_eq!(both.port("other").unwrap().body(), b"a port of its own");
    assert_eq!(both.port("out").unwrap().status(), 201);
}

#[test]
fn a_port_that_is_not_there_and_one_opened_twice_are_told_apart() {
    fn opens(name: String, output: &mut Output<'_>) -> Result<(), Failure> {
        let second = if name == "twice" { "out" } else { "nope" };
        output.ports(["out", second]).map(|_| ())
    }
    let reason = |name: &str| {
        Call::new()
            .body(name.as_bytes())
            .run(opens)
            .failure()
            .unwrap()
            .reason()
            .to_owned()
    };
    assert!(reason("twice").contains("opened one port twice"));
    assert!(reason("nope").contains("does not declare"));
}

#[test]
fn status_and_headers_are_those_of_the_crate_http() {
    use http::{HeaderMap, HeaderValue, StatusCode};
    fn make() -> (StatusCode, HeaderMap, Json<u32>) {
        let mut headers = HeaderMap::new();
        headers.insert(
            "Content-Type",
            HeaderValue::from_static("application/problem+json"),
        );
        headers.append("set-cookie", HeaderValue::from_static("a=1"));
        headers.append("set-cookie", HeaderValue::from_static("b=2"));
        (StatusCode::IM_A_TEAPOT, headers, Json(7))
    }
    let reply = Call::new().body(b"").run(make);
    let record = reply.port("out").unwrap();
    assert_eq!((record.status(), record.body()), (418, &b"7"[..]));
    let mut headers: Vec<_> = record
        .headers()
        .filter(|(name, _)| !name.starts_with("hacher-"))
        .collect();
    headers.sort_unstable();
    assert_eq!(
        headers,
        [
            ("content-type", "application/problem+json"),
            ("set-cookie", "a=1"),
            ("set-cookie", "b=2")
        ]
    );
    for wrong in [StatusCode::CONTINUE, StatusCode::from_u16(999).unwrap()] {
        let reply = Call::new().body(b"").run(|| (wrong, "x"));
        assert!(!reply.failure().unwrap().is_transient(), "{wrong}");
    }
    let forbidden = Call::new().body(b"").run(|| {
        let name = http::header::TRANSFER_ENCODING;
        (
            HeaderMap::from_iter([(name, HeaderValue::from_static("chunked"))]),
            "x",
        )
    });
    assert!(!forbidden.failure().unwrap().is_transient());
}

/// What a run that returns `error` becomes.
fn judged(error: impl Into<BoxError>) -> Failure {
    let mut error = Some(error.into());
    let reply = Call::new()
        .body(b"")
        .run(|| error.take().map_or(Ok("again"), Err));
    reply.failure().unwrap()
}

#[test]
fn an_error_says_itself_whether_it_is_worth_another_attempt() {
    use std::io::{Error, ErrorKind};
    let lasting: [BoxError; 8] = [
        Error::new(ErrorKind::InvalidData, "x").into(),
        Error::new(ErrorKind::InvalidInput, "x").into(),
        "x".parse::<u8>().unwrap_err().into(),
        "x".parse::<f64>().unwrap_err().into(),
        String::from_utf8(vec![0xff]).unwrap_err().into(),
        serde_json::from_str::<u8>("x").unwrap_err().into(),
        Error::other("x".parse::<u8>().unwrap_err()).into(),
        permanent(Error::from(ErrorKind::TimedOut)).into(),
    ];
    for error in lasting {
        let said = format!("{error:?}");
        assert!(!judged(error).is_transient(), "{said}");
    }
    let passing: [BoxError; 6] = [
        Error::from(ErrorKind::TimedOut).into(),
        Error::from_raw_os_error(12).into(),
        Error::other("x").into(),
        "in words".into(),
        retry(Error::from(ErrorKind::InvalidData)).into(),
        std::fmt::Error.into(),
    ];
    for error in passing {
        let said = format!("{error:?}");
        assert!(judged(error).is_transient(), "{said}");
    }
    let reason = judged(Error::from_raw_os_error(12)).reason();
    assert!(reason.contains("out of memory"), "{reason}");
}

#[test]
fn a_failure_comes_out_as_it_went_in_whatever_it_is_wrapped_in() {
    #[derive(Debug)]
    struct Wrapped(BoxError);
    impl core::fmt::Display for Wrapped {
        fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
            formatter.write_str("wrapped")
        }
    }
    impl core::error::Error for Wrapped {
        fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
            Some(&*self.0)
        }
    }
    let failure = Failure::permanent("not a photograph");
    assert_eq!(judged(failure), failure);
    assert_eq!(judged(Wrapped(failure.into())), failure);
    assert_eq!(judged(std::io::Error::from(failure)), failure);
    assert_eq!(
        judged(Wrapped(std::io::Error::other(Wrapped(failure.into())).into())),
        failure
    );
    // The author's last word counts.
    assert!(judged(retry(failure)).is_transient());
}

#[test]
fn no_text_of_an_error_reaches_the_reason() {
    let secret = "secret payload";
    for error in [
        BoxError::from(secret),
        std::io::Error::other(secret).into(),
        permanent(secret).into(),
    ] {
        assert!(!judged(error).reason().contains("secret"));
    }
    let failure = Call::new()
        .body(secret.as_bytes())
        .run(|Json(n): Json<u8>| Json(n));
    assert!(!failure.failure().unwrap().reason().contains("secret"));
}

#[test]
fn a_type_of_the_author_is_a_parameter_as_any_other() {
    struct Length(usize);
    impl FromRecord for Length {
        fn from_record(record: &hacher::Part) -> Result<Self, BoxError> {
            Ok(Self(record.bytes().len()))
        }
    }
    let reply = Call::new()
        .body(&vec![0; 200_000])
        .run(|Length(length): Length| length.to_string());
    assert_eq!(text(&reply), "200000", "it waits for all of the body");
}

#[test]
fn initialisation_makes_a_handler_with_state_or_says_why_not() {
    fn initialise(start: &hacher::Start<'_>) -> Result<impl FnMut(String) -> String + use<>, BoxError> {
        let factor: u32 = start.env("FACTOR").ok_or("FACTOR is not set")?.parse()?;
        let mut sum = 0;
        Ok(move |number: String| {
            sum += number.len() as u32 * factor;
            sum.to_string()
        })
    }
    let mut handler = Call::new().env("FACTOR", "10").start(initialise).unwrap();
    let _ = Call::new().body(b"abc").run(&mut handler);
    assert_eq!(text(&Call::new().body(b"ab").run(&mut handler)), "50");
    let error = Call::new().start(initialise).err().unwrap();
    assert_eq!(error.to_string(), "FACTOR is not set");
    assert!(Call::new().env("FACTOR", "x").start(initialise).is_err());
}
