//! A server of HTTP/1.1 that knows nothing of chains: the program behind an adaptor.

use std::io::{BufRead, BufReader, Read, Result, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

/// Where it serves, unless the variable `PORT` says otherwise.
pub const PORT: u16 = 8000;

/// The program. `LEAVE` has it end at once with that exit code.
#[must_use]
pub fn serve() -> ExitCode {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u16>().ok();
    if let Some(code) = number("LEAVE") {
        return ExitCode::from(u8::try_from(code).unwrap_or(1));
    }
    let Ok(listener) = TcpListener::bind(("127.0.0.1", number("PORT").unwrap_or(PORT))) else {
        return ExitCode::FAILURE;
    };
    println!("the server listens");
    for connection in listener.incoming().map_while(Result::ok) {
        thread::spawn(move || converse(&connection));
    }
    ExitCode::SUCCESS
}

fn converse(connection: &TcpStream) -> Result<()> {
    let mut reader = BufReader::new(connection);
    while answer(&mut reader, connection)? {}
    Ok(())
}

/// Answers one request as its path asks; `false` at the end of the connection.
fn answer(reader: &mut impl BufRead, mut connection: &TcpStream) -> Result<bool> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Ok(false);
        }
    }
    let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let words: Vec<&str> = target.trim_matches('/').split('/').collect();
    if words == ["mirror"] {
        connection.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        each_piece(reader, &head, |piece| {
            write!(connection, "{:x}\r\n", piece.len())?;
            connection.write_all(piece)?;
            connection.write_all(b"\r\n")
        })?;
        connection.write_all(b"0\r\n\r\n")?;
        return Ok(true);
    }
    let mut body = Vec::new();
    each_piece(reader, &head, |piece| {
        body.extend_from_slice(piece);
        Ok(())
    })?;
    let mut status = "200";
    match words.as_slice() {
        ["status", wanted] => status = wanted,
        ["slow", millis] => thread::sleep(Duration::from_millis(millis.parse().unwrap_or(0))),
        ["exit", code] => std::process::exit(code.parse().unwrap_or(1)),
        _ => {}
    }
    let said = [head.as_bytes(), &body].concat();
    write!(
        connection,
        "HTTP/1.1 {status} X\r\nContent-Type: text/x-head\r\nContent-Length: {}\r\n\r\n",
        said.len()
    )?;
    connection.write_all(&said)?;
    Ok(true)
}

/// Hands over the body of the request with this head, in pieces as it comes.
fn each_piece(
    reader: &mut impl BufRead,
    head: &str,
    mut take: impl FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let value = |name: &str| {
        let line = head.lines().find_map(|line| line.strip_prefix(name));
        line.map(|value| value.trim_start_matches(':').trim().to_owned())
    };
    if value("transfer-encoding").as_deref() != Some("chunked") {
        let len = value("content-length").and_then(|len| len.parse().ok());
        return hand_over(reader, len.unwrap_or(0), &mut take);
    }
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let len = u64::from_str_radix(line.trim(), 16).unwrap_or(0);
        hand_over(reader, len, &mut take)?;
        reader.read_line(&mut line)?;
        if len == 0 {
            return Ok(());
        }
    }
}

fn hand_over(reader: &mut impl BufRead, len: u64, take: &mut impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let mut limited = reader.take(len);
    loop {
        let piece = limited.fill_buf()?;
        let len = piece.len();
        if len == 0 {
            return Ok(());
        }
        take(piece)?;
        limited.consume(len);
    }
}
