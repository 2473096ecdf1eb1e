//! `verify`.

use super::format::FormatArgs;
use clap::{ArgAction, Args};
use hacher_verifier::{Digest, UnixTime};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The evidence, as `evidence` or GET /evidence gives it; `-` reads standard input
    pub evidence: PathBuf,
    /// The nonce that it was asked for with: 128 hex digits. Evidence is only new if the nonce was
    #[arg(long, value_name = "HEX", value_parser = hex_bytes::<64>, required_unless_present = "report")]
    pub nonce: Option<[u8; 64]>,
    /// What is demanded (TOML); `measure --policy` writes one. Without it, the strictest that fits every
    /// honest platform, and no chain in particular
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// The digest that every chain in the evidence has to have, as `measure` prints it: 96 hex digits. May be
    /// given several times
    #[arg(long, value_name = "HEX", value_parser = digest, conflicts_with = "report")]
    pub expect_digest: Vec<Digest>,
    /// The chain that data is for: evidence about another one, or about more, is refused
    #[arg(long, value_name = "NAME", conflicts_with = "report")]
    pub chain: Option<String>,
    /// The certificate that was met on the connection (PEM or DER, its own one first): the evidence has to be
    /// about a gateway with its key
    #[arg(long, value_name = "FILE", conflicts_with = "report")]
    pub tls_certificate: Option<PathBuf>,
    /// The nonce was computed from a connection, at both ends of it, and not sent: evidence for one that was
    /// sent is refused
    #[arg(long, conflicts_with = "report")]
    pub session: bool,
    /// Certificates besides those in the evidence (PEM or DER), or folders of them. AMD's roots and
    /// intermediate keys are built in: a VCEK or VLEK is enough
    #[arg(long, value_name = "DIR|FILE", num_args = 1.., action = ArgAction::Append)]
    pub certificates: Vec<PathBuf>,
    /// Lists of what AMD has revoked (PEM or DER), from <https://kdsintf.amd.com/vcek/v1/PRODUCT/crl>
    #[arg(long, value_name = "FILE", num_args = 1.., action = ArgAction::Append)]
    pub revocation_list: Vec<PathBuf>,
    /// Accept evidence of the emulated platform, for which no hardware vouches: for trying things out
    #[arg(long)]
    pub allow_emulated: bool,
    /// Verify as of this time, such as 2026-11-26T10:00:00Z, instead of now
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub at: Option<UnixTime>,
    /// The file is a bare report of SEV-SNP, of whatever service, and --nonce all of its REPORT_DATA
    #[arg(long)]
    pub report: bool,
    #[command(flatten)]
    pub format: FormatArgs,
}

fn time(text: &str) -> Result<UnixTime, String> {
    UnixTime::parse(text).ok_or_else(|| "a time is written so: 2026-11-26T10:00:00Z".to_owned())
}

fn digest(text: &str) -> Result<Digest, String> {
    hex_bytes(text).map(Digest)
}

/// So many bytes in hexadecimal.
fn hex_bytes<const N: usize>(text: &str) -> Result<[u8; N], String> {
    if let Some(stranger) = text.chars().find(|c| !c.is_ascii_hexdigit()) {
        return Err(format!("`{}` is no hexadecimal digit", stranger.escape_debug()));
    }
    if text.len() != 2 * N {
        return Err(format!("it has {} hexadecimal digits, not {}", text.len(), 2 * N));
    }
    let mut bytes = [0; N];
    let (pairs, _) = text.as_bytes().as_chunks::<2>();
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        let digit = |digit: &u8| {
            char::from(*digit)
                .to_digit(16)
                .and_then(|digit| u8::try_from(digit).ok())
        };
        let both = digit(high).zip(digit(low)).ok_or("no hexadecimal digit")?;
        *byte = both.0 << 4 | both.1;
    }
    Ok(bytes)
}
