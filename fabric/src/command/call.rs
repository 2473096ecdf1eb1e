//! `call`: one request to a chain that is being served.
//!
//! ```text
//! nothing demanded          as it is, whoever may see it
//! a digest or a policy      evidence is verified, and the request is sealed for the chain in it
//! and --bound               evidence is verified, and the request goes as it is over the connection that it is bound to
//! ```

use super::streamed::{self, Delivered, HELD_MAX_BYTES, StreamError};
use super::{Failed, answer, complain, paint, print_json};
use crate::cli::{CallArgs, Format};
use crate::{demands, given, verdict};
use bytes::Bytes;
use hacher_chain_dsl::ByteSize;
use hacher_client::caller::{Answered, CallError, Caller};
use hacher_client::evidence::{EvidenceError, Verified};
use hacher_client::incoming::ReplyRefused;
use hacher_client::tls::{Identity, Trust};
use hacher_client::url::GatewayUrl;
use hacher_trustlet_host::evidence::Kind;
use hacher_trustlet_host::hex::hex;
use hacher_trustlet_host::lines;
use serde_json::{Value, json};
use std::io::{self, IsTerminal as _};
use std::time::Duration;

/// How a request is kept from those who may not see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// By nothing but what TLS there is.
    AsItIs,
    /// It is sealed for the chain that was verified.
    Sealed,
    /// It goes over the connection that was verified.
    Bound,
}

/// Sends the input, writes the output.
///
/// # Errors
/// When there is no reply, or the reply is an error, or evidence is refused.
pub fn call(arguments: &CallArgs) -> Result<(), Failed> {
    let way = way_of(arguments)?;
    let format = arguments.format.format;
    let caller = caller_of(arguments, way)?;
    if way == Way::AsItIs && !caller.gateway.is_tls() && !caller.gateway.is_here() {
        complain(&format!(
            "{} nothing is verified: {} is another machine, and anyone in between can read and change request and reply; with --policy or --expect-digest the request is sealed\n",
            paint("warning:", "1;33"),
            caller.gateway
        ))?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    // One part of a reply is taken out of all of it.
    if way == Way::AsItIs && arguments.reply.part.is_none() {
        return runtime.block_on(call_streamed(arguments, &caller));
    }
    let question = answer::question(&arguments.request)?;
    let answered = runtime.block_on(async {
        let answered = match way {
            Way::AsItIs => return Ok((caller.call_unverified(&question).await?, None)),
            Way::Sealed => caller.call_sealed(&question).await?,
            Way::Bound => caller.call_bound(&question).await?,
        };
        let Answered { reply, verified } = answered;
        Ok((reply, Some(verified)))
    });
    let (reply, verified) = answered.map_err(|error| explain(&error, &caller.gateway, format))?;
    let platform = verified.as_ref().and_then(platform_of);
    if platform == Some(Kind::Emulated) && format == Format::Human {
        complain(&format!(
            "{} the evidence was emulated: no hardware vouches for what has seen the input\n",
            paint("warning:", "1;33")
        ))?;
    }
    if let Some(verified) = &verified
        && format == Format::Human
        && (arguments.verbose || io::stderr().is_terminal())
    {
        complain(&format!(
            "{}\n",
            protected_in_words(way, verified, &arguments.chain)
        ))?;
    }
    answer::show(&reply, &arguments.reply, format)?;
    if format == Format::Json {
        let mut said = answer::data(&reply, &arguments.reply);
        said.extend(protected(way, verified.as_ref()));
        answer::report(&said.into(), &arguments.reply)?;
    }
    answer::verdict(&reply, format)
}

/// Sends the input as it is read, and writes the output as it comes.
async fn call_streamed(arguments: &CallArgs, caller: &Caller) -> Result<(), Failed> {
    let format = arguments.format.format;
    let question = answer::question_of(&arguments.request, Bytes::new());
    let body = arguments
        .request
        .input
        .as_deref()
        .map(streamed::input)
        .transpose()?;
    let max_bytes = arguments.max_reply.map(ByteSize::bytes);
    let delivered = streamed::exchange(caller, &question, body, &arguments.reply, max_bytes).await;
    let Delivered {
        reply,
        len_bytes,
        is_written,
    } = delivered.map_err(|error| match error {
        StreamError::Call(error) => explain(&error, &caller.gateway, format),
        StreamError::Here(failed) => failed,
    })?;
    if !is_written {
        answer::show(&reply, &arguments.reply, format)?;
    }
    if format == Format::Json {
        let mut said = answer::data(&reply, &arguments.reply);
        said.insert("bytes".to_owned(), json!(len_bytes));
        said.extend(protected(Way::AsItIs, None));
        answer::report(&said.into(), &arguments.reply)?;
    }
    match (is_written, format) {
        (true, Format::Human) => complain(&format!("{}\n", answer::summary_of(&reply, len_bytes))),
        (true, Format::Json) => Ok(()),
        (false, _) => answer::verdict(&reply, format),
    }
}

/// What kept the request from others, as data.
fn protected(way: Way, verified: Option<&Verified>) -> [(String, Value); 4] {
    let platform = verified.and_then(platform_of).map(Kind::word);
    let digest = verified.map(|verified| hex(&verified.chain_digest));
    [
        ("verified", json!(way != Way::AsItIs)),
        ("sealed", json!(way == Way::Sealed)),
        ("platform", json!(platform)),
        ("digest", json!(digest)),
    ]
    .map(|(name, value)| (name.to_owned(), value))
}

/// What kept the request from others.
fn protected_in_words(way: Way, verified: &Verified, chain: &str) -> String {
    let (digest, platform) = (hex(&verified.chain_digest), platform_of(verified));
    let evidence = platform.map_or("its", |platform| platform.word());
    let how = match way {
        Way::Bound => "sent over the connection that its evidence is bound to",
        Way::Sealed | Way::AsItIs => "sealed for it alone, and so was the reply",
    };
    format!("chain `{chain}` verified by {evidence} evidence; the request was {how}\n  digest {digest}")
}

/// What vouched.
fn platform_of(verified: &Verified) -> Option<Kind> {
    verified.verdict.summary()?.platform
}

/// Refuses what would look like a demand and be none.
fn way_of(arguments: &CallArgs) -> Result<Way, Failed> {
    let demands = &arguments.demands;
    let is_tls = arguments.url.as_ref().is_some_and(GatewayUrl::is_tls);
    // Nobody shows a certificate there, and nobody asks for one.
    let of_tls = [
        (arguments.ca.is_some(), "--ca"),
        (arguments.client_cert.is_some(), "--client-cert"),
    ];
    if let Some((_, option)) = of_tls.into_iter().find(|(is_given, _)| *is_given && !is_tls) {
        return Err(Failed::usage(format!(
            "{option} needs a URL with https://: without TLS there are no certificates"
        )));
    }
    if demands.are_made() {
        return match arguments.bound {
            false => Ok(Way::Sealed),
            true if is_tls => Ok(Way::Bound),
            true => Err(Failed::usage(
                "--bound needs a URL with https://: what is bound is a connection over TLS",
            )),
        };
    }
    let brings = [
        (!demands.expect_launch.is_empty(), "--expect-launch"),
        (demands.allow_emulated, "--allow-emulated"),
        (!demands.certificates.is_empty(), "--certificates"),
        (!demands.revocation_list.is_empty(), "--revocation-list"),
        (arguments.bound, "--bound"),
    ];
    if let Some((_, option)) = brings.into_iter().find(|(is_given, _)| *is_given) {
        return Err(Failed::usage(format!(
            "{option} alone demands nothing: add --expect-digest or --policy"
        )));
    }
    if arguments.ca.is_none() && is_tls {
        return Err(Failed::usage(
            "https needs something to authenticate the gateway by: --expect-digest, --policy or --ca",
        ));
    }
    Ok(Way::AsItIs)
}

fn caller_of(arguments: &CallArgs, way: Way) -> Result<Caller, Failed> {
    let trust = match &arguments.ca {
        Some(path) => Trust::Authorities(given::read(path)?),
        // Evidence names the key of the right certificate, or the request is sealed.
        None => Trust::AnyCertificate,
    };
    let identity = match (&arguments.client_cert, &arguments.client_key) {
        (Some(certificates), Some(key)) => Some(Identity {
            certificates: given::read(certificates)?,
            key: given::read(key)?,
        }),
        _ => None,
    };
    let demands = match way {
        Way::AsItIs => hacher_client::evidence::Demands::default(),
        Way::Sealed | Way::Bound => {
            let demands = demands::read(&arguments.demands, arguments.format.format)?;
            demands
                .name_chains()
                .map_err(|error| Failed::usage(error.to_string()))?;
            demands
        }
    };
    let gateway = arguments.url.clone();
    Ok(Caller {
        gateway: gateway.unwrap_or_else(|| arguments.gateway.into()),
        trust,
        identity,
        chain: arguments.chain.clone(),
        demands,
        reply_max_bytes: usize::try_from(arguments.max_reply.map_or(HELD_MAX_BYTES, ByteSize::bytes))
            .unwrap_or(usize::MAX),
        idle_max: Duration::from_secs(u64::from(arguments.timeout)),
    })
}

/// Says why there is no reply: all checks of evidence that was refused, as `verify` does. What is refused has
/// an exit code of its own, as trying again does not help against whoever stands in between.
fn explain(error: &CallError, gateway: &GatewayUrl, format: Format) -> Failed {
    let said = match (error, format) {
        (CallError::Evidence(EvidenceError::Refused(refused)), Format::Human) => {
            let subject = format!("evidence of {gateway}, nothing was sent");
            complain(&lines::visible(&verdict::in_words(&subject, refused)))
        }
        (CallError::Evidence(EvidenceError::Refused(refused)), Format::Json) => {
            let more = [("gateway", json!(gateway.to_string()))];
            print_json(&verdict::data(refused, more))
        }
        (CallError::Unsealed(reply), Format::Json) => print_json(
            &json!({ "authenticated": false, "status": reply.status.as_u16(), "problem": reply.json() }),
        ),
        (CallError::Unsealed(_) | CallError::Reply(ReplyRefused::Sealed(_) | ReplyRefused::Head), _) => {
            return Failed::new(error.to_string()).untrusted();
        }
        _ => return Failed::new(error.to_string()),
    };
    said.err().unwrap_or_else(|| Failed::reported().untrusted())
}
