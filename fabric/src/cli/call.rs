//! `call`.

use super::demands::DemandsArgs;
use super::format::FormatArgs;
use super::listen::DEFAULT_LISTEN;
use super::request::{ReplyArgs, RequestArgs};
use clap::Args;
use hacher_chain_dsl::ByteSize;
use hacher_client::url::GatewayUrl;
use std::net::SocketAddr;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct CallArgs {
    /// The chain's name
    pub chain: String,
    #[command(flatten)]
    pub request: RequestArgs,
    #[command(flatten)]
    pub reply: ReplyArgs,
    /// Where the gateway listens
    #[arg(long, default_value = DEFAULT_LISTEN, value_name = "ADDRESS")]
    pub gateway: SocketAddr,
    /// URL of the gateway: http:// or https://, host, port
    #[arg(long, value_name = "URL", conflicts_with = "gateway")]
    pub url: Option<GatewayUrl>,
    /// Trust certificates signed by these authorities (PEM). Without it, https requires --expect-digest or
    /// --policy
    #[arg(long, value_name = "FILE", requires = "url")]
    pub ca: Option<PathBuf>,
    /// Client certificate (PEM), shown only to a gateway whose certificate --ca has verified
    #[arg(long, value_name = "FILE", requires = "client_key", requires = "ca")]
    pub client_cert: Option<PathBuf>,
    /// Its private key (PEM)
    #[arg(long, value_name = "FILE", requires = "client_cert")]
    pub client_key: Option<PathBuf>,
    #[command(flatten)]
    pub demands: DemandsArgs,
    /// Do not seal the request, but send it over a TLS connection that the evidence is bound to; nothing may
    /// terminate TLS in between
    #[arg(long, requires = "url")]
    pub bound: bool,
    /// Report on standard error what was verified and that the request was sealed, even if it is not a
    /// terminal
    #[arg(long, short)]
    pub verbose: bool,
    /// Refuse replies with a longer body, such as 64MiB; by default 1GiB where the reply is held, which it is
    /// when it is sealed, bound to evidence, an error, or of several parts
    #[arg(long, value_name = "SIZE")]
    pub max_reply: Option<ByteSize>,
    /// Give up after so many seconds without progress on the connection: longer than the chain's deadline
    #[arg(
        long,
        default_value_t = 300,
        value_parser = clap::value_parser!(u32).range(1..=86_400),
        value_name = "SECONDS"
    )]
    pub timeout: u32,
    #[command(flatten)]
    pub format: FormatArgs,
}
