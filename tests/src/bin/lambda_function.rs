//! A Lambda handler on AWS's own runtime for Rust, which knows nothing of chains: the event says in `do` what
//! it does.
#![allow(clippy::unwrap_used, reason = "test code")]

use lambda_runtime::streaming::{Body, channel};
use lambda_runtime::{Diagnostic, FunctionResponse, LambdaEvent, MetadataPrelude, StreamResponse};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Events so far.
static EVENTS: AtomicU64 = AtomicU64::new(0);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match std::env::var("INITIALISE").as_deref() {
        Ok("error") => return report(),
        Ok("leave") => return ExitCode::from(3),
        Ok("never") => loop {
            std::thread::park();
        },
        _ => {}
    }
    match lambda_runtime::run(lambda_runtime::service_fn(handle)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the runtime ends: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Reports that the initialisation has failed, which the runtime for Rust itself never does.
fn report() -> ExitCode {
    let address = std::env::var("AWS_LAMBDA_RUNTIME_API").unwrap();
    let body = json!({ "errorType": "Own.NoModel", "errorMessage": "secret-message" }).to_string();
    let mut stream = TcpStream::connect(&address).unwrap();
    write!(
        stream,
        "POST /2018-06-01/runtime/init/error HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
    ExitCode::FAILURE
}

/// An error with a type of its own.
struct Own(String);

impl From<Own> for Diagnostic {
    fn from(Own(message): Own) -> Self {
        Self {
            error_type: "Own.Failure".to_owned(),
            error_message: message,
        }
    }
}

impl core::fmt::Debug for Own {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.write_str("Own")
    }
}

async fn handle(event: LambdaEvent<Value>) -> Result<FunctionResponse<Value, Body>, Own> {
    let count = EVENTS.fetch_add(1, Ordering::Relaxed) + 1;
    let (payload, context) = event.into_parts();
    let text = |name: &str| {
        payload
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let number = |name: &str| payload.get(name).and_then(Value::as_u64).unwrap_or(0);
    let response = match &*text("do") {
        "fail" => return Err(Own(text("message"))),
        "panic" => panic!("{}", text("message")),
        "exit" => std::process::exit(i32::try_from(number("code")).unwrap_or(1)),
        "sleep" => {
            tokio::time::sleep(Duration::from_millis(number("millis"))).await;
            json!("awake")
        }
        "large" => json!("x".repeat(usize::try_from(number("len")).unwrap_or(0))),
        "stream" => return Ok(FunctionResponse::StreamingResponse(stream(&payload))),
        "tell" => json!({
            "request_id": context.request_id,
            "left_millis": context.deadline().duration_since(std::time::SystemTime::now())
                .map_or(0, |left| u64::try_from(left.as_millis()).unwrap_or(0)),
            "arn": context.invoked_function_arn,
            "trace": context.xray_trace_id,
            "function": context.env_config.function_name,
            "memory": context.env_config.memory,
            "version": context.env_config.version,
            "folder": std::env::current_dir().unwrap().display().to_string(),
            "count": count,
        }),
        _ => payload,
    };
    Ok(FunctionResponse::BufferedResponse(response))
}

/// `pieces` pieces of `len` bytes; `fails` ends it in an error, `status` is the one of the reply.
fn stream(payload: &Value) -> StreamResponse<Body> {
    let number = |name: &str| payload.get(name).and_then(Value::as_u64);
    let (pieces, len) = (number("pieces").unwrap_or(1), number("len").unwrap_or(1));
    let piece = "x".repeat(usize::try_from(len).unwrap_or(0));
    let fails = payload.get("fails").is_some();
    let (mut sender, body) = channel();
    tokio::spawn(async move {
        for _ in 0..pieces {
            sender.send_data(piece.clone().into()).await.unwrap();
        }
        if fails {
            sender.abort();
        }
    });
    let mut metadata_prelude = MetadataPrelude::default();
    if let Some(status) = number("status") {
        metadata_prelude.status_code = u16::try_from(status).unwrap().try_into().unwrap();
    }
    metadata_prelude
        .headers
        .insert("content-type", "text/x-own".parse().unwrap());
    StreamResponse {
        metadata_prelude,
        stream: body,
    }
}
