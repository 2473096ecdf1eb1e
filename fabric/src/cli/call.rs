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
    /// Where the gateway is reached from outside: http:// or https://, host, port
    #[arg(long, value_name = "URL", conflicts_with = "gateway")]
    pub url: Option<GatewayUrl>,
    /// Take certificates that these authorities have signed (PEM). Without it https needs evidence, which
    /// says more than any authority can
    #[arg(long, value_name = "FILE", requires = "url")]
    pub ca: Option<PathBuf>,
    /// The certificate to show where the gateway asks for one (PEM), to nobody but who has a certificate by
    /// --ca
    #[arg(long, value_name = "FILE", requires = "client_key", requires = "ca")]
    pub client_cert: Option<PathBuf>,
    /// Its private key (PEM)
    #[arg(long, value_name = "FILE", requires = "client_cert")]
    pub client_key: Option<PathBuf>,
    #[command(flatten)]
    pub demands: DemandsArgs,
    /// Do not seal the request: send it as it is over the TLS connection that the evidence is bound to,
    /// which nothing may end on the way
    #[arg(long, requires = "url")]
    pub bound: bool,
    /// Take no reply whose body is longer, such as 64MiB
    #[arg(long, value_name = "SIZE", default_value = "1GiB")]
    pub max_reply: ByteSize,
    /// Give up when nothing has moved on the connection for so many seconds: more than the chain's deadline
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
