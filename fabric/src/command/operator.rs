//! What `status` and `traces` have in common: they ask a daemon, which answers with JSON.

use super::Failed;
use crate::cli::AskedArgs;
use hacher_client::http::{Connection, HttpError, Reply};
use hacher_http::admin_address::AdminAddress;
use hacher_http::percent;
use serde_json::Value;
use std::io::ErrorKind;
use std::time::Duration;

/// How long a daemon may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// A question in the making: a path, and what is asked for.
pub(super) struct Question<'a> {
    admin: &'a AdminAddress,
    path: String,
}

impl<'a> Question<'a> {
    /// Asks at `path` for what `asked` says.
    pub(super) fn new(path: &str, asked: &'a AskedArgs) -> Self {
        let mut question = Self {
            admin: &asked.admin,
            path: path.to_owned(),
        };
        question.with("chain", asked.name.as_ref().or(asked.chain.as_ref()));
        question.with("function", asked.function.as_ref());
        question
    }

    /// Adds a filter, if there is a value.
    pub(super) fn with(&mut self, key: &str, value: Option<impl ToString>) {
        let Some(value) = value else { return };
        self.path.push(if self.path.contains('?') { '&' } else { '?' });
        self.path.push_str(key);
        self.path.push('=');
        for byte in value.to_string().bytes() {
            percent::push(&mut self.path, byte);
        }
    }

    /// Asks.
    ///
    /// # Errors
    /// When no daemon answers, or it does not know what was asked for.
    pub(super) fn ask(&self) -> Result<Value, Failed> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let ask = async { Connection::open_admin(self.admin).await?.get(&self.path).await };
        let reply: Result<Reply, HttpError> = runtime
            .block_on(async { tokio::time::timeout(PATIENCE, ask).await })
            .map_err(|_| Failed::new(format!("the daemon at {} does not answer", self.admin)))?;
        let reply = reply.map_err(|error| self.not_connected(error))?;
        let answer = reply.json();
        if reply.status.is_success() && answer.is_object() {
            return Ok(answer);
        }
        let said = answer.get("error").and_then(Value::as_str);
        let said = said.map_or_else(
            || {
                format!(
                    "{} answered with {}, which no daemon does: is this the address of `serve --admin`?",
                    self.admin, reply.status
                )
            },
            str::to_owned,
        );
        Err(Failed::new(said))
    }

    /// Says what to do where nobody listens, or not for this user.
    fn not_connected(&self, error: HttpError) -> Failed {
        let (HttpError::Connect { source, .. } | HttpError::ConnectPath { source, .. }) = &error else {
            return error.into();
        };
        let advice = match source.kind() {
            ErrorKind::PermissionDenied => {
                "a socket of operators lets in the user alone that runs the service"
            }
            _ => {
                "is the service running (`hacher-fabric serve`, or `systemctl status hacher-fabric`)? --admin has to name \
                 the address that `serve --admin` has"
            }
        };
        Failed::new(format!("{error}; {advice}"))
    }
}

/// A text of an answer.
pub(super) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or("?")
}

/// A number of an answer.
pub(super) fn number(value: &Value, key: &str) -> u64 {
    value.get(key).and_then(Value::as_u64).unwrap_or(0)
}

/// A list of an answer.
pub(super) fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}

/// Whether it is known where the time of a run went. A process that dies tells nothing of it.
pub(super) fn is_timed(trace: &Value) -> bool {
    let told = [
        "queued_ns",
        "hand_over_ns",
        "open_ns",
        "run_ns",
        "seal_ns",
        "in_bytes",
        "out_bytes",
    ];
    told.iter().any(|key| number(trace, key) > 0)
}
