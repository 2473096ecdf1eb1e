//! `verify`.

use super::demands::DemandsArgs;
use super::format::FormatArgs;
use super::hex_bytes::hex_bytes;
use clap::Args;
use hacher_verifier::UnixTime;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The evidence, as `evidence` or GET /evidence gives it; `-` reads standard input
    pub evidence: PathBuf,
    /// The nonce that it was asked for with: 128 hex digits. Evidence is only new if the nonce was
    #[arg(long, value_name = "HEX", value_parser = hex_bytes::<64>, required_unless_present = "report")]
    pub nonce: Option<[u8; 64]>,
    #[command(flatten)]
    pub demands: DemandsArgs,
    /// The chain that data is for: evidence about another one, or about more, is refused
    #[arg(long, value_name = "NAME", conflicts_with = "report")]
    pub chain: Option<String>,
    /// The certificate that was met on the connection (PEM or DER, its own one first): the evidence has to
    /// be about a gateway with its key
    #[arg(long, value_name = "FILE", conflicts_with = "report")]
    pub tls_certificate: Option<PathBuf>,
    /// The nonce was computed from a connection, at both ends of it, and not sent: evidence for one that was
    /// sent is refused
    #[arg(long, conflicts_with = "report")]
    pub session: bool,
    /// Verify as of this time, such as 2026-11-26T10:00:00Z, instead of now
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub at: Option<UnixTime>,
    /// The file is a bare report of SEV-SNP, of whatever service, and --nonce all of its REPORT_DATA
    #[arg(long, conflicts_with = "expect_digest")]
    pub report: bool,
    #[command(flatten)]
    pub format: FormatArgs,
}

fn time(text: &str) -> Result<UnixTime, String> {
    UnixTime::parse(text).ok_or_else(|| "a time looks like 2026-11-26T10:00:00Z".to_owned())
}
