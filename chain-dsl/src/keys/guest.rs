//! Keys of programs that know nothing of chains.

use crate::kinds::{AnyKey, DurationKind, IntegerKind, Key, OwnKind, TableKind, TextKind};
use std::time::Duration;

/// Most words of a command; with the adaptor's own they are the arguments of a process.
pub(crate) const MAX_COMMAND: usize = 48;
const MAX_URL_PATH_BYTES: usize = 1024;

pub(crate) const HTTP: Key<TableKind> = Key {
    name: "http",
    doc: "Instead of `exec`: a program that serves HTTP, in any language. Each record becomes a request to it, and its answer \
          the record that goes on. It needs `hacher-adaptor` beside `hacher-fabric`, and has the system calls of a \
          `program`.",
    kind: TableKind { keys: HTTP_KEYS },
};
pub(crate) const HTTP_KEYS: &[AnyKey] = &[
    AnyKey::Own(COMMAND),
    AnyKey::Integer(HTTP_PORT),
    AnyKey::Text(HTTP_PATH),
    AnyKey::Text(HTTP_READY),
    AnyKey::Duration(START_WITHIN),
];
pub(crate) const LAMBDA: Key<OwnKind> = Key {
    name: "lambda",
    doc: "Instead of `exec`: a handler of AWS Lambda with its runtime client, unchanged. A path relative to this file, as \
          \"bootstrap\", or a table with a command, as { command = [\"python3\", \"-m\", \"awslambdaric\", \
          \"app.handler\"] }. Each record becomes an event, and the response the record that goes on.",
    kind: OwnKind::Lambda(LAMBDA_KEYS),
};
pub(crate) const LAMBDA_KEYS: &[AnyKey] = &[AnyKey::Own(COMMAND), AnyKey::Duration(START_WITHIN)];
pub(crate) const COMMAND: Key<OwnKind> = Key {
    name: "command",
    doc: "The program and its arguments. A program without a slash is found on this machine as a shell finds it, \
          `python3` with its library and the packages of `venv`; one with a slash is a file relative to this file, or among \
          `files`, and placed as `files` would place it.",
    kind: OwnKind::Command,
};
pub(crate) const HTTP_PORT: Key<IntegerKind> = Key {
    name: "port",
    doc: "The port at which the program serves, on 127.0.0.1. The program has it as `PORT`, too.",
    kind: IntegerKind {
        min: 1,
        max: 65_535,
        default: 8080,
    },
};
pub(crate) const HTTP_PATH: Key<TextKind> = Key {
    name: "path",
    doc: "What stands before the path of each request; `/` if it is not written.",
    kind: TextKind {
        max_bytes: MAX_URL_PATH_BYTES,
        required: false,
        example: "/api",
    },
};
pub(crate) const HTTP_READY: Key<TextKind> = Key {
    name: "ready",
    doc: "The program is ready when this path answers with a status of 2xx; if it is not written, when its port accepts a \
          connection.",
    kind: TextKind {
        max_bytes: MAX_URL_PATH_BYTES,
        required: false,
        example: "/healthz",
    },
};
pub(crate) const START_WITHIN: Key<DurationKind> = Key {
    name: "start_within",
    doc: "How long the program may take until it is ready, in whole seconds; the service itself gives up after its \
          `--start-timeout`.",
    kind: DurationKind {
        min: Duration::from_secs(1),
        max: Duration::from_secs(3600),
        default: Duration::from_secs(25),
    },
};
