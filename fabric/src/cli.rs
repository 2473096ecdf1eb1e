//! The command line: what can be asked, and the words that explain it.

#![allow(
    missing_docs,
    reason = "doc comments here are the texts of --help, so what needs none there has none"
)]

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Where the gateway listens unless told otherwise.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:8080";
/// Where the daemon answers operators unless told otherwise.
pub const DEFAULT_ADMIN: &str = "127.0.0.1:9464";

/// Chains of functions that handle sensitive data: each function isolated, every hop sealed, no network between.
#[derive(Debug, Parser)]
#[command(
    name = "hacher-fabric",
    version,
    propagate_version = true,
    max_term_width = 100
)]
#[command(
    after_help = "Start with:\n  hacher-fabric check chain.toml\n  hacher-fabric run --build chain.toml --input FILE\n\nExit codes: 0 done, 1 failed, 2 wrong usage."
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve one chain, put one input through it, show where the time went, and stop
    ///
    /// Starts the whole tree (monitor, daemon, gateway, functions) on a loopback port of its own, sends the input,
    /// writes the output, prints a table with a line for each hop, and leaves nothing behind.
    Run(RunArgs),
    /// Serve chains over HTTP until told to stop
    ///
    /// This process becomes the monitor: it starts the daemon as its unprivileged child, and every function in a
    /// trustlet of its own. SIGTERM drains: requests in flight are answered, new connections are not taken.
    Serve(ServeArgs),
    /// Check chain files and say all that is wrong with them
    Check(CheckArgs),
    /// Draw a chain as Mermaid or DOT
    Graph(GraphArgs),
    /// Print the JSON Schema of chain files, for editors
    Schema,
    /// Send one request to a chain that is being served
    Call(CallArgs),
    /// Show what a running daemon serves, and how it fares
    Status(StatusArgs),
    /// For each edge of a chain: which memory, protection, placement; how many copies, seals, wakes
    Explain(ChainArgs),
    /// Print the measurements and the digest of a chain, without running it
    Measure(ChainArgs),
    /// Show what this machine can enforce
    Doctor(FormatArgs),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Human,
    /// For programs
    Json,
}

#[derive(Debug, Args)]
pub struct FormatArgs {
    /// How to print
    #[arg(long, value_enum, default_value = "human")]
    pub format: Format,
}

#[derive(Debug, Args)]
pub struct RunArgs {
    /// The chain file
    pub chain: PathBuf,
    /// The request's body; `-` reads standard input
    #[arg(long, short)]
    pub input: PathBuf,
    /// Where to write the reply's body; standard output if not given
    #[arg(long, short)]
    pub output: Option<PathBuf>,
    /// Run the `build` commands of the chain file first
    #[arg(long)]
    pub build: bool,
    /// What the body is; guessed from the input's name if not given
    #[arg(long, value_name = "TYPE")]
    pub content_type: Option<String>,
    /// Send the input this many times, one after another, and show the medians
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000), value_name = "N")]
    pub repeat: u32,
    #[command(flatten)]
    pub isolation: IsolationArgs,
    #[command(flatten)]
    pub format: FormatArgs,
}

#[derive(Debug, Args)]
pub struct IsolationArgs {
    /// Refuse to start unless every isolation layer is there
    #[arg(long, value_enum, default_value = "available", value_name = "LEVEL")]
    pub require_isolation: RequireIsolation,
}

/// Which isolation is enough to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RequireIsolation {
    /// Whatever the kernel allows; what is missing is named in every report
    Available,
    /// Every layer that `doctor` knows
    Full,
}

#[derive(Debug, Args)]
pub struct ServeArgs {
    /// The chain files
    #[arg(required = true)]
    pub chains: Vec<PathBuf>,
    /// Where the gateway listens. Anything but loopback needs --tls-cert and --tls-key
    #[arg(long, default_value = DEFAULT_LISTEN, value_name = "ADDRESS")]
    pub listen: SocketAddr,
    /// Certificate chain of the gateway (PEM)
    #[arg(long, requires = "tls_key", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// Private key of the gateway (PEM)
    #[arg(long, requires = "tls_cert", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// Where the daemon answers operators: /metrics, /status, /traces. Loopback only
    #[arg(long, default_value = DEFAULT_ADMIN, value_name = "ADDRESS")]
    pub admin: SocketAddr,
    /// Run the `build` commands of the chain files first
    #[arg(long)]
    pub build: bool,
    /// Stop when the process that started this one ends
    #[arg(long, hide = true)]
    pub tied: bool,
    /// Put the driver of `bench` in the gateway's place
    #[arg(long, hide = true)]
    pub bench_driver: bool,
    /// How long requests in flight may take after SIGTERM, in seconds
    #[arg(long, default_value_t = 10, value_name = "SECONDS")]
    pub grace: u32,
    #[command(flatten)]
    pub isolation: IsolationArgs,
    #[command(flatten)]
    pub format: FormatArgs,
}

#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The chain files
    #[arg(required = true)]
    pub chains: Vec<PathBuf>,
    /// Explain a diagnostic code, such as E0401, instead
    #[arg(long, value_name = "CODE", exclusive = true)]
    pub explain: Option<String>,
    /// Check the text alone: do not look for executables and secrets
    #[arg(long)]
    pub text_only: bool,
    #[command(flatten)]
    pub format: FormatArgs,
}

#[derive(Debug, Args)]
pub struct ChainArgs {
    /// The chain file
    pub chain: PathBuf,
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
pub struct CallArgs {
    /// The chain's name
    pub chain: String,
    /// The request's body; `-` reads standard input
    #[arg(long, short)]
    pub input: PathBuf,
    /// Where to write the reply's body; standard output if not given
    #[arg(long, short)]
    pub output: Option<PathBuf>,
    /// Where the gateway listens
    #[arg(long, default_value = DEFAULT_LISTEN, value_name = "ADDRESS")]
    pub gateway: SocketAddr,
    /// What the body is; guessed from the input's name if not given
    #[arg(long, value_name = "TYPE")]
    pub content_type: Option<String>,
    #[command(flatten)]
    pub format: FormatArgs,
}

#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Where the daemon answers operators
    #[arg(long, default_value = DEFAULT_ADMIN, value_name = "ADDRESS")]
    pub admin: SocketAddr,
    #[command(flatten)]
    pub format: FormatArgs,
}
