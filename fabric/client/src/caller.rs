//! Requests to a chain, of which nothing leaves before evidence was verified.
//!
//! ```text
//! sealed   to the key in evidence for a nonce: whatever ends TLS on the way sees sizes and times
//! bound    as it is, over the very connection that evidence for a session is of
//! ```

use crate::evidence::{Demands, EvidenceError, Verified, for_nonce, for_session, random};
use crate::http::{Arriving, Connection, HttpError, Reply};
use crate::incoming::{Opening, ReplyRefused};
use crate::outgoing::Outgoing;
pub use crate::question::Question;
use crate::question::target_of;
use crate::streamed::Streamed;
use crate::tls::{Identity, Trust};
use crate::url::{GatewayUrl, UrlError};
use hacher_sealed_request::request::Encapsulated;
use hacher_sealed_request::{REPLY_MEDIA_TYPE, REQUEST_MEDIA_TYPE, Refused, head, problem};
use hyper::{Method, StatusCode};
use std::fmt::{self, Write as _};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The header by which a function tells that a request came before.
const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Random bytes of one that is made here.
const IDEMPOTENCY_KEY_BYTES: usize = 16;

/// Who calls a chain.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Where its gateway is.
    pub gateway: GatewayUrl,
    /// Whose certificates are taken there.
    pub trust: Trust,
    /// What is shown where a certificate is asked for.
    pub identity: Option<Identity>,
    /// The chain's name.
    pub chain: String,
    /// What is demanded of it.
    pub demands: Demands,
    /// Longest body of a reply.
    pub reply_max_bytes: usize,
    /// How long nothing may move on the connection while a reply is awaited: longer than the chain's
    /// deadline.
    pub idle_max: Duration,
}

/// A reply, and what was verified before the request was sent.
#[derive(Debug)]
pub struct Answered {
    /// The reply.
    pub reply: Reply,
    /// What was verified of the chain that gave it.
    pub verified: Verified,
}

/// A question with an idempotency key of its own if it has none.
fn with_idempotency_key(question: &Question) -> Result<Question, EvidenceError> {
    let mut question = question.clone();
    if !question.fields.iter().any(|(name, _)| name == IDEMPOTENCY_KEY) {
        let mut key = String::with_capacity(2 * IDEMPOTENCY_KEY_BYTES);
        for byte in random::<IDEMPOTENCY_KEY_BYTES>()? {
            // Writing to a string does not fail.
            let _ = write!(key, "{byte:02x}");
        }
        question.fields.push((IDEMPOTENCY_KEY.to_owned(), key));
    }
    Ok(question)
}

/// A request that got no reply which could be relied on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// Nobody can be asked.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// The connection failed.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// Nothing was sent: what would see it is not what is demanded.
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
    /// The question cannot be sealed.
    #[error("the request cannot be sealed: {0}")]
    Question(Refused),
    /// The reply is not what was sealed for this request.
    #[error("the reply cannot be relied on: {0}")]
    Reply(#[from] ReplyRefused),
    /// Whoever has written the reply, it was not sealed: anybody on the way could have.
    #[error("not authenticated: {}", .0.problem())]
    Unsealed(Box<Reply>),
}

impl CallError {
    /// Whether somebody says that the request was sealed to a key that the gateway has no more. Anybody on
    /// the way may say so of a request that was served.
    fn says_another_key(&self) -> bool {
        matches!(self, Self::Unsealed(reply) if reply.status == StatusCode::BAD_REQUEST
            && reply.json().get("type").and_then(|kind| kind.as_str()) == Some(problem::KEY))
    }

    /// Whether nothing of the request has left: the gateway has closed the connection before.
    fn is_unsent(&self) -> bool {
        matches!(self, Self::Http(error) if error.is_unsent())
    }
}

/// A verified gateway, to which requests are sealed.
pub struct SealedSession {
    connection: Connection,
    target: String,
    /// What was verified.
    pub verified: Verified,
    reply_max_bytes: usize,
    /// Whether a request was sent before: another is likely to follow.
    is_used: bool,
    /// The key of the next request, made while the last one was on its way.
    next_key: Option<Encapsulated>,
}

impl fmt::Debug for SealedSession {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("SealedSession");
        shown
            .field("target", &self.target)
            .field("verified", &self.verified);
        shown.finish_non_exhaustive()
    }
}

/// A verified gateway at the other end of a connection.
#[derive(Debug)]
pub struct BoundSession {
    connection: Connection,
    chain: String,
    /// What was verified.
    pub verified: Verified,
}

impl Caller {
    /// Connects, and verifies evidence for a nonce.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn sealed_session(&self) -> Result<SealedSession, CallError> {
        self.demands.name_chains()?;
        let mut connection = self.connect().await?;
        let verified = for_nonce(&mut connection, &self.chain, &self.demands).await?;
        Ok(SealedSession {
            connection,
            target: target_of(&self.chain),
            verified,
            reply_max_bytes: self.reply_max_bytes,
            is_used: false,
            next_key: None,
        })
    }

    /// Connects, and verifies evidence for a session over the connection.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn bound_session(&self) -> Result<BoundSession, CallError> {
        self.demands.name_chains()?;
        let mut connection = self.connect().await?;
        connection.take_at_most(self.reply_max_bytes);
        let verified = for_session(&mut connection, &self.chain, &self.demands).await?;
        Ok(BoundSession {
            connection,
            chain: self.chain.clone(),
            verified,
        })
    }

    /// Sends one request, sealed; once more if the gateway was started anew meanwhile, which new evidence has
    /// to prove by another key: with the same one, whoever says that the request did not open may have
    /// kept back the reply to it. An earlier process of the gateway may have opened it all the same, so
    /// both have one idempotency key.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn call_sealed(&self, question: &Question) -> Result<Answered, CallError> {
        let question = with_idempotency_key(question)?;
        let mut session = self.sealed_session().await?;
        match session.call(&question).await {
            Err(error) if error.is_unsent() => {
                session = self.sealed_session().await?;
                let reply = session.call(&question).await?;
                Ok(session.answered(reply))
            }
            Err(error) if error.says_another_key() => match self.sealed_session().await {
                Ok(mut renewed) if renewed.verified.request_key != session.verified.request_key => {
                    let reply = renewed.call(&question).await?;
                    Ok(renewed.answered(reply))
                }
                _ => Err(error),
            },
            Err(error) => Err(error),
            Ok(reply) => Ok(session.answered(reply)),
        }
    }

    /// Sends one request as it is over a bound connection.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn call_bound(&self, question: &Question) -> Result<Answered, CallError> {
        let mut session = self.bound_session().await?;
        let reply = match session.call(question).await {
            Err(error) if error.is_unsent() => {
                session = self.bound_session().await?;
                session.call(question).await?
            }
            answered => answered?,
        };
        Ok(Answered {
            reply,
            verified: session.verified,
        })
    }

    /// Sends one request as it is, whoever may see it: without evidence.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn call_unverified(&self, question: &Question) -> Result<Reply, CallError> {
        let mut connection = self.connect().await?;
        connection.take_at_most(self.reply_max_bytes);
        Ok(connection.ask(&question.target(&self.chain), question).await?)
    }

    /// Begins one request as it is, whoever may see it, with a body that is sent as it is read.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn begin_unverified(
        &self,
        question: &Question,
        body: Option<Streamed>,
    ) -> Result<Arriving, CallError> {
        let mut connection = self.connect().await?;
        Ok(connection
            .stream(&question.target(&self.chain), question, body)
            .await?)
    }

    async fn connect(&self) -> Result<Connection, UrlError> {
        let identity = self.identity.as_ref();
        self.gateway.connect(&self.trust, identity, self.idle_max).await
    }
}

impl SealedSession {
    /// Sends a request, sealed.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn call(&mut self, question: &Question) -> Result<Reply, CallError> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let since = since.map_err(|_| EvidenceError::Machine("time after 1970"))?;
        let now_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        let (prefix, sealer, expected) = self.take_key().map_err(CallError::Question)?.seal(now_ms);
        let head = head::encode(question.sealed_fields());
        let head = head.map_err(CallError::Question)?;
        let body = Outgoing::sealed(prefix, sealer, &head, question.body.clone());
        let body = body.map_err(CallError::Question)?;
        let headers = [("content-type", REQUEST_MEDIA_TYPE)];
        let begun = self.connection.begin(Method::POST, &self.target, headers, body);
        let (reply, next_key) = tokio::join!(begun, next_key(self.is_used, &self.verified));
        (self.is_used, self.next_key) = (true, next_key);
        let mut reply = reply?;
        let is_sealed =
            reply.status == StatusCode::OK && reply.header("content-type") == Some(REPLY_MEDIA_TYPE);
        if !is_sealed {
            let reply = reply.collect_unsealed().await?;
            return Err(CallError::Unsealed(Box::new(reply)));
        }
        let mut opening = Opening::new(expected, reply.announced_bytes(), self.reply_max_bytes);
        while let Some(data) = reply.next().await? {
            opening.take(&data)?;
        }
        Ok(opening.finish()?)
    }

    /// The key that was made for what this session has verified, or a new one.
    fn take_key(&mut self) -> Result<Encapsulated, Refused> {
        let Verified {
            request_key,
            chain_digest,
            ..
        } = &self.verified;
        let ready = self.next_key.take();
        match ready.filter(|key| key.is_for(request_key, chain_digest)) {
            Some(key) => Ok(key),
            None => Encapsulated::new(request_key, chain_digest),
        }
    }

    fn answered(self, reply: Reply) -> Answered {
        Answered {
            reply,
            verified: self.verified,
        }
    }
}

/// The key of the request after this one, made once the connection has had its turn to send this one: the
/// gateway works meanwhile. A session that is used for the first time is likely not used again.
async fn next_key(is_used: bool, verified: &Verified) -> Option<Encapsulated> {
    if !is_used {
        return None;
    }
    tokio::task::yield_now().await;
    // What cannot be made now is said when it is needed.
    Encapsulated::new(&verified.request_key, &verified.chain_digest).ok()
}

impl BoundSession {
    /// Sends a request as it is, over the connection that was verified.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn call(&mut self, question: &Question) -> Result<Reply, CallError> {
        let target = question.target(&self.chain);
        Ok(self.connection.ask(&target, question).await?)
    }
}
