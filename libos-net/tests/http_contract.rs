//! What a handler may say in the headers of its records, and what it sees in those of requests.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use hacher_libos_net::harness::Call;

#[test]
fn names_are_written_in_any_case_and_what_stands_once_is_not_appended_to() {
    let reply = Call::new().body(b"").run(|_, output| {
        let mut out = output.out()?;
        out.set_header("X-Tenant", "a")?;
        out.append_header("Set-Cookie", "a=1")?;
        out.append_header("set-cookie", "b=2")?;
        out.append_header("Location", "/a")?;
        assert!(out.append_header("location", "/b").is_err());
        out.set_header("ETag", "\"1\"")?;
        out.remove_header("ETAG")?;
        out.set_header("hacher-error-reason", "in words of its own")
    });
    let headers: Vec<_> = reply.port("out").unwrap().headers().collect();
    assert_eq!(
        headers,
        [
            ("x-tenant", "a"),
            ("set-cookie", "a=1"),
            ("set-cookie", "b=2"),
            ("location", "/a"),
            ("hacher-error-reason", "in words of its own"),
        ]
    );
}

#[test]
fn a_status_is_chosen_by_number_and_any_that_is_none_fails() {
    let said = |status: u16| {
        Call::new().body(b"").run(move |_, output| {
            output.set_status(status)?;
            output.send(b"x")
        })
    };
    for status in [200, 204, 304, 307, 422, 599] {
        assert_eq!(said(status).port("out").unwrap().status(), status);
    }
    for status in [0, 99, 100, 101, 199, 600, 999, u16::MAX] {
        let failure = said(status).result().unwrap_err();
        assert!(
            !failure.is_transient() && failure.reason().contains("200 to 599"),
            "{status}"
        );
    }
    let silent = Call::new().body(b"").run(|_, output| output.send(b"x"));
    assert_eq!(silent.port("out").unwrap().status(), 200);
}

#[test]
fn a_fallback_decides_what_of_the_error_is_seen() {
    let call = || {
        Call::new()
            .body(b"")
            .header("hacher-error-function", "score")
            .header("hacher-error-reason", "no model")
    };
    let told = call().run(|_, output| output.send(b"default"));
    assert_eq!(
        told.port("out").unwrap().header("hacher-error-reason"),
        Some("no model")
    );
    let silent = call().run(|_, output| {
        output.out()?.remove_explanation()?;
        output.send(b"default")
    });
    assert_eq!(silent.port("out").unwrap().headers().count(), 0);
}

#[test]
fn a_function_sees_method_path_query_and_captures_and_hands_them_on() {
    let call = Call::new()
        .body(b"")
        .method("GET")
        .path("/thumbs/640")
        .query("q=%20")
        .capture("size", "640")
        .header("x-forwarded-for", "made up, 192.0.2.1")
        .header("authorization", "secret");
    let reply = call.run(|input, output| {
        assert_eq!(
            (input.method(), input.path(), input.query()),
            ("GET", "/thumbs/640", Some("q=%20"))
        );
        assert_eq!((input.capture("size"), input.capture("siz")), (Some("640"), None));
        assert_eq!(input.client_address(), Some("192.0.2.1"));
        output.send(b"")
    });
    let headers: Vec<_> = reply.port("out").unwrap().headers().collect();
    assert_eq!(
        headers,
        [
            ("hacher-method", "GET"),
            ("hacher-path", "/thumbs/640"),
            ("hacher-query", "q=%20"),
            ("hacher-capture-size", "640"),
        ]
    );
    Call::new()
        .body(b"")
        .run(|input, output| {
            assert_eq!((input.method(), input.path(), input.query()), ("POST", "", None));
            assert_eq!((input.capture("size"), input.client_address()), (None, None));
            output.send(b"")
        })
        .result()
        .unwrap();
}
