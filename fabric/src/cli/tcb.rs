//! `tcb`.

use super::format::FormatArgs;
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct TcbArgs {
    /// More executables with debug information: functions, the monitor's image that boots, or what one
    /// compares with
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Where hacher-monitor, hacher-gateway and hacher-fabric are; beside this executable if not given
    #[arg(long, value_name = "DIR")]
    pub folder: Option<PathBuf>,
    /// Name all crates of each, not the largest alone
    #[arg(long)]
    pub all: bool,
    #[command(flatten)]
    pub format: FormatArgs,
}
