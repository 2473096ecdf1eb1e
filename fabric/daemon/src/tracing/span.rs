//! A span as OTLP has it (opentelemetry-proto, `trace/v1/trace.proto`, version 1.x), and the request that
//! carries spans to a collector.

use super::protobuf::{Fields, Message, Value};
use hacher_libos_net::span_id::SpanId;

/// Numbers of fields.
mod field {
    /// Of `ExportTraceServiceRequest`.
    pub(super) const RESOURCE_SPANS: u32 = 1;
    /// Of `ResourceSpans`.
    pub(super) const RESOURCE: u32 = 1;
    pub(super) const SCOPE_SPANS: u32 = 2;
    /// Of `Resource`.
    pub(super) const RESOURCE_ATTRIBUTES: u32 = 1;
    /// Of `ScopeSpans`.
    pub(super) const SCOPE: u32 = 1;
    pub(super) const SPANS: u32 = 2;
    /// Of `InstrumentationScope`.
    pub(super) const SCOPE_NAME: u32 = 1;
    pub(super) const SCOPE_VERSION: u32 = 2;
    /// Of `Span`.
    pub(super) const TRACE_ID: u32 = 1;
    pub(super) const SPAN_ID: u32 = 2;
    pub(super) const PARENT_SPAN_ID: u32 = 4;
    pub(super) const NAME: u32 = 5;
    pub(super) const KIND: u32 = 6;
    pub(super) const START: u32 = 7;
    pub(super) const END: u32 = 8;
    pub(super) const ATTRIBUTES: u32 = 9;
    pub(super) const STATUS: u32 = 15;
    pub(super) const FLAGS: u32 = 16;
    /// Of `Status`.
    pub(super) const MESSAGE: u32 = 2;
    pub(super) const CODE: u32 = 3;
    /// Of `KeyValue`.
    pub(super) const KEY: u32 = 1;
    pub(super) const VALUE: u32 = 2;
    /// Of `AnyValue`.
    pub(super) const STRING: u32 = 1;
    pub(super) const INT: u32 = 3;
    /// Of `ExportTraceServiceResponse` and `ExportTracePartialSuccess`.
    pub(super) const PARTIAL_SUCCESS: u64 = 1;
    pub(super) const REJECTED_SPANS: u64 = 1;
}

/// `Status.STATUS_CODE_ERROR`.
const ERROR: u64 = 2;
/// The flag of Trace Context that each span has that is exported.
const SAMPLED: u32 = 1;

/// What a span is, as OTLP names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Something inside of the service.
    Internal = 1,
    /// A request from outside.
    Server = 2,
}

/// The value of an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attribute<'a> {
    Text(&'a str),
    Number(u64),
}

/// A span that is exported.
#[derive(Debug)]
pub(super) struct Exported<'a> {
    pub(super) trace: u128,
    pub(super) id: SpanId,
    pub(super) parent: Option<SpanId>,
    pub(super) name: &'a str,
    pub(super) kind: Kind,
    /// Nanoseconds since 1970.
    pub(super) start_ns: u64,
    pub(super) end_ns: u64,
    pub(super) attributes: &'a [(&'a str, Attribute<'a>)],
    /// Why it is a failure, if it is one.
    pub(super) error: Option<&'a str>,
}

impl Exported<'_> {
    /// Its message.
    pub(super) fn encoded(&self) -> Vec<u8> {
        let mut span = Message::default();
        span.bytes(field::TRACE_ID, &self.trace.to_be_bytes());
        span.bytes(field::SPAN_ID, &self.id.as_u64().to_be_bytes());
        if let Some(parent) = self.parent {
            span.bytes(field::PARENT_SPAN_ID, &parent.as_u64().to_be_bytes());
        }
        span.bytes(field::NAME, self.name.as_bytes());
        span.number(field::KIND, self.kind as u64);
        span.fixed_64(field::START, self.start_ns);
        span.fixed_64(field::END, self.end_ns);
        for (key, value) in self.attributes {
            span.message(field::ATTRIBUTES, |pair| attribute(pair, key, *value));
        }
        if let Some(error) = self.error {
            span.message(field::STATUS, |status| {
                status.bytes(field::MESSAGE, error.as_bytes());
                status.number(field::CODE, ERROR);
            });
        }
        span.fixed_32(field::FLAGS, SAMPLED);
        span.into_bytes()
    }
}

fn attribute(pair: &mut Message, key: &str, value: Attribute<'_>) {
    pair.bytes(field::KEY, key.as_bytes());
    pair.message(field::VALUE, |any| match value {
        Attribute::Text(text) => any.bytes(field::STRING, text.as_bytes()),
        Attribute::Number(number) => any.number(field::INT, number),
    });
}

/// The request that carries these spans, of a service with this name.
pub(super) fn export(service: &str, spans: &[Vec<u8>]) -> Vec<u8> {
    let mut request = Message::default();
    request.message(field::RESOURCE_SPANS, |of_resource| {
        of_resource.message(field::RESOURCE, |resource| {
            for (key, value) in [
                ("service.name", service),
                ("service.version", env!("CARGO_PKG_VERSION")),
            ] {
                resource.message(field::RESOURCE_ATTRIBUTES, |pair| {
                    attribute(pair, key, Attribute::Text(value));
                });
            }
        });
        of_resource.message(field::SCOPE_SPANS, |of_scope| {
            of_scope.message(field::SCOPE, |scope| {
                scope.bytes(field::SCOPE_NAME, b"hacher");
                scope.bytes(field::SCOPE_VERSION, env!("CARGO_PKG_VERSION").as_bytes());
            });
            for span in spans {
                of_scope.bytes(field::SPANS, span);
            }
        });
    });
    request.into_bytes()
}

/// How many spans the collector says in its answer that it did not take.
pub(super) fn rejected(answer: &[u8]) -> u64 {
    let partial = Fields::of(answer).find_map(|(number, value)| match value {
        Value::Bytes(bytes) if number == field::PARTIAL_SUCCESS => Some(bytes),
        _ => None,
    });
    let rejected = Fields::of(partial.unwrap_or_default()).find_map(|(number, value)| match value {
        Value::Number(count) if number == field::REJECTED_SPANS => Some(count),
        _ => None,
    });
    rejected.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_may_say_how_many_it_did_not_take() {
        let mut answer = Message::default();
        answer.message(1, |partial| {
            partial.number(1, 300);
            partial.bytes(2, b"too many");
        });
        assert_eq!(rejected(&answer.into_bytes()), 300);
        for answer in [&b""[..], b"\x0a\x00", b"<html>", &[0xff; 30]] {
            assert_eq!(rejected(answer), 0);
        }
    }
}
