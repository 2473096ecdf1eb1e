//! `serve`: this process becomes the monitor, which is `hacher-monitor` where that lies beside this
//! executable.

use super::Failed;
use crate::cli::{Format, ServeArgs};
use crate::companion::Companion;
use hacher_daemon::collector;
use hacher_daemon::settings::{ReadyAs, Settings};
use hacher_http::admin_address::AdminAddress;
use hacher_trustlet_host::core::limits::ADMIN_SOCKETS_MAX;
use hacher_trustlet_host::lines;
use hacher_trustlet_host::service::{self, DrainTimes, FabricProgram, MonitorConfig};
use hacher_trustlet_host::tell;
use rustix::process::{Signal, set_parent_process_death_signal};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path;
use std::process::ExitCode;
use std::time::Duration;

/// Becomes the monitor; returns when the service has stopped.
///
/// # Errors
/// When the arguments contradict each other, or the service cannot start.
pub fn serve(arguments: &ServeArgs) -> Result<ExitCode, Failed> {
    check_gateway_address(
        arguments.shared_listen(),
        arguments.tls_cert.is_some(),
        "--listen",
    )?;
    if arguments.admin.len() > ADMIN_SOCKETS_MAX {
        return Err(Failed::new(format!(
            "--admin may be given {ADMIN_SOCKETS_MAX} times"
        )));
    }
    let mut sockets = Vec::new();
    for address in &arguments.admin {
        match address {
            AdminAddress::Port(port) => check_admin_address(*port, "--admin")?,
            AdminAddress::Path(path) => sockets.push(path::absolute(path)?),
        }
    }
    lines::begin(arguments.log_format.into(), "hacher-fabric");
    if arguments.tied {
        set_parent_process_death_signal(Some(Signal::TERM))?;
    }
    let mut loader: Vec<OsString> = vec!["hacher-loader".into()];
    loader.extend(std::env::args_os().skip(1));
    let start_patience = Duration::from_secs(u64::from(arguments.start.start_timeout));
    let ready_as = if arguments.ready_json || arguments.format.format == Format::Json {
        ReadyAs::Json
    } else {
        ReadyAs::Words
    };
    let (collector, warnings) =
        collector::find(&arguments.tracing.asked(), |name| std::env::var(name).ok()).map_err(Failed::new)?;
    for warning in warnings {
        tell!(Warning: "{warning}");
    }
    let (collector, url) = collector.unzip();
    let daemon = Settings {
        ready_as,
        log_format: arguments.log_format.into(),
        start_patience,
        beat: service::daemon_beat(),
        collector: url,
    };
    let config = MonitorConfig {
        fabric: FabricProgram::this()?,
        loader,
        daemon: daemon.arguments(),
        drain: DrainTimes {
            delay: Duration::from_secs(u64::from(arguments.drain.drain_delay)),
            timeout: Duration::from_secs(u64::from(arguments.drain.drain_timeout)),
        },
        quiet_drain: arguments.quiet_drain,
        start_patience,
        access_log: arguments.access_log,
        collector,
        sockets,
    };
    match Companion::Monitor.beside(Companion::Fabric)? {
        Some(found) => {
            let error = config.hand_over(&found.path);
            Err(Failed::new(format!(
                "cannot run {}: {error}",
                found.path.display()
            )))
        }
        None => Ok(service::run(config)?),
    }
}

/// Refuses to let plain HTTP leave this machine. `whose`: what says the address.
///
/// # Errors
/// Names it.
pub fn check_gateway_address(address: SocketAddr, has_tls: bool, whose: &str) -> Result<(), Failed> {
    if address.ip().is_loopback() || has_tls {
        return Ok(());
    }
    Err(Failed::new(format!(
        "{whose} {address}: plain HTTP is served on loopback only; give --tls-cert and --tls-key"
    )))
}

/// Refuses to answer operators beyond this machine.
///
/// # Errors
/// Names the address.
pub fn check_admin_address(address: SocketAddr, whose: &str) -> Result<(), Failed> {
    if address.ip().is_loopback() {
        return Ok(());
    }
    let text = format!("{whose} {address}: operators are answered on loopback only");
    Err(Failed::new(text))
}
