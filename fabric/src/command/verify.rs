//! `verify`: whether evidence proves what is demanded, offline.

use super::{Failed, complain, print, print_json};
use crate::cli::{Format, VerifyArgs};
use crate::{demands, given, verdict};
use hacher_verifier::{Expectations, Purpose, UnixTime, tls_key, verify as verify_evidence, verify_report};
use serde_json::json;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// Prints every check with its outcome and reason, and what was proven if none has failed.
///
/// # Errors
/// When a file cannot be read, or a check has failed.
pub fn verify(arguments: &VerifyArgs) -> Result<(), Failed> {
    let demands = demands::read(&arguments.demands, arguments.format.format)?;
    let evidence = given::read(&arguments.evidence)?;
    if given::looks_like_report(&evidence) && !arguments.report {
        complain("note: this looks like a bare report of SEV-SNP, which --report is for\n")?;
    }
    let certificates: Vec<&[u8]> = demands.certificates.iter().map(Vec::as_slice).collect();
    let lists: Vec<&[u8]> = demands.revocation_lists.iter().map(Vec::as_slice).collect();
    let expectations = Expectations {
        nonce: arguments.nonce,
        purpose: match arguments.session {
            true => Purpose::Session,
            false => Purpose::Nonce,
        },
        tls_key: arguments.tls_certificate.as_deref().map(key_of).transpose()?,
        chain: arguments.chain.as_deref(),
        time: arguments.at.map_or_else(now, Ok)?,
        certificates: &certificates,
        revocation_lists: &lists,
        allow_emulated: demands.allow_emulated,
    };
    let verdict = match arguments.report {
        true => verify_report(&evidence, &demands.policy, &expectations),
        false => verify_evidence(&evidence, &demands.policy, &expectations),
    };
    match arguments.format.format {
        Format::Human => {
            let file = arguments.evidence.display().to_string();
            print(&verdict::in_words(&file, &verdict))?;
        }
        Format::Json => {
            let time = expectations.time.to_string();
            let more = [("file", json!(arguments.evidence)), ("time", json!(time))];
            print_json(&verdict::data(&verdict, more))?;
        }
    }
    match verdict.passed() {
        true => Ok(()),
        false => Err(Failed::reported()),
    }
}

/// The key of the certificate that was met: the first one of the file, as a server sends its own first.
fn key_of(path: &Path) -> Result<[u8; 32], Failed> {
    let certificates = given::certificates(&[path.to_owned()])?;
    let own = certificates.first().map_or(&[][..], Vec::as_slice);
    tls_key(own).map_err(|error| {
        Failed::new(format!(
            "`{}` has no certificate to compare with: {error}",
            path.display()
        ))
    })
}

fn now() -> Result<UnixTime, Failed> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since
        .map(|since| UnixTime(since.as_secs()))
        .map_err(|_| Failed::new("the clock of this machine is before 1970: give the time with --at"))
}
