//! The harness does as a chain would.

use super::*;
use std::io::{Read, Write};

#[test]
fn a_large_body_arrives_whole_and_streams() {
    let body: Vec<u8> = (0..200_000_u32).map(|i| i.to_le_bytes()[0]).collect();
    let whole = Call::new().body(&body).run(|mut input, output| {
        let bytes = input.bytes()?.to_vec();
        output.send(&bytes)
    });
    assert_eq!(whole.port("out").unwrap().body(), body);
    assert_eq!(whole.port("out").unwrap().segments(), 4);
    let streamed = Call::new().body(&body).run(|mut input, output| {
        let mut writer = output.out()?;
        writer.stream();
        std::io::copy(&mut input.reader(), &mut writer)?;
        Ok(())
    });
    assert_eq!(streamed.port("out").unwrap().body(), body);
}

#[test]
fn a_body_that_ends_on_a_segment_boundary_is_not_followed_by_an_empty_segment() {
    let body = vec![7; SEGMENT_BYTES - 2];
    let reply = Call::new().body(b"").run(move |_, output| output.send(&body));
    assert_eq!(reply.port("out").unwrap().segments(), 1);
}

#[test]
fn a_panic_that_is_expected_is_a_failed_attempt_and_delivers_nothing() {
    let reply = Call::new().body(b"x").expects_panic().run(|_, output| {
        output.send(b"half")?;
        panic!("oh no");
    });
    assert!(reply.result().unwrap_err().is_transient());
    assert!(reply.port("out").is_none());
}

#[test]
fn a_join_sees_its_parts_by_name_and_headers_are_inherited() {
    let reply = Call::new()
        .input("left", b"L")
        .header("traceparent", "00-1")
        .input("right", b"R")
        .ports(&["out", "reject"])
        .secret("KEY", b"s3cret")
        .run(|input, output| {
            assert_eq!(input.secret("KEY"), Some(&b"s3cret"[..]));
            let left = input.part("left").ok_or(Failure::permanent("no left"))?.bytes();
            let mut writer = output.port("reject")?;
            writer.write_all(left)?;
            writer.set_content_type("text/plain")?;
            Ok(())
        });
    let record = reply.port("reject").unwrap();
    assert_eq!(record.body(), b"L");
    assert_eq!(record.content_type(), Some("text/plain"));
    assert_eq!(record.header("traceparent"), Some("00-1"));
    assert!(reply.port("out").is_none());
}

#[test]
fn what_describes_the_input_is_not_said_of_the_output_unless_the_handler_says_so() {
    let call = || {
        Call::new()
            .body(b"{}")
            .content_type("application/json")
            .header("content-encoding", "gzip")
            .header("ce-id", "7")
            .header("baggage", "a=1")
            .header("traceparent", "00-1")
    };
    let silent = call().run(|_, output| output.send(b"made here"));
    let headers: Vec<_> = silent.port("out").unwrap().headers().collect();
    assert_eq!(headers, [("baggage", "a=1"), ("traceparent", "00-1")]);
    let speaking = call().run(|mut input, output| {
        let mut out = output.out()?;
        out.set_content_type("text/plain")?;
        out.describe_as(&input.parts()[0])?;
        out.set_header("ce-id", "8")?;
        out.append_header("link", "<a>")?;
        out.append_header("link", "<b>")?;
        out.remove_header("baggage")?;
        out.append(input.bytes()?)
    });
    let headers: Vec<_> = speaking.port("out").unwrap().headers().collect();
    assert_eq!(
        headers,
        [
            ("traceparent", "00-1"),
            ("content-type", "application/json"),
            ("content-encoding", "gzip"),
            ("ce-id", "8"),
            ("link", "<a>"),
            ("link", "<b>"),
        ]
    );
}

#[test]
fn a_header_that_http_could_not_carry_is_a_permanent_failure() {
    let of_the_connection = headers::OF_THE_CONNECTION.map(|name| (name, "a"));
    let own = [
        "hacher-query",
        "hacher-invocation",
        "Hacher-Other",
        "hacher-error-other",
    ];
    let malformed = [("x y", "a"), ("", "a"), ("x", "a\r\nb: c")];
    let all = of_the_connection.into_iter().chain(own.map(|name| (name, "a")));
    for (name, value) in all
        .chain(malformed)
        .chain([("Transfer-Encoding", "chunked"), ("hacher-status", "199")])
    {
        let reply = Call::new()
            .body(b"")
            .run(move |_, output| output.out()?.set_header(name, value));
        assert!(!reply.result().unwrap_err().is_transient());
    }
}

#[test]
fn an_undeclared_port_is_a_permanent_failure() {
    let reply = Call::new()
        .body(b"")
        .run(|_, output| output.send_to("nowhere", b""));
    assert!(!reply.result().unwrap_err().is_transient());
}

#[test]
fn a_reader_holds_little_more_than_one_segment() {
    let body = vec![1; 5 * SEGMENT_BYTES];
    Call::new()
        .body(&body)
        .run(|mut input, output| {
            let mut buffer = [0; 1000];
            let mut reader = input.reader();
            while reader.read(&mut buffer)? > 0 {}
            assert!(input.parts()[0].bytes().len() <= SEGMENT_BYTES);
            output.send(b"")
        })
        .result()
        .unwrap();
}

/// What a panic of the harness says.
fn panic_of(act: impl FnOnce() + std::panic::UnwindSafe) -> String {
    let panic = catch_unwind(act).expect_err("it is to panic");
    let text = panic.downcast_ref::<String>().cloned();
    text.unwrap_or_else(|| panic.downcast_ref::<&str>().unwrap().to_string())
}

#[test]
fn a_panic_fails_the_test_unless_it_is_expected_and_one_that_is_missed_too() {
    let panicking = || drop(Call::new().body(b"").run(|_, _| panic!("oh no")));
    assert_eq!(panic_of(panicking), "oh no");
    let calm = || {
        drop(
            Call::new()
                .body(b"")
                .expects_panic()
                .run(|_, output| output.send(b"")),
        )
    };
    assert!(panic_of(calm).contains("expected to panic"));
    let without = || drop(Call::new().run(|_, output| output.send(b"")));
    assert!(panic_of(without).contains("add an input"));
}

#[test]
fn a_handler_that_writes_nothing_fails_for_good() {
    let reply = Call::new().body(b"x").run(|_, _| Ok(()));
    assert_eq!(
        reply.failure(),
        Some(Failure::permanent("the handler produced no output"))
    );
    let asked = Call::new().body(b"x").run(|_, output| output.out().map(drop));
    assert_eq!(
        asked.port("out").unwrap().body(),
        b"",
        "an empty record is a record"
    );
}

#[test]
fn an_output_is_bounded_by_the_outbox_unless_it_streams() {
    let call = || Call::new().body(b"").outbox_bytes(100_000);
    let too_large = Some(Failure::permanent("the output is larger than the outbox"));
    let body = vec![1; 200_000];
    let whole = call().run(|_, output| output.send(&body));
    assert_eq!(whole.failure(), too_large);
    assert!(whole.port("out").is_none());
    let placed = call().run(|_, output| output.place(200_000).map(drop));
    assert_eq!(placed.failure(), too_large);
    let streamed = call().run(|_, output| {
        let mut out = output.out()?;
        out.stream();
        out.append(&body)
    });
    assert_eq!(streamed.port("out").unwrap().body(), body);
}

#[test]
fn what_is_flushed_leaves_in_a_segment_of_its_own_if_it_streams_and_nobody_holds_it() {
    let write = |streams: bool| {
        move |_: Input<'_>, output: &mut Output<'_>| {
            let mut out = output.out()?;
            if streams {
                out.stream();
            }
            for piece in [&b"one"[..], b"", b"two"] {
                out.append(piece)?;
                out.flush()?;
            }
            out.append(b"three")
        }
    };
    for (call, streams, segments) in [
        (Call::new(), true, 3),
        (Call::new(), false, 1),
        (Call::new().held("out"), true, 1),
    ] {
        let reply = call.body(b"").run(write(streams));
        let record = reply.port("out").unwrap();
        assert_eq!(
            (record.segments(), record.body()),
            (segments, &b"onetwothree"[..])
        );
    }
}

#[test]
fn what_was_flushed_has_left_and_is_a_part_if_the_run_fails() {
    let headers = Call::new().body(b"").run(|_, output| {
        let mut out = output.out()?;
        out.stream().append(b"begun")?;
        out.flush()?;
        out.set_status(500)
    });
    let reason = "headers must be set before a streamed record has left";
    assert_eq!(headers.failure(), Some(Failure::permanent(reason)));
    assert_eq!(headers.partial("out").unwrap().body(), b"begun");
    let held = Call::new().body(b"").held("out").run(|_, output| {
        let mut out = output.out()?;
        out.stream().append(b"begun")?;
        out.flush()?;
        Err(Failure::retry("busy"))
    });
    assert!(held.partial("out").is_none());
}

#[test]
fn a_streamed_record_that_somebody_holds_is_bounded_by_the_outbox_and_has_a_hole_beyond_it() {
    let write = |goes_on: bool| {
        move |_: Input<'_>, output: &mut Output<'_>| {
            let mut out = output.out()?;
            let written = out.stream().append(&vec![1; 200_000]);
            if goes_on {
                out.append(&vec![1; SEGMENT_BYTES])
            } else {
                written
            }
        }
    };
    let call = || Call::new().body(b"").outbox_bytes(100_000).held("out");
    for (goes_on, reason) in [
        (false, "the output is larger than the outbox"),
        (true, "the handler went on after its output had failed"),
    ] {
        let reply = call().run(write(goes_on));
        assert_eq!(reply.failure(), Some(Failure::permanent(reason)));
        assert!(reply.port("out").is_none());
    }
    assert!(
        panic_of(|| drop(Call::new().body(b"").held("no").run(|_, output| output.send(b""))))
            .contains("`no`")
    );
}

#[test]
fn nothing_is_written_to_a_record_that_was_placed() {
    let reply = Call::new().body(b"").run(|_, output| {
        let _ = output.place(3)?;
        output.send(b"more")
    });
    assert!(reply.failure().is_some_and(|failure| !failure.is_transient()));
    let reply = Call::new().body(b"").run(|_, output| {
        output.send(b"more")?;
        output.place(3).map(drop)
    });
    assert!(reply.failure().is_some_and(|failure| !failure.is_transient()));
}

#[test]
fn the_input_comes_in_the_segments_that_the_test_chose() {
    let read = |segment_bytes| {
        let mut pieces = Vec::new();
        let call = Call::new().body(b"0123456789").header("x", "y");
        let _ = call.segment_bytes(segment_bytes).run(|mut input, output| {
            assert_eq!(input.header("x"), Some("y"));
            let mut reader = input.reader();
            loop {
                let piece = std::io::BufRead::fill_buf(&mut reader)?.to_vec();
                if piece.is_empty() {
                    return output.send(b"");
                }
                std::io::BufRead::consume(&mut reader, piece.len());
                pieces.push(piece.len());
            }
        });
        pieces
    };
    assert_eq!(read(4), [4, 4, 2]);
    assert_eq!(read(10), [10]);
    assert_eq!(read(1), [1; 10]);
}

#[test]
fn an_input_that_breaks_off_fails_the_run_whatever_the_handler_makes_of_it() {
    let reply = Call::new()
        .body(b"0123456789")
        .segment_bytes(4)
        .breaks_off()
        .run(|mut input, output| {
            let mut got = Vec::new();
            assert!(input.reader().read_to_end(&mut got).is_err());
            assert_eq!(got, b"0123456789");
            output.send(&got)
        });
    assert_eq!(
        reply.failure(),
        Some(Failure::retry("the sender gave up on the input"))
    );
    assert!(reply.port("out").is_none());
}

#[test]
fn what_has_left_of_a_streamed_record_before_a_failure_is_shown_as_a_part() {
    let reply = Call::new().body(b"x").run(|_, output| {
        let mut out = output.out()?;
        out.stream();
        out.append(&vec![7; SEGMENT_BYTES + 10])?;
        Err(Failure::retry("busy"))
    });
    assert!(reply.port("out").is_none());
    let partial = reply.partial("out").unwrap();
    assert_eq!((partial.segments(), partial.body().len()), (1, SEGMENT_BYTES - 2));
    let held_back = Call::new().body(b"x").run(|_, output| {
        output.send(b"all of it")?;
        Err(Failure::retry("busy"))
    });
    assert!(
        held_back.partial("out").is_none(),
        "nothing leaves before the end"
    );
}

#[test]
fn what_remains_is_the_shorter_of_deadline_and_timeout() {
    let remaining = |deadline, timeout| {
        let (mut left, mut cancelled) = (Duration::MAX, true);
        let call = Call::new().body(b"").deadline(deadline).timeout(timeout);
        let _ = call.run(|input, output| {
            (left, cancelled) = (input.remaining(), input.is_cancelled());
            output.send(b"")
        });
        (left, cancelled)
    };
    let (hour, day) = (Duration::from_secs(3600), Duration::from_secs(86_400));
    for (deadline, timeout) in [(hour, day), (day, hour)] {
        let (left, cancelled) = remaining(deadline, timeout);
        assert!(left <= hour && left > hour / 2, "{left:?}");
        assert!(!cancelled);
    }
    for (deadline, timeout) in [(Duration::ZERO, day), (day, Duration::from_nanos(1))] {
        assert_eq!(remaining(deadline, timeout), (Duration::ZERO, true));
    }
}

#[test]
fn a_run_may_be_cancelled_after_some_looks() {
    let mut looks = 0;
    let _ = Call::new().body(b"").cancelled_after(3).run(|input, output| {
        while !input.is_cancelled() {
            looks += 1;
        }
        output.send(b"")
    });
    assert_eq!(looks, 3);
}

#[test]
fn the_input_of_an_error_port_explains_itself() {
    let reply = Call::new()
        .error_input("resize", Cause::TimedOut, "", 3, b"photo")
        .run(|mut input, output| {
            assert_eq!(input.upstream(), Some("resize"));
            assert!(input.part_on("resize", "error").is_some());
            assert_eq!(input.header("hacher-error-reason"), None);
            let attempts = input.header("hacher-error-attempts").unwrap_or("").to_owned();
            assert_eq!(input.bytes()?, b"photo");
            output.send(attempts.as_bytes())
        });
    let record = reply.port("out").unwrap();
    assert_eq!(record.body(), b"3");
    assert_eq!(record.header("hacher-error-function"), Some("resize"));
}

#[test]
fn a_join_has_no_first_part_by_accident_and_parts_are_told_apart_by_port() {
    let join = || {
        Call::new()
            .input_on("split", "even", b"E")
            .header("content-type", "text/even")
            .header("traceparent", "00-1")
            .input_on("split", "odd", b"O")
            .input("other", b"X")
    };
    let reply = join().run(|mut input, output| {
        assert!(input.is_join());
        assert!(input.part("split").is_none(), "there are two of them");
        assert_eq!(input.part("other").map(Part::bytes), Some(&b"X"[..]));
        assert_eq!((input.upstream(), input.content_type()), (None, None));
        assert_eq!(input.header("content-type"), None);
        assert_eq!(input.header("traceparent"), Some("00-1"), "of the request");
        let failure = input.bytes().unwrap_err();
        assert!(!failure.is_transient());
        let read = Failure::from(input.reader().read(&mut [0]).unwrap_err());
        assert_eq!((read, input.view().err()), (failure, Some(failure)));
        let odd = input.part_on("split", "odd").unwrap();
        output.send(odd.bytes())
    });
    assert_eq!(reply.port("out").unwrap().body(), b"O");
}

#[test]
fn several_ports_are_open_at_once_streamed_or_not() {
    let body: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    let reply = Call::new()
        .body(&body)
        .ports(&["even", "odd", "count"])
        .run(|mut input, output| {
            let [mut even, mut count, mut odd] = output.ports(["even", "count", "odd"])?;
            even.stream();
            for byte in input.bytes()? {
                let half = if byte % 2 == 0 { &mut even } else { &mut odd };
                half.append(&[*byte])?;
            }
            count.set_content_type("text/plain")?;
            count.append(b"150000")
        });
    let half = |rest| {
        body.iter()
            .copied()
            .filter(|byte| byte % 2 == rest)
            .collect::<Vec<_>>()
    };
    assert_eq!(reply.port("even").unwrap().body(), half(0));
    assert_eq!(reply.port("odd").unwrap().body(), half(1));
    assert_eq!(reply.port("count").unwrap().content_type(), Some("text/plain"));
    for wrong in [["even", "even"], ["even", "none"]] {
        let call = Call::new().body(b"").ports(&["even", "odd"]);
        let reply = call.run(|_, output| output.ports(wrong).map(drop));
        assert!(!reply.failure().unwrap().is_transient(), "{wrong:?}");
    }
}

#[test]
fn initialisation_finds_environment_and_secrets_as_runs_do() {
    let call = Call::new().body(b"").env("LEVEL", "7").secret("KEY", b"s3cret");
    let made = call.start(|start| {
        let level = start.env("LEVEL").ok_or("no level")?;
        assert_eq!(start.env("PATH"), None, "not the test's own environment");
        Ok::<_, &str>((level, start.secret("KEY").map(<[u8]>::len)))
    });
    assert_eq!(made, Ok(("7".to_owned(), Some(6))));
    let reply = call.run(|input, output| output.send(input.env("LEVEL").unwrap_or_default().as_bytes()));
    assert_eq!(reply.port("out").unwrap().body(), b"7");
}

#[test]
fn a_handler_may_change_what_it_has_captured() {
    let mut runs = 0_u32;
    let mut count = |_: Input<'_>, output: &mut Output<'_>| {
        runs += 1;
        output.send(&runs.to_le_bytes())
    };
    let _ = Call::new().body(b"").run(&mut count);
    let reply = Call::new().body(b"").run(&mut count);
    assert_eq!(reply.port("out").unwrap().body(), 2_u32.to_le_bytes());
}

#[test]
fn a_handler_finds_its_own_run_as_the_parent_of_what_it_causes() {
    const CAME: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let parent_of = |value: Option<&str>| value.map(|value| value[36..52].to_owned()).unwrap();
    let mut attempts = Vec::new();
    for attempt in [1, 2] {
        let call = Call::new()
            .body(b"x")
            .header("traceparent", CAME)
            .attempt(attempt);
        let mut seen = String::new();
        let reply = call.run(|input, output| {
            seen = parent_of(input.header("traceparent"));
            output.send(b"y")
        });
        let sent = reply.port("out").unwrap().header("traceparent");
        assert_eq!(parent_of(sent), seen);
        assert_eq!(
            sent.map(|sent| sent.replace(&seen, "b7ad6b7169203331"))
                .as_deref(),
            Some(CAME)
        );
        attempts.push(seen);
    }
    assert_ne!(attempts[0], attempts[1]);
    assert!(!attempts.contains(&"b7ad6b7169203331".to_owned()));
}
