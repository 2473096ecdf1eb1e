//! The command line: what can be asked, and the words that explain it.

#![allow(
    missing_docs,
    reason = "doc comments here are the texts of --help, so what needs none there has none"
)]

mod bench;
mod call;
mod demands;
mod format;
mod hex_bytes;
mod listen;
mod new;
mod request;
mod tcb;
mod tracing;
mod verify;

pub use bench::{BenchArgs, BenchCommand, CompareArgs, Experiment};
pub use call::CallArgs;
pub use demands::DemandsArgs;
pub use format::{Format, FormatArgs};
pub use listen::DEFAULT_LISTEN;
pub use new::{NewArgs, Template};
pub use request::{ReplyArgs, RequestArgs};
pub use tcb::TcbArgs;
pub use tracing::TracingArgs;
pub use verify::VerifyArgs;

use crate::failed::Failed;
use crate::key_broker::BrokerUrl;
use clap::{Args, Parser, Subcommand, ValueEnum};
use hacher_client::url::GatewayUrl;
use hacher_http::admin_address::AdminAddress;
use hacher_loader::beneath::{Beneath, Folders};
use hacher_loader::own_gateway::Elsewhere;
use hacher_trustlet_host::{VERSION, lines};
use listen::DEFAULT_LISTEN_PORT;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Where the daemon answers operators unless told otherwise.
pub const DEFAULT_ADMIN: &str = "127.0.0.1:9464";

/// Chains of functions that handle sensitive data: each function isolated, every hop sealed, no network
/// between.
#[derive(Debug, Parser)]
#[command(
    name = "hacher-fabric",
    version = VERSION,
    propagate_version = true,
    max_term_width = 100
)]
#[command(
    after_help = "Start with:\n  hacher-fabric new greetings --template rust\n  hacher-fabric check chain.toml\n  hacher-fabric run --build chain.toml --input FILE\n\nExit codes: 0 done, 1 failed, 2 wrong usage, 3 (`status`) something is not ready, 4 (`call`) evidence was refused or a reply is not authentic."
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a folder with a chain that runs at once: its function, a test, and a README
    New(NewArgs),
    /// Serve one chain, put one input through it, show where the time went, and stop
    ///
    /// Starts all processes (monitor, daemon, gateway, functions) on a free loopback port, regardless of
    /// `listen` in the chain file, sends the input, writes the output, prints a table with a row for each
    /// hop, and leaves nothing behind.
    Run(RunArgs),
    /// Serve chains over HTTP until told to stop
    ///
    /// This process becomes the monitor: it starts the daemon as its unprivileged child, and every function
    /// in a trustlet of its own. SIGTERM drains: /readyz says 503, after --drain-delay new requests get
    /// 503, and those in flight are answered. A second signal cuts them.
    Serve(ServeArgs),
    /// Check chain files and report every problem
    Check(CheckArgs),
    /// Draw a chain as Mermaid or DOT
    Graph(GraphArgs),
    /// Print the JSON Schema of chain files, for editors
    Schema,
    /// Send one request to a chain that is being served
    ///
    /// With --expect-digest or --policy, the gateway's evidence is verified before any input is sent, and the
    /// request is sealed for exactly that chain, end to end. A policy must name `digests`, or `functions`
    /// and `gateways`; hardware evidence also needs --expect-launch, or `launch` in the policy. Exit codes: 0
    /// success, 1 no reply or an error reply, 2 wrong usage, 4 evidence refused or reply not authentic.
    Call(CallArgs),
    /// Get evidence of what a service runs: its functions, their isolation, and the platform that attests
    /// them
    ///
    /// The service answers with a manifest and a platform report over that manifest and your nonce, so an
    /// older report cannot be replayed. Evidence proves nothing until it is verified. On a terminal the
    /// manifest is printed, otherwise the evidence itself; docs/evidence.md specifies every byte.
    Evidence(EvidenceArgs),
    /// Show what a running daemon serves, its health, and its problems
    ///
    /// Exit codes: 0 all chains asked for are ready, 1 no daemon answers, 3 a chain is not ready.
    Status(StatusArgs),
    /// Show the last runs of functions: when, for which request, and where their time went
    Traces(TracesArgs),
    /// Explain each edge of a chain: memory, protection, placement, copies, seals, wakes
    Explain(ChainArgs),
    /// Print the measurements and the digest of a chain, without running it
    Measure(MeasureArgs),
    /// Verify evidence against a policy: which chain, which functions, which hardware
    ///
    /// Works offline: certificates come with the evidence or from files, and AMD's roots are built in. Every
    /// check is printed with its reason. Exit codes: 0 all checks passed, 1 a check failed.
    Verify(VerifyArgs),
    /// Show which isolation this machine supports, and whether its limits suffice for a service
    Doctor(DoctorArgs),
    /// Count the source lines compiled into the trusted executables, by crate, from debug information
    ///
    /// Covers the monitor and the gateway beside this executable, this executable (which is not trusted with
    /// plaintext), and each FILE, with the system calls that their filters allow; and for comparison a
    /// distribution's kernel, container runtime and proxy, counted in the same way. Executables built with
    /// `dev` or `--profile profiling` have debug information, those built with `--release` have none. Done by
    /// hacher-bench, which is installed beside this executable, or built by cargo in the source tree.
    Tcb(TcbArgs),
    /// Benchmark hops, chains and requests against hardware floors and common transports
    ///
    /// Everything runs on the same cores in one run, in random order, with repeats. Prints a table and ratios
    /// of its rows: absolute times hold for this machine only, ratios carry over better. Runs hacher-bench,
    /// which is installed beside this executable, or built by `cargo run`.
    Bench(BenchArgs),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Args)]
pub struct RunArgs {
    /// The chain file
    pub chain: PathBuf,
    #[command(flatten)]
    pub request: RequestArgs,
    #[command(flatten)]
    pub reply: ReplyArgs,
    /// Run the `build` commands of the chain file first
    #[arg(long)]
    pub build: bool,
    /// Send the input this many times, one after another, and show the medians
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000), value_name = "N")]
    pub repeat: u32,
    #[command(flatten)]
    pub secrets: SecretsArgs,
    #[command(flatten)]
    pub broker: BrokerArgs,
    #[command(flatten)]
    pub start: StartArgs,
    #[command(flatten)]
    pub isolation: IsolationArgs,
    #[command(flatten)]
    pub format: FormatArgs,
}

#[derive(Debug, Args)]
pub struct BrokerArgs {
    /// The key broker (Trustee's protocol) that releases the secrets `kbs:///...` of chain files, as
    /// https://HOST:PORT; http:// only on this machine. Secrets are fetched when the chains are loaded
    #[arg(long, value_name = "URL")]
    pub kbs: Option<BrokerUrl>,
    /// The authorities that sign the broker's certificate (PEM); required for https://
    #[arg(long, requires = "kbs", value_name = "FILE")]
    pub kbs_ca: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct StartArgs {
    /// Timeout in seconds for each function to start serving, and for the key broker to release all secrets
    #[arg(
        long,
        default_value_t = 30,
        value_parser = clap::value_parser!(u32).range(1..=3600),
        value_name = "SECONDS"
    )]
    pub start_timeout: u32,
}

/// Longest delay and timeout of a drain: an hour.
const DRAIN_MAX_S: i64 = 3600;

#[derive(Debug, Args)]
pub struct DrainArgs {
    /// How long requests are still served after SIGTERM while /readyz says 503, in seconds: longer than a
    /// load balancer takes to notice. SIGINT skips it
    #[arg(
        long,
        default_value_t = 2,
        value_parser = clap::value_parser!(u32).range(0..=DRAIN_MAX_S),
        value_name = "SECONDS",
        overrides_with = "drain_delay"
    )]
    pub drain_delay: u32,
    /// How long requests in flight may take after that, in seconds, while new ones get 503. The exit code is
    /// 3 if any had to be cut
    #[arg(
        long,
        alias = "grace",
        default_value_t = 10,
        value_parser = clap::value_parser!(u32).range(0..=DRAIN_MAX_S),
        value_name = "SECONDS",
        overrides_with = "drain_timeout"
    )]
    pub drain_timeout: u32,
}

#[derive(Debug, Args)]
pub struct SecretsArgs {
    /// Read secrets only from files beneath this folder, after resolving links; by default from any file
    /// that this user can read
    #[arg(long, value_name = "DIR")]
    pub secrets_dir: Option<PathBuf>,

    /// Give functions only files and folders beneath this folder, after resolving links; by default, with
    /// --secrets-dir, those beneath the chain file's own folder, otherwise any that this user can read
    #[arg(long, value_name = "DIR")]
    pub files_dir: Option<PathBuf>,
}

impl SecretsArgs {
    /// The folders, as far as they are given.
    ///
    /// # Errors
    /// When there is no such folder.
    pub fn folders(&self) -> Result<Folders, Failed> {
        let folder = |bound: &'static str, path: &Option<PathBuf>| {
            let folder = path.as_deref().map(|path| {
                Beneath::new(bound, path)
                    .map_err(|error| Failed::new(format!("{bound} `{}`: {error}", path.display())))
            });
            folder.transpose()
        };
        Ok(Folders {
            secrets: folder("--secrets-dir", &self.secrets_dir)?,
            files: folder("--files-dir", &self.files_dir)?,
        })
    }
}

#[derive(Debug, Args)]
pub struct IsolationArgs {
    /// Refuse to start unless every isolation layer is available
    #[arg(long, value_enum, default_value = "available", value_name = "LEVEL")]
    pub require_isolation: RequireIsolation,
}

/// Which isolation is enough to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RequireIsolation {
    /// As many as the kernel allows; missing ones are named in every report
    Available,
    /// Every layer that `doctor` knows
    Full,
}

#[derive(Debug, Args)]
pub struct ServeArgs {
    /// The chain files, or folders: of a folder all files `*.toml`, by name
    #[arg(required = true)]
    pub chains: Vec<PathBuf>,
    /// Where the shared gateway listens, for all chains without a `listen` of their own; not opened if there
    /// are none [default: 127.0.0.1:8080]. Addresses beyond loopback need --tls-cert and --tls-key
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
    /// Serve every chain at --listen, whatever its own `listen` and `tls` say
    #[arg(long, hide = true)]
    pub ignore_listen: bool,
    /// Certificate chain of the gateway (PEM). Reloaded when the file is replaced, and on SIGHUP
    #[arg(long, requires = "tls_key", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// Private key of the gateway (PEM, not encrypted)
    #[arg(long, requires = "tls_cert", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// Where the daemon answers operators (/metrics, /status, /traces, /readyz): a port on loopback, or
    /// unix:PATH, a socket that only its owner can connect to. May be given several times
    #[arg(long, default_value = DEFAULT_ADMIN, value_name = "ADDRESS")]
    pub admin: Vec<AdminAddress>,
    /// Format of lines on standard error: text for people, or a JSON object each for programs
    #[arg(long, value_enum, default_value = "text", value_name = "FORMAT")]
    pub log_format: LogFormat,
    /// Write a line for each request: chain, invocation, method, path, status, bytes, duration, cause; no
    /// query, header or body
    #[arg(long)]
    pub access_log: bool,
    #[command(flatten)]
    pub tracing: TracingArgs,
    /// Run the `build` commands of the chain files first
    #[arg(long)]
    pub build: bool,
    /// Stop when the process that started this one ends
    #[arg(long, hide = true)]
    pub tied: bool,
    /// Say nothing of a drain that cut no request
    #[arg(long, hide = true)]
    pub quiet_drain: bool,
    /// Say `ready` as data, whatever the format of everything else
    #[arg(long, hide = true)]
    pub ready_json: bool,
    /// Put this executable in the gateway's place, started under the name `hacher-stand-in`
    #[arg(long, hide = true, value_name = "FILE")]
    pub stand_in: Option<PathBuf>,
    #[command(flatten)]
    pub drain: DrainArgs,
    #[command(flatten)]
    pub secrets: SecretsArgs,
    #[command(flatten)]
    pub broker: BrokerArgs,
    #[command(flatten)]
    pub start: StartArgs,
    #[command(flatten)]
    pub isolation: IsolationArgs,
    #[command(flatten)]
    pub format: FormatArgs,
}

/// How lines of the log are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Time, level, who, and what
    Text,
    /// A JSON object in each line
    Json,
    /// As text, without time
    #[value(hide = true)]
    Bare,
}

impl From<LogFormat> for lines::Format {
    fn from(format: LogFormat) -> Self {
        match format {
            LogFormat::Text => Self::Text,
            LogFormat::Json => Self::Json,
            LogFormat::Bare => Self::Bare,
        }
    }
}

impl ServeArgs {
    /// Where the shared gateway listens.
    #[must_use]
    pub fn shared_listen(&self) -> SocketAddr {
        self.listen
            .unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], DEFAULT_LISTEN_PORT)))
    }
}

#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The chain files, or folders of them; also checks whether one service can serve all of them
    #[arg(required = true)]
    pub chains: Vec<PathBuf>,
    /// Explain a diagnostic code, such as E0401, instead
    #[arg(long, value_name = "CODE", exclusive = true)]
    pub explain: Option<String>,
    /// Check only the text: do not look for executables, files and secrets
    #[arg(long)]
    pub text_only: bool,
    /// The --listen that `serve` will be given: no chain may claim it
    #[arg(long, default_value = DEFAULT_LISTEN, value_name = "ADDRESS")]
    pub listen: SocketAddr,
    /// The --admin that `serve` will be given
    #[arg(long, default_value = DEFAULT_ADMIN, value_name = "ADDRESS")]
    pub admin: Vec<AdminAddress>,
    #[command(flatten)]
    pub secrets: SecretsArgs,
    #[command(flatten)]
    pub format: FormatArgs,
}

impl CheckArgs {
    /// Where the service will listen besides what chain files say.
    #[must_use]
    pub fn elsewhere(&self) -> Elsewhere {
        Elsewhere {
            shared: self.listen,
            admin: self.admin.clone(),
        }
    }
}

#[derive(Debug, Args)]
pub struct ChainArgs {
    /// The chain file
    pub chain: PathBuf,
    #[command(flatten)]
    pub format: FormatArgs,
}

#[derive(Debug, Args)]
pub struct MeasureArgs {
    /// The chain files, or folders of them
    #[arg(required = true)]
    pub chains: Vec<PathBuf>,
    /// Write a policy that accepts these chains to a new file, for data owners to review and to pass to
    /// `verify --policy` and `call --policy`
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    #[command(flatten)]
    pub secrets: SecretsArgs,
    #[command(flatten)]
    pub format: FormatArgs,
}

#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Chain files to be served here, or folders of them; a chain of one function if none is named
    pub chains: Vec<PathBuf>,
    #[command(flatten)]
    pub format: FormatArgs,
}

/// A graph language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum GraphLanguage {
    /// Mermaid, which Markdown viewers draw
    Mermaid,
    /// DOT, for Graphviz
    Dot,
}

#[derive(Debug, Args)]
pub struct GraphArgs {
    /// The chain file
    pub chain: PathBuf,
    /// The graph language
    #[arg(long, value_enum, default_value = "mermaid")]
    pub to: GraphLanguage,
}

#[derive(Debug, Args)]
pub struct EvidenceArgs {
    /// 64 random bytes, never used before, as 128 hex digits: `openssl rand -hex 64`
    #[arg(long, value_name = "HEX")]
    pub nonce: Nonce,
    /// Only this chain; by default all chains of the gateway
    #[arg(long, value_name = "NAME")]
    pub chain: Option<String>,
    /// Where to write the evidence
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Where the gateway listens
    #[arg(long, default_value = DEFAULT_LISTEN, value_name = "ADDRESS")]
    pub gateway: SocketAddr,
    /// URL of the gateway: http:// or https://, host, port. Any certificate is accepted; the evidence names
    /// the key of the right one
    #[arg(long, value_name = "URL", conflicts_with = "gateway")]
    pub url: Option<GatewayUrl>,
    #[command(flatten)]
    pub format: FormatArgs,
}

/// A nonce, as it was written.
#[derive(Debug, Clone)]
pub struct Nonce(pub String);

impl core::str::FromStr for Nonce {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(other) = text.chars().find(|c| !c.is_ascii_hexdigit()) {
            return Err(format!("`{other}` is not a hex digit; a nonce has 128 of them"));
        }
        if text.len() != 128 {
            return Err(format!(
                "a nonce has 128 hex digits (64 bytes), this one has {}",
                text.len()
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

impl core::fmt::Display for Nonce {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&self.0)
    }
}

#[derive(Debug, Args)]
pub struct StatusArgs {
    #[command(flatten)]
    pub asked: AskedArgs,
    /// Show only what is not ready, has ended, or has failed
    #[arg(long)]
    pub failed: bool,
}

#[derive(Debug, Args)]
pub struct TracesArgs {
    #[command(flatten)]
    pub asked: AskedArgs,
    /// Only this request: the header `hacher-invocation` of its reply
    #[arg(long, value_name = "ID")]
    pub invocation: Option<String>,
    /// Only runs that failed, whether retried or not
    #[arg(long)]
    pub failed: bool,
    /// Only the last N runs
    #[arg(long, value_name = "N")]
    pub limit: Option<u32>,
}

/// Of whom an operator asks what.
#[derive(Debug, Args)]
pub struct AskedArgs {
    /// Only this chain
    #[arg(value_name = "CHAIN")]
    pub name: Option<String>,
    /// The same as CHAIN
    #[arg(long, value_name = "CHAIN", conflicts_with = "name")]
    pub chain: Option<String>,
    /// Only this function
    #[arg(long, value_name = "FUNCTION")]
    pub function: Option<String>,
    /// Where the daemon answers operators: a port, or unix:PATH
    #[arg(long, default_value = DEFAULT_ADMIN, value_name = "ADDRESS")]
    pub admin: AdminAddress,
    /// Print the daemon's answer as JSON, see docs/operations.md: the same as --format json
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub format: FormatArgs,
}

impl AskedArgs {
    /// Whether to print for programs.
    #[must_use]
    pub fn as_json(&self) -> bool {
        self.json || self.format.format == Format::Json
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
