//! `serve`: this process becomes the monitor.

use super::Failed;
use crate::cli::{Format, ServeArgs};
use crate::daemon::settings::Settings;
use hacher_trustlet_host::service::{self, MonitorConfig};
use rustix::process::{Signal, set_parent_process_death_signal};
use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

/// Becomes the monitor; returns when the service has stopped.
///
/// # Errors
/// When the arguments contradict each other, or the service cannot start.
pub fn serve(arguments: &ServeArgs) -> Result<ExitCode, Failed> {
    let listen = arguments.shared_listen();
    if !listen.ip().is_loopback() && arguments.tls_cert.is_none() {
        return Err(Failed::new(format!(
            "--listen {listen}: plain HTTP is served on loopback only; give --tls-cert and --tls-key"
        )));
    }
    if !arguments.admin.ip().is_loopback() {
        return Err(Failed::new(format!(
            "--admin {}: operators are answered on loopback only",
            arguments.admin
        )));
    }
    if arguments.tied {
        set_parent_process_death_signal(Some(Signal::TERM))?;
    }
    let mut loader: Vec<OsString> = vec!["hacher-loader".into()];
    loader.extend(std::env::args_os().skip(1));
    let start_patience = Duration::from_secs(u64::from(arguments.start.start_timeout));
    let ready_as = if arguments.ready_json || arguments.format.format == Format::Json {
        Format::Json
    } else {
        Format::Human
    };
    let daemon = Settings {
        ready_as,
        start_patience,
    };
    let config = MonitorConfig {
        loader,
        daemon: daemon.arguments(),
        grace: Duration::from_secs(u64::from(arguments.grace)),
        start_patience,
    };
    Ok(service::run(config)?)
}
