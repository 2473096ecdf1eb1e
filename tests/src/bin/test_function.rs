//! The functions that the tests put into chains: which one, the chain file says in the variable `FUNCTION`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use hacher_libos_net::{Failure, Input, Output, serve};
use hacher_tests::modelled::Modelled;
use hacher_tests::{hostile, image, ordinary, programs, served, streamed, taken_over};
use std::io::Write;
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};
use thumbnails::thumbnail::Size;

fn main() -> ExitCode {
    let wanted = std::env::var("FUNCTION").unwrap_or_default();
    match wanted.as_str() {
        "echo" => serve(echo::echo),
        "decode" => serve(thumbnails::decode),
        "resize" => match Size::from_environment() {
            Ok(size) => serve(thumbnails::resize(size)),
            Err(_) => ExitCode::FAILURE,
        },
        "pack" => serve(thumbnails::pack),
        "hostile" => serve(hostile::try_everything),
        "ordinary" => serve(ordinary::everything),
        "image" => serve(image::tell),
        "programs" => serve(programs::tell),
        "child" => programs::child(),
        "http-server" => served::serve(),
        "tell-secret" => serve(tell_secret),
        "refused" => serve(ordinary::refused),
        "fail-once" => serve(fail_once),
        "reject" => {
            serve(|_: Input<'_>, _: &mut Output<'_>| Err(Failure::permanent("this is never accepted")))
        }
        "flood" => serve(flood),
        "stall-in-reply" => serve(stall_in_reply),
        "panic" => serve(|_: Input<'_>, _: &mut Output<'_>| panic!("as the test wants")),
        "hang" => serve(hang),
        "slow" => serve(slow),
        "slower" => serve(slower),
        "nap" => serve(nap),
        "spin" => serve(spin),
        "concatenate" => serve(concatenate),
        "keep" => serve(keep),
        "end" => serve(end),
        "mirror" => serve(mirror),
        "poisonable" => serve(poisonable),
        "chatty" => serve(chatty),
        "modelled" => {
            let modelled = Modelled::from_environment();
            serve(move |input: Input<'_>, output: &mut Output<'_>| modelled.run(input, output))
        }
        "talk" => talk(),
        "taken-over" => taken_over::serve(),
        "leave" => ExitCode::SUCCESS,
        "die" => {
            eprint!("last words, without a newline");
            ExitCode::from(3)
        }
        // Starts only from the time on that it is given.
        "late" => match std::env::var("FROM").ok().and_then(|from| from.parse().ok()) {
            Some(from) if SystemTime::now() >= SystemTime::UNIX_EPOCH + Duration::from_secs(from) => {
                serve(echo::echo)
            }
            _ => ExitCode::from(3),
        },
        "cannot-start" => hacher::serve_with(cannot_start),
        "panics-at-start" => hacher::serve_with(|_| -> Result<fn(String) -> String, hacher::BoxError> {
            panic!("as the test wants")
        }),
        "counts" => hacher::serve_with(|_| {
            let mut runs = 0_u32;
            Ok(move |hacher::Json(step): hacher::Json<u32>| {
                runs += step;
                hacher::Json(runs)
            })
        }),
        "asleep" => hacher::serve(hacher::asynchronous(asleep)),
        "remaining" => hacher::serve(|input: Input<'_>| input.remaining().as_millis().to_string()),
        "abort" => std::process::abort(),
        "never-serve" => loop {
            std::thread::sleep(Duration::from_secs(1));
        },
        "brief" => brief(),
        "crowd" => crowd(),
        "say" => serve(say),
        "headers" => serve(headers),
        "pass" => serve(pass),
        "event" => serve(event),
        "status" => serve(status),
        "reply" => serve(reply),
        "choose" => serve(choose),
        "answer-event" => serve(answer_event),
        "threads" => serve(threads),
        "fill" => serve(fill),
        "stream-pass" => serve(streamed::pass),
        "stream-digest" => serve(streamed::digest),
        "stream-endless" => serve(streamed::endless),
        other => {
            eprintln!("there is no test function `{other}`");
            ExitCode::FAILURE
        }
    }
}

/// Finds that a file is missing.
fn cannot_start(start: &hacher::Start<'_>) -> Result<fn(String) -> String, hacher::BoxError> {
    let path = start.env("MODEL").ok_or("MODEL is not set")?;
    let model =
        std::fs::read(&path).map_err(|error| hacher::permanent(error).because("there is no model"))?;
    Err(format!("a model of {} bytes", model.len()).into())
}

/// Never answers `wait`, and waits for nothing else longer than a moment.
async fn asleep(body: String) -> String {
    if body == "wait" {
        std::future::pending::<()>().await;
    }
    tokio::time::sleep(Duration::from_millis(1)).await;
    body
}

/// Tells the secret that its input names.
fn tell_secret(mut input: Input<'_>, output: &mut Output<'_>) -> Result<(), Failure> {
    let name = String::from_utf8_lossy(input.bytes()?).into_owned();
    match input.secret(&name).map(<[u8]>::to_vec) {
        Some(secret) => output.send(&secret),
        None => Err(Failure::permanent("there is no such secret")),
    }
}

/// The body of the record, or of a join's first one.
fn first_body<'i>(input: &'i mut Input<'_>) -> Result<&'i [u8], Failure> {
    if input.is_join() {
        return Ok(input.parts().first().map_or(&[], hacher_libos_net::Part::bytes));
    }
    input.bytes()
}

/// Fails on the first attempt at each record.
fn fail_once(mut input: Input<'_>, output: &mut Output<'_>) -> Result<(), Failure> {
    if input.attempt() == 1 {
        return Err(Failure::retry("the first attempt always fails"));
    }
    let attempt = input.attempt();
    let mut body = first_body(&mut input)?.to_vec();
    body.extend_from_slice(format!(" after {attempt} attempts").as_bytes());
    output.send(&body)
}

/// Never comes to an end on `hang`, echoes anything else.
fn hang(mut input: Input<'_>, output: &mut Output<'_>) -> Result<(), Failure> {
    if input.bytes()? == b"hang" {
        loop {
            std::thread::sleep(Duration::from_secs(1));
        }
    }
    output.send(input.bytes()?)
}

/// Comes to the end that the first word of its input asks for; echoes anything else.
fn poisonable(mut input: Input<'_>, output: &mut Output<'_>) -> Result<(), Failure> {
    let body = first_body(&mut input)?;
    let word = body.split(|byte| *byte == b' ').next().unwrap_or(&[]);
    match word {
        b"fail" => Err(Failure::retry("as the input asks")),
        b"reject" => Err(Failure::permanent("as the input asks")),
        b"panic" => panic!("as the input asks"),
        b"abort" => std::process::abort(),
        b"exit" => std::process::exit(7),
        b"hang" => loop {
            std::thread::sleep(Duration::from_secs(1));
        },
        _ => output.send(body),
    }
}

/// Prints as many bytes as its input has, in lines, to both outputs in turn, and echoes it.
fn chatty(mut input: Input<'_>, output: &mut Output<'_>) -> Result<(), Failure> {
    let body = input.bytes()?;
    for (number, line) in body.chunks(100).enumerate() {
        let line = "said of the input ".repeat(line.len() / 20 + 1);
        if number % 2 == 0 {
            println!("{line}");
        } else {
            eprintln!("{line}");
        }
    }
    output.send(body)
}

/// Ends itself as its input says; echoes anything else.
fn end(mut input: Input<'_>, output: &mut Output<'_>) -> Result<(), Failure> {
    match input.bytes()? {
        b"abort" => std::process::abort(),
        b"exit" => std::process::exit(3),
        b"memory" => {
            let mut kept = Vec::new();
            loop {
                kept.push(vec![1_u8; 1 << 20]);
                std::hint::black_box(&kept);
            }
        }
        b"memory at once" => {
            std::hint::black_box(vec![1_u8; 1 << 32]);
        }
        b"threads" => loop {
            std::thread::Builder::new()
                .stack_size(64 * 1024)
                .spawn(|| std::thread::sleep(Duration::from_secs(60)))
                .unwrap();
        },
        b"descriptors" => {
            let mut kept = Vec::new();
            loop {
                kept.push(std::io::stdin().as_fd().try_clone_to_owned().unwrap());
            }
        }
        b"stack" => {
            std::hint::black_box(deeper(1));
        }
        b"panic" => panic!("as the test wants"),
        b"sleep" => std::thread::sleep(Duration::from_secs(60)),
        _ => {}
    }
    output.send(input.bytes()?)
}

/// Calls itself until there is no stack left.
fn deeper(depth: u64) -> u64 {
    let here = std::hint::black_box([depth; 64]);
    if depth == 0 {
        return 0;
    }
    deeper(depth + 1) + here[usize::try_from(depth % 64).unwrap_or(0)]
}

/// Takes a while.
fn slow(mut input: Input<'_>, output: &mut Output<'_>) -> Result<(), Failure> {
    std::thread::sleep(Duration::from_millis(200));
    output.send(input.bytes()?)
}

/// Sleeps for as many milliseconds as its input says, and passes that on.
fn nap(mut input: Input<'_>, output: &mut Output<'_>) -> Result<(), Failure> {
    let text = input.bytes()?;
    let millis = std::str::from_utf8(text)
        .ok()
        .and_then(|text| text.trim().parse().ok());
    std::thread::sleep(Duration::from_millis(millis.unwrap_or(0)));
    output.send(text)
}

/// Keeps a core busy for as many milliseconds as its input says.
fn spin(mut input: Input<'_>, output: &mut Output<'_>) -> Result<(), Failure> {
    let text = input.bytes()?;
    let millis = std::str::from_utf8(text)
        .ok()
        .and_then(|text| text.trim().parse().ok());
    let end = Instant::now() + Duration::from_millis(millis.unwrap_or(0));
    while Instant::now() < end {
        std::hint::spin_loop();
    }
    output.send(text)
}

/// Takes so long that a test can see a request in flight, on a loaded machine too.
fn slower(mut input: Input<'_>, output: &mut Output<'_>) -> Result<(), Failure> {
    std::thread::sleep(Duration::from_secs(3));
    output.send(input.bytes()?)
}

/// Joins bodies, in the order in which the chain file names the upstream functions.
#[expect(clippy::needless_pass_by_value, reason = "the signature of a handler")]
fn concatenate(input: Input<'_>, output: &mut Output<'_>) -> Result<(), Failure> {
    let bodies: Vec<&[u8]> = input.parts().iter().map(hacher_libos_net::Part::bytes).collect();
    output.send(&bodies.concat())
}

/// Starts threads that use their stacks and heaps until no more can be started, and says how many there are,
/// the first included.
fn threads(_: Input<'_>, output: &mut Output<'_>) -> Result<(), Failure> {
    let end = Arc::new(AtomicBool::new(false));
    let mut started = Vec::new();
    while started.len() < 1000 {
        let end = Arc::clone(&end);
        let thread = std::thread::Builder::new().spawn(move || {
            let used = vec![1_u8; 64 << 10];
            while !end.load(Ordering::Relaxed) {
                std::thread::park_timeout(Duration::from_millis(1));
            }
            used.len()
        });
        match thread {
            Ok(thread) => started.push(thread),
            Err(_) => break,
        }
    }
    let count = started.len() + 1;
    end.store(true, Ordering::Relaxed);
    let fine = started.into_iter().all(|thread| thread.join().is_ok());
    if fine {
        output.send(count.to_string().as_bytes())
    } else {
        Err(Failure::permanent("a thread panicked"))
    }
}

/// Fills as many MiB of memory of its own as its input says, and says so.
fn fill(mut input: Input<'_>, output: &mut Output<'_>) -> Result<(), Failure> {
    let text = String::from_utf8_lossy(input.bytes()?).into_owned();
    let mib: usize = text
        .trim()
        .parse()
        .map_err(|_| Failure::permanent("the input is no number"))?;
    let mut filled = Vec::new();
    for _ in 0..mib {
        let mut piece: Vec<u8> = Vec::new();
        if piece.try_reserve_exact(1 << 20).is_err() {
            break;
        }
        piece.resize(1 << 20, 1);
        filled.push(piece);
    }
    output.send(filled.len().to_string().as_bytes())
}

/// Keeps every body in memory, so that a search of this process has something to find.
fn keep(mut input: Input<'_>, output: &mut Output<'_>) -> Result<(), Failure> {
    static KEPT: AtomicU64 = AtomicU64::new(0);
    let body = input.bytes()?.to_vec();
    output.send(&body)?;
    std::mem::forget(body);
    KEPT.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

/// Prints before it serves, and for each request as many bytes as it says, in lines of 64; never comes to an
/// end on `hang`.
fn talk() -> ExitCode {
    println!("before it serves");
    serve(|mut input, output| {
        if input.bytes()? == b"hang" {
            loop {
                std::thread::sleep(Duration::from_secs(1));
            }
        }
        let wanted: usize = str::from_utf8(input.bytes()?)
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .ok_or(Failure::permanent("not a number"))?;
        for line in 0..wanted / 64 {
            println!("line {line:058}");
        }
        eprint!("printed {wanted}");
        output.send(b"printed")
    })
}

/// Prints its input as it is.
fn say(mut input: Input<'_>, output: &mut Output<'_>) -> Result<(), Failure> {
    let body = input.bytes()?;
    let printed = std::io::stdout()
        .write_all(body)
        .and_then(|()| std::io::stdout().flush());
    printed.map_err(|_| Failure::permanent("standard output takes nothing"))?;
    output.send(body)
}

/// Serves for a moment, and ends whatever there is to do.
fn brief() -> ExitCode {
    std::thread::spawn(|| {
        std::thread::sleep(Duration::from_millis(200));
        std::process::exit(9);
    });
    serve(pass)
}

/// Starts as many threads as it may just before it serves; some of them have not run when calls are refused.
fn crowd() -> ExitCode {
    for _ in 1..16 {
        std::thread::spawn(std::thread::park);
    }
    serve(pass)
}

/// Passes its input on without ever holding more than a piece of it, where it came and where it goes over
/// mapped edges.
fn mirror(mut input: Input<'_>, output: &mut Output<'_>) -> Result<(), Failure> {
    let view = input.view()?;
    let view = view.ok_or(Failure::permanent("the input did not come over a mapped edge"))?;
    let mut out = output.out()?;
    out.set_content_type("application/octet-stream")?;
    let mut place = out.place(view.len_bytes())?;
    let written = view.fold(Ok(0), |at, piece| {
        let at = at?;
        place.write_at(at, piece)?;
        Ok::<usize, Failure>(at + piece.len())
    })?;
    if written == view.len_bytes() {
        Ok(())
    } else {
        Err(Failure::permanent("a view is as long as it says"))
    }
}

/// Answers with the headers of its input, a line for each.
#[expect(clippy::needless_pass_by_value, reason = "the signature of a handler")]
fn headers(input: Input<'_>, output: &mut Output<'_>) -> Result<(), Failure> {
    let headers = input.parts().iter().flat_map(hacher_libos_net::Part::headers);
    let lines: String = headers
        .map(|(name, value)| format!("{name}: {value}\n"))
        .collect();
    output.send(lines.as_bytes())
}

/// Passes the body on and says nothing of it.
fn pass(mut input: Input<'_>, output: &mut Output<'_>) -> Result<(), Failure> {
    output.send(input.bytes()?)
}

/// Answers with an event of its own.
fn event(mut input: Input<'_>, output: &mut Output<'_>) -> Result<(), Failure> {
    let mut out = output.out()?;
    out.set_content_type("application/json")?;
    out.set_header("content-encoding", "identity")?;
    out.set_header("ce-id", "own")?;
    out.set_header("ce-own", "x")?;
    out.append_header("link", "<a>")?;
    out.append_header("link", "<b>")?;
    out.remove_header("tracestate")?;
    out.append(input.bytes()?)
}

/// Answers with the event that came: its attributes, and its data as they are described.
fn answer_event(mut input: Input<'_>, output: &mut Output<'_>) -> Result<(), Failure> {
    let mut out = output.out()?;
    let part = &input.parts()[0];
    out.describe_as(part)?;
    for (name, value) in part.headers().filter(|(name, _)| name.starts_with("ce-")) {
        out.set_header(name, value)?;
    }
    out.append(input.bytes()?)
}

/// Answers as its input says, in lines: `status NUMBER`, `set`, `append` and `remove` with a name and a
/// value; the body follows an empty line.
fn reply(mut input: Input<'_>, output: &mut Output<'_>) -> Result<(), Failure> {
    let text = String::from_utf8_lossy(input.bytes()?).into_owned();
    let (head, body) = text.split_once("\n\n").unwrap_or((&text, ""));
    let mut out = output.out()?;
    for line in head.lines() {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let (name, value) = rest.split_once(' ').unwrap_or((rest, ""));
        match verb {
            "status" => out.set_status(name.parse().map_err(|_| Failure::permanent("no number"))?)?,
            "set" => out.set_header(name, value)?,
            "append" => out.append_header(name, value)?,
            "remove" => out.remove_header(name)?,
            _ => return Err(Failure::permanent("no such verb")),
        }
    }
    out.append(body.as_bytes())
}

/// Passes its input on by the port that it names.
fn choose(mut input: Input<'_>, output: &mut Output<'_>) -> Result<(), Failure> {
    let body = input.bytes()?;
    let port = core::str::from_utf8(body).map_err(|_| Failure::permanent("no port"))?;
    output.port(port)?.append(body)
}

/// Answers with the status that its input says, and with content, which not every status has.
fn status(mut input: Input<'_>, output: &mut Output<'_>) -> Result<(), Failure> {
    let wanted = String::from_utf8_lossy(input.bytes()?).into_owned();
    let mut out = output.out()?;
    out.set_header("hacher-status", &wanted)?;
    out.append(b"content")
}

/// Answers with as many bytes as its input says.
fn flood(mut input: Input<'_>, output: &mut Output<'_>) -> Result<(), Failure> {
    let wanted = core::str::from_utf8(input.bytes()?)
        .ok()
        .and_then(|text| text.parse().ok());
    let mut left: usize = wanted.ok_or(Failure::permanent("the input is no number"))?;
    let mut out = output.out()?;
    while left > 0 {
        let now = left.min(100_000);
        out.append(&vec![7; now])?;
        left -= now;
    }
    Ok(())
}

/// Begins a large answer, and never ends it.
fn stall_in_reply(_input: Input<'_>, output: &mut Output<'_>) -> Result<(), Failure> {
    let mut out = output.out()?;
    out.stream().append(&vec![7; 8 << 20])?;
    std::thread::sleep(Duration::from_secs(20));
    Ok(())
}
