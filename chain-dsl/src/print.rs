//! A chain as canonical text: every value written out, one flow line for each way into a target.
//!
//! The text checks to an equal chain, ids included, so it can be stored, compared and digested.

use std::fmt::Write as _;

use crate::chain::{Chain, Group};
use crate::function::{Function, Limits, Retry, SystemCalls};
use crate::program::{Guest, GuestProgram, Interpreter, Program, Protocol, Python};
use crate::units::format_duration;

impl Chain {
    /// The chain as the text of a chain file that checks to the same chain.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut out = String::new();
        // Writing to a `String` does not fail.
        let _ = self.write_toml(&mut out);
        out
    }

    fn write_toml(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "chain = {}", quoted(&self.name))?;
        writeln!(out, "version = {}", quoted(&self.version))?;
        if let Some(description) = &self.description {
            writeln!(out, "description = {}", quoted(description))?;
        }
        writeln!(out, "placement = {}", quoted(self.placement.as_str()))?;
        writeln!(out, "protection = {}", quoted(self.protection.as_str()))?;
        if let Some(egress) = self.egress {
            writeln!(out, "egress = {}", quoted(egress.as_str()))?;
        }
        writeln!(out, "flow = [")?;
        for group in &self.groups {
            writeln!(out, "  {},", quoted(&self.flow_line(group)))?;
        }
        writeln!(out, "]")?;
        writeln!(out, "\n[ingress]")?;
        writeln!(out, "max_body = {}", quoted(&self.ingress.max_body.to_string()))?;
        writeln!(out, "max_reply = {}", quoted(&self.ingress.max_reply.to_string()))?;
        writeln!(
            out,
            "deadline = {}",
            quoted(&format_duration(self.ingress.deadline))
        )?;
        writeln!(out, "in_flight = {}", self.ingress.in_flight)?;
        writeln!(out, "methods = [{}]", quoted_list(self.ingress.methods.names()))?;
        if !self.ingress.headers.is_empty() {
            let headers = quoted_list(self.ingress.headers.iter().map(String::as_str));
            writeln!(out, "headers = [{headers}]")?;
        }
        if let Some(route) = &self.ingress.route {
            writeln!(out, "route = {}", quoted(route.as_str()))?;
        }
        if let Some(listen) = self.ingress.listen {
            writeln!(out, "listen = {}", quoted(&listen.to_string()))?;
        }
        if let Some(tls) = &self.ingress.tls {
            let client_ca = tls.client_ca.as_ref();
            let client_ca =
                client_ca.map_or_else(String::new, |path| format!(", client_ca = {}", quoted(path)));
            let (cert, key) = (quoted(&tls.cert), quoted(&tls.key));
            writeln!(out, "tls = {{ cert = {cert}, key = {key}{client_ca} }}")?;
        }
        for edge in &self.edges {
            // Only what the chain's own word does not say already.
            let is_protected = edge.protection != self.protection.of_edge(edge.from, edge.to);
            if is_protected || edge.stream.is_some() {
                writeln!(out, "\n[edge.{}]", quoted(&self.edge_name(edge)))?;
            }
            if is_protected {
                writeln!(out, "protection = {}", quoted(edge.protection.as_str()))?;
            }
            if let Some(stream) = edge.stream {
                writeln!(out, "stream = {stream}")?;
            }
        }
        for function in &self.functions {
            write_function(out, function)?;
        }
        Ok(())
    }

    /// One way into a target, as a flow line: `a & b.port -> c`.
    #[must_use]
    pub fn flow_line(&self, group: &Group) -> String {
        let sources = group
            .edges
            .iter()
            .filter_map(|id| self.edge(*id))
            .map(|edge| self.source_name(edge.from));
        let sources: Vec<String> = sources.collect();
        format!("{} -> {}", sources.join(" & "), self.target_name(group.to))
    }
}

fn write_function(out: &mut String, function: &Function) -> std::fmt::Result {
    writeln!(out, "\n[function.{}]", function.name)?;
    match &function.program {
        Program::Executable(path) => writeln!(out, "exec = {}", quoted(path))?,
        Program::Python(python) => write_python(out, python)?,
        Program::Guest(guest) => write_guest(out, guest)?,
    }
    if let Some(build) = &function.build {
        writeln!(out, "build = {}", quoted(build))?;
    }
    if !function.args.is_empty() {
        let args: Vec<String> = function.args.iter().map(|text| quoted(text)).collect();
        writeln!(out, "args = [{}]", args.join(", "))?;
    }
    if !function.files.is_empty() {
        let files = function.files.iter();
        let files =
            files.map(|file| format!("{{ from = {}, to = {} }}", quoted(&file.from), quoted(&file.to)));
        writeln!(out, "files = [{}]", files.collect::<Vec<_>>().join(", "))?;
    }
    if function.system_calls != SystemCalls::default() {
        writeln!(out, "syscalls = {}", quoted(function.system_calls.as_str()))?;
    }
    if function.jit {
        writeln!(out, "jit = true")?;
    }
    let ports: Vec<String> = function.ports.iter().map(|port| quoted(port)).collect();
    writeln!(out, "ports = [{}]", ports.join(", "))?;
    if !function.env.is_empty() {
        let env = function
            .env
            .iter()
            .map(|(name, value)| format!("{name} = {}", quoted(value)));
        writeln!(out, "env = {{ {} }}", env.collect::<Vec<_>>().join(", "))?;
    }
    if !function.secrets.is_empty() {
        let secrets = function.secrets.iter();
        let secrets = secrets.map(|(name, secret)| {
            let reference = quoted(&secret.to_string());
            match secret.trim {
                true => format!("{name} = {{ from = {reference}, trim = true }}"),
                false => format!("{name} = {reference}"),
            }
        });
        writeln!(out, "secrets = {{ {} }}", secrets.collect::<Vec<_>>().join(", "))?;
    }
    if function.stream {
        writeln!(out, "stream = true")?;
    }
    write_limits(out, &function.limits)
}

fn write_python(out: &mut String, python: &Python) -> std::fmt::Result {
    writeln!(out, "python = {}", quoted(&python.named()))?;
    write_interpreter(out, &python.interpreter)?;
    if !python.preload.is_empty() {
        let modules = quoted_list(python.preload.iter().map(String::as_str));
        writeln!(out, "preload = [{modules}]")?;
    }
    Ok(())
}

fn write_interpreter(out: &mut String, interpreter: &Interpreter) -> std::fmt::Result {
    let Interpreter { venv, path } = interpreter;
    for (key, text) in [("venv", venv), ("interpreter", path)] {
        if let Some(text) = text {
            writeln!(out, "{key} = {}", quoted(text))?;
        }
    }
    Ok(())
}

fn write_guest(out: &mut String, guest: &Guest) -> std::fmt::Result {
    let Guest {
        protocol,
        command,
        program,
        start_within,
    } = guest;
    let is_path_alone = command.len() == 1
        && start_within.is_none()
        && matches!(program, GuestProgram::Given(_) | GuestProgram::File(_));
    let mut table = format!("command = [{}]", quoted_list(command.iter().map(String::as_str)));
    match protocol {
        Protocol::Lambda if is_path_alone => {
            let path = command.first().map(String::as_str).unwrap_or_default();
            return writeln!(out, "lambda = {}", quoted(path));
        }
        Protocol::Lambda => {}
        Protocol::Http(server) => {
            write!(table, ", port = {}", server.port)?;
            for (key, path) in [("path", &server.path), ("ready", &server.ready)] {
                if let Some(path) = path {
                    write!(table, ", {key} = {}", quoted(path))?;
                }
            }
        }
    }
    if let Some(time) = start_within {
        write!(table, ", start_within = {}", quoted(&format_duration(*time)))?;
    }
    let key = match protocol {
        Protocol::Http(_) => "http",
        Protocol::Lambda => "lambda",
    };
    writeln!(out, "{key} = {{ {table} }}")?;
    match program {
        // The command says which interpreter it is.
        GuestProgram::Python(interpreter) if command.first() == interpreter.path.as_ref() => {
            let venv = interpreter.venv.clone();
            write_interpreter(out, &Interpreter { venv, path: None })
        }
        GuestProgram::Python(interpreter) => write_interpreter(out, interpreter),
        _ => Ok(()),
    }
}

fn write_limits(out: &mut String, limits: &Limits) -> std::fmt::Result {
    let Limits {
        memory,
        timeout,
        instances,
        retry,
        logs,
        outbox,
        huge_pages,
        prefault,
        scratch,
        threads,
    } = *limits;
    let Retry {
        attempts,
        backoff,
        factor,
        max,
        jitter,
    } = retry;
    writeln!(out, "memory = {}", quoted(&memory.to_string()))?;
    writeln!(out, "timeout = {}", quoted(&format_duration(timeout)))?;
    writeln!(out, "instances = {instances}")?;
    writeln!(
        out,
        "retry = {{ attempts = {attempts}, backoff = {}, factor = {factor:?}, max = {}, jitter = {jitter} }}",
        quoted(&format_duration(backoff)),
        quoted(&format_duration(max)),
    )?;
    writeln!(out, "logs = {}", quoted(logs.as_str()))?;
    writeln!(out, "outbox = {}", quoted(&outbox.to_string()))?;
    writeln!(out, "huge_pages = {huge_pages}")?;
    writeln!(out, "prefault = {prefault}")?;
    writeln!(out, "scratch = {}", quoted(&scratch.to_string()))?;
    writeln!(out, "threads = {threads}")
}

/// What stands between the brackets of an array of strings.
fn quoted_list<'t>(texts: impl Iterator<Item = &'t str>) -> String {
    texts.map(quoted).collect::<Vec<_>>().join(", ")
}

/// A TOML basic string.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => _ = write!(out, "\\U{:08X}", u32::from(c)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_backslashes_and_controls_are_escaped() {
        assert_eq!(
            quoted("a\"b\\c\nd\te\u{1b}"),
            "\"a\\\"b\\\\c\\nd\\te\\U0000001B\""
        );
    }
}
