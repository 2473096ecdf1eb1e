//! A sealed request: opened segment by segment as it arrives, straight into its record. What its head inside
//! says takes the place of the headers outside, which anybody on the way can have written.

use super::budget::Charge;
use super::carried::{Asked, HEAD_EXPECTED_BYTES, carry};
use super::endpoint::Endpoint;
use super::framing::{FIELDS_MAX, head_too_long};
use super::location::Location;
use super::problem::{Problem, RETRY_AFTER_S};
use super::record::Record;
use super::request_body::{Intake, no_room, shed, too_large};
use super::request_key::RequestKey;
use super::sampling::Traced;
use super::target;
use super::traced::put_trace;
use hacher_libos_net::headers;
use hacher_libos_net::telemetry::RequestRefusal;
use hacher_sealed_request::reply::Owed;
use hacher_sealed_request::request::{Claim, PREFIX_BYTES};
use hacher_sealed_request::segments::{OVERHEAD_BYTES, Opener};
use hacher_sealed_request::{
    METHOD_FIELD, PATH_FIELD, QUERY_FIELD, REQUEST_MEDIA_TYPE, Refused, head, problem,
};
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{HeaderMap, Method, Request, StatusCode};
use std::borrow::Cow;
use std::cell::Cell;
use std::net::IpAddr;

/// What of a head inside is held at most while it is not whole: its length, and itself.
const HEAD_BYTES: usize = head::HEAD_MAX_BYTES + 4;

/// Whether a request says that it is sealed; a problem if it says so and something else besides.
pub(super) fn is_sealed(request: &Request<()>, location: &Location) -> Result<bool, Problem> {
    let headers = request.headers();
    if !says_sealed(headers) {
        return Ok(false);
    }
    if *request.method() != Method::POST {
        let detail = format!(
            "a sealed request is posted; the method of what is sealed is said inside, as `{METHOD_FIELD}`"
        );
        return Err(
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method not allowed", detail)
                .allow(HeaderValue::from_static("POST"))
                .refusal(RequestRefusal::Headers),
        );
    }
    let types = headers.get_all(CONTENT_TYPE);
    if types.iter().nth(1).is_some() {
        let detail = "`content-type` may stand in a request once";
        return Err(
            Problem::new(StatusCode::BAD_REQUEST, "repeated header", detail).refusal(RequestRefusal::Headers)
        );
    }
    if headers.contains_key(CONTENT_ENCODING) {
        let detail = "a sealed request has no content-encoding; that of what is sealed is said inside";
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "a coding of sealed bytes",
            detail,
        )
        .refusal(RequestRefusal::Headers));
    }
    if request.uri().query().is_some() {
        let detail = format!("a sealed request has no query; it is said inside, as `{QUERY_FIELD}`");
        return Err(
            Problem::new(StatusCode::BAD_REQUEST, "a query outside", detail).refusal(RequestRefusal::Headers)
        );
    }
    if !location.path.is_empty() {
        let detail = format!(
            "a sealed request goes to /chains/{{name}}; what stands behind that, or a route, is said inside, as `{PATH_FIELD}`"
        );
        return Err(
            Problem::new(StatusCode::BAD_REQUEST, "a path outside", detail).refusal(RequestRefusal::Headers)
        );
    }
    Ok(true)
}

/// Whether the headers of a request say that its body is sealed.
pub(super) fn says_sealed(headers: &HeaderMap) -> bool {
    headers.get_all(CONTENT_TYPE).iter().any(is_sealed_type)
}

/// Parameters change nothing: there are none.
fn is_sealed_type(value: &HeaderValue) -> bool {
    let bytes = value.as_bytes();
    let essence = bytes.split(|byte| *byte == b';').next().unwrap_or_default();
    essence
        .trim_ascii()
        .eq_ignore_ascii_case(REQUEST_MEDIA_TYPE.as_bytes())
}

/// What a sealed request has said of its reply so far.
#[derive(Default)]
pub(super) struct Terms {
    /// What seals the reply, from the moment on at which the request was opened and is no replay.
    pub(super) owed: Cell<Option<Owed>>,
    pub(super) form: Cell<Form>,
}

/// What kind of reply the method inside asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Form {
    /// All of what the chain answers.
    #[default]
    Whole,
    /// HEAD: its head alone.
    Head,
    /// OPTIONS of a chain that does not answer it: the gateway does.
    Options,
}

/// A sealed request that arrives.
pub(super) struct SealedRequest<'a> {
    endpoint: &'a Endpoint,
    key: &'a RequestKey,
    /// What came of the bytes before the first segment.
    prefix: Vec<u8>,
    segments: Option<Opener>,
    content: Content<'a>,
    /// For what is neither in the record nor gone.
    charge: Charge,
}

/// What was sealed.
struct Content<'a> {
    endpoint: &'a Endpoint,
    peer: Option<IpAddr>,
    key: &'a RequestKey,
    claim: Option<Claim>,
    /// What will seal the reply, until the request is admitted.
    reply: Option<Owed>,
    /// And from then on: whatever the answer is, it is for who asked alone.
    terms: &'a Terms,
    /// The trace that it belongs to, once its head is here.
    traced: &'a Cell<Option<Traced>>,
    /// Whether a segment was opened, and the request is no replay.
    is_admitted: bool,
    /// What came of the head.
    head: Vec<u8>,
    record: Option<Record>,
    body_bytes: u64,
}

impl<'a> SealedRequest<'a> {
    /// One of which nothing came yet. What seals its reply is put into `terms` once it is known to be no
    /// replay.
    pub(super) fn new(
        endpoint: &'a Endpoint,
        peer: Option<IpAddr>,
        terms: &'a Terms,
        traced: &'a Cell<Option<Traced>>,
    ) -> Result<Self, Problem> {
        let key = endpoint.request_key.as_ref().ok_or_else(|| {
            let detail = "this gateway has no key for sealed requests";
            Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not served sealed", detail)
                .refusal(RequestRefusal::SealedKey)
        })?;
        Ok(Self {
            endpoint,
            key,
            prefix: Vec::with_capacity(PREFIX_BYTES),
            segments: None,
            content: Content {
                endpoint,
                peer,
                key,
                claim: None,
                reply: None,
                terms,
                traced,
                is_admitted: false,
                head: Vec::new(),
                record: None,
                body_bytes: 0,
            },
            charge: endpoint.account.nothing(),
        })
    }

    /// The record, once all has come.
    pub(super) fn finish(mut self) -> Result<Record, Problem> {
        let end = self
            .segments
            .as_ref()
            .map_or(Err(Refused::Truncated), Opener::end);
        end.map_err(|fault| self.content.refuse(fault))?;
        let record = self.content.record.take();
        record.ok_or_else(|| self.content.refuse(Refused::Head))
    }

    /// Takes the bytes before the first segment; what follows them.
    fn take_prefix<'d>(&mut self, data: &'d [u8]) -> Result<&'d [u8], Refused> {
        let missing = PREFIX_BYTES - self.prefix.len();
        let (prefix, rest) = data.split_at_checked(missing).unwrap_or((data, &[]));
        self.prefix.extend_from_slice(prefix);
        if self.segments.is_none()
            && let Some(prefix) = self.prefix.first_chunk()
        {
            let opened = self.key.open(prefix)?;
            self.content.claim = Some(opened.claim);
            self.content.reply = Some(opened.reply);
            self.segments = Some(opened.segments);
        }
        Ok(rest)
    }

    fn held_bytes(&self) -> u64 {
        let segment = self.segments.as_ref().map_or(0, Opener::held_bytes);
        (segment + self.content.head.capacity()) as u64
    }
}

impl Intake for SealedRequest<'_> {
    fn expect(&mut self, announced_bytes: u64) -> Result<(), Problem> {
        let limit = self.endpoint.begin.max_body_bytes;
        let beside_body = (PREFIX_BYTES + HEAD_BYTES) as u64;
        // However it is cut into segments, this much of it at least is plaintext.
        let least = announced_bytes.saturating_sub(PREFIX_BYTES as u64) / (OVERHEAD_BYTES as u64 + 1);
        if least > limit.saturating_add(beside_body) {
            return Err(too_large(None, limit));
        }
        let held = announced_bytes.min(limit.saturating_add(beside_body));
        if self.endpoint.has_room_for_request(held) {
            Ok(())
        } else {
            Err(no_room())
        }
    }

    fn take(&mut self, data: &[u8]) -> Result<(), Problem> {
        let segments = self.segments.as_ref();
        let more = segments.map_or(0, |segments| segments.room_for(data.len()));
        if !self.endpoint.has_room_for_request((data.len() + more) as u64) {
            return Err(no_room());
        }
        let rest = self
            .take_prefix(data)
            .map_err(|fault| self.content.refuse(fault))?;
        if let Some(segments) = &mut self.segments {
            let content = &mut self.content;
            let opened = segments.open_each(rest, |plaintext| content.take(plaintext));
            opened.map_err(|fault| match fault {
                Fault::Refused(fault) => content.refuse(fault),
                Fault::Problem(problem) => problem,
            })?;
        }
        self.charge.set(self.held_bytes());
        Ok(())
    }
}

impl Content<'_> {
    /// Takes a segment that was opened.
    fn take(&mut self, plaintext: &[u8]) -> Result<(), Fault> {
        if !self.is_admitted {
            // Before it counts as opened: its client may send the very same again.
            if !self.endpoint.has_place() {
                return Err(shed(self.endpoint).into());
            }
            let claim = self.claim.as_ref().ok_or(Refused::Form)?;
            let has_room = |bytes| self.endpoint.has_room_for_request(bytes);
            self.key.admit(claim, has_room)?;
            self.is_admitted = true;
            self.terms.owed.set(self.reply.take());
        }
        if self.record.is_some() {
            return self.take_body(plaintext);
        }
        let missing = HEAD_BYTES - self.head.len();
        let (now, later) = plaintext.split_at_checked(missing).unwrap_or((plaintext, &[]));
        let before = self.head.len();
        self.head.extend_from_slice(now);
        let Some(read) = head::decode(&self.head)? else {
            return Ok(());
        };
        let (record, traced) = record_of(&read.fields, self.endpoint, self.peer, self.terms)?;
        self.traced.set(traced);
        // The head was not whole before this segment, so its end lies in it.
        let of_segment = read.len_bytes.saturating_sub(before);
        self.record = Some(record);
        self.head = Vec::new();
        self.take_body(now.get(of_segment..).unwrap_or_default())?;
        self.take_body(later)
    }

    /// What is not as it was sealed is said in the clear: whoever altered it could have said so, too.
    fn refuse(&self, fault: Refused) -> Problem {
        drop(self.terms.owed.take());
        refused(fault, self.is_admitted)
    }

    fn take_body(&mut self, plaintext: &[u8]) -> Result<(), Fault> {
        let limit = self.endpoint.begin.max_body_bytes;
        self.body_bytes = self.body_bytes.saturating_add(plaintext.len() as u64);
        if self.body_bytes > limit {
            return Err(too_large(None, limit).into());
        }
        let has_room = self.endpoint.has_room_for_request(plaintext.len() as u64);
        let record = self.record.as_mut().filter(|_| has_room);
        if record.is_some_and(|record| record.append(plaintext)) {
            Ok(())
        } else {
            Err(no_room().into())
        }
    }
}

/// What a head inside says in the place of a target and of headers.
struct Inside<'f> {
    method: Option<&'f str>,
    path: Option<&'f str>,
    query: Option<&'f str>,
    headers: HeaderMap,
}

impl<'f> Inside<'f> {
    fn new(fields: &[(&'f str, &'f str)]) -> Result<Self, Refused> {
        let mut inside = Self {
            method: None,
            path: None,
            query: None,
            headers: HeaderMap::with_capacity(fields.len()),
        };
        for (name, value) in fields {
            let said = match *name {
                METHOD_FIELD => &mut inside.method,
                PATH_FIELD => &mut inside.path,
                QUERY_FIELD => &mut inside.query,
                name => {
                    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| Refused::Head)?;
                    let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| Refused::Head)?;
                    inside.headers.append(name, value);
                    continue;
                }
            };
            if said.replace(*value).is_some() {
                return Err(Refused::Head);
            }
        }
        Ok(inside)
    }

    /// The method, which the chain has to answer as it would outside; and what kind of reply it asks for.
    fn method(&self, endpoint: &Endpoint, form: &Cell<Form>) -> Result<&'f str, Problem> {
        let said = self.method.unwrap_or("POST");
        let method = Method::from_bytes(said.as_bytes()).ok();
        if method.as_ref() == Some(&Method::HEAD) {
            form.set(Form::Head);
        }
        if method
            .as_ref()
            .is_some_and(|method| endpoint.taken.answers(method))
        {
            return Ok(said);
        }
        if method == Some(Method::OPTIONS) {
            form.set(Form::Options);
        }
        let detail = endpoint.taken.only_these();
        Err(
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method not allowed", detail)
                .allow(endpoint.taken.allow_header())
                .refusal(RequestRefusal::Headers),
        )
    }

    /// The path, as strict as outside, and the query with it.
    fn path(&self) -> Result<Cow<'f, str>, Problem> {
        let path = self.path.unwrap_or_default();
        let refused = |problem: Problem| problem.refusal(RequestRefusal::Headers);
        if !(path.is_empty() || path.starts_with('/')) || path.contains('?') {
            let detail = format!("`{PATH_FIELD}` is a path that begins with `/`, without a query");
            return Err(refused(Problem::new(
                StatusCode::BAD_REQUEST,
                "malformed request",
                detail,
            )));
        }
        target::judge_path_and_query(path, self.query).map_err(refused)?;
        target::path_of(path).map_err(refused)
    }
}

/// A record that begins with the headers that a head inside carries: as if they had come as headers.
fn record_of(
    fields: &[(&str, &str)],
    endpoint: &Endpoint,
    peer: Option<IpAddr>,
    terms: &Terms,
) -> Result<(Record, Option<Traced>), Fault> {
    if fields.len() > FIELDS_MAX {
        return Err(head_too_long("fields", FIELDS_MAX)
            .refusal(RequestRefusal::Headers)
            .into());
    }
    let inside = Inside::new(fields)?;
    let path = inside.path()?;
    let found = endpoint.taken.route().and_then(|route| route.takes(&path));
    let captures = found.map(|found| found.captures).unwrap_or_default();
    let asked = Asked {
        method: inside.method(endpoint, &terms.form)?,
        path: &path,
        query: inside.query,
        captures: &captures,
        authority: None,
        peer,
    };
    let mut head = Vec::with_capacity(HEAD_EXPECTED_BYTES);
    headers::start(&mut head, &[]);
    carry(&inside.headers, asked, endpoint.taken.headers(), &mut head)?;
    let traced = put_trace(&inside.headers, endpoint, true, &mut head)?;
    Ok((Record::beginning_with(head, &endpoint.account), traced))
}

/// Why a sealed request is not taken.
enum Fault {
    Refused(Refused),
    Problem(Problem),
}

impl From<Refused> for Fault {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<Problem> for Fault {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

/// As a client is told. A first segment that does not open is what a client sees whose evidence is of an
/// earlier gateway.
fn refused(fault: Refused, is_admitted: bool) -> Problem {
    let (status, title, kind, refusal) = match fault {
        Refused::Segment if !is_admitted => (
            StatusCode::BAD_REQUEST,
            "sealed to another key",
            problem::KEY,
            RequestRefusal::SealedKey,
        ),
        Refused::Replayed => (
            StatusCode::CONFLICT,
            "a replayed request",
            problem::REPLAYED,
            RequestRefusal::SealedReplayed,
        ),
        Refused::Time { .. } => (
            StatusCode::BAD_REQUEST,
            "a request of another time",
            problem::TIME,
            RequestRefusal::SealedTime,
        ),
        Refused::Full => (
            StatusCode::SERVICE_UNAVAILABLE,
            "too many sealed requests",
            problem::FULL,
            RequestRefusal::SealedFull,
        ),
        _ => (
            StatusCode::BAD_REQUEST,
            "not a sealed request",
            problem::MALFORMED,
            RequestRefusal::SealedMalformed,
        ),
    };
    let answer = Problem::new(status, title, fault.to_string())
        .of_type(kind)
        .refusal(refusal);
    match fault {
        Refused::Full => answer.retry_after(RETRY_AFTER_S),
        _ => answer,
    }
}
