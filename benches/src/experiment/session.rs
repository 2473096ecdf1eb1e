//! What it costs a request to be sealed, and what it costs a connection to be bound to evidence: beside plain
//! TLS, on connections that are kept, and on new ones.

use super::super::fabric::{Shape, serve};
use super::super::subject::{Identity, Subject, payload};
use super::run::{Cell, Run};
use bytes::Bytes;
use hacher_client::caller::{CallError, Caller, Question, SealedSession};
use hacher_client::evidence::{Demands, Digest, EvidenceError};
use hacher_client::http::{Connection, Reply};
use hacher_client::tls::Trust;
use hacher_fabric::failed::Failed;
use hacher_trustlet_host::evidence::{Evidence, Manifest};
use hyper::{Method, StatusCode};
use std::fs;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// What is sent, in each way.
const PAYLOADS: [usize; 4] = [64, 4 << 10, 64 << 10, 1 << 20];
/// A gateway that is asked for too much evidence is left alone for so long: it gives a part of its time.
const PAUSE: Duration = Duration::from_millis(100);
/// To detect what hangs.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// How a request gets to the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// As it is, over a connection that is kept.
    Plain,
    /// Sealed, over a connection that is kept, with evidence that was verified before.
    Sealed,
    /// As it is, over a new connection.
    PlainNew,
    /// As it is, over a new connection that evidence is asked for, and verified.
    BoundNew,
    /// Sealed, over a new connection, with evidence that is asked for and verified.
    SealedNew,
}

impl Way {
    const ALL: [Self; 5] = [
        Self::Plain,
        Self::Sealed,
        Self::PlainNew,
        Self::BoundNew,
        Self::SealedNew,
    ];

    /// Transport and protection, as reports have them.
    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Plain => ("gateway", "tls1.3"),
            Self::Sealed => ("gateway", "sealed"),
            Self::PlainNew => ("gateway-new", "tls1.3"),
            Self::BoundNew => ("gateway-new", "bound"),
            Self::SealedNew => ("gateway-new", "sealed"),
        }
    }
}

/// Measures requests in all ways, to one chain.
///
/// # Errors
/// When the chain does not start, or does not answer.
pub fn session(run: &mut Run) -> Result<(), Failed> {
    if !run.wants("gateway") {
        return Ok(());
    }
    let shape = Shape {
        functions: 1,
        ..Shape::BEHIND_GATEWAY
    };
    let folder = TempDir::new()?;
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    fs::write(&certificate, pair.cert.pem())?;
    fs::write(&key, pair.signing_key.serialize_pem())?;
    let options = [
        "--tls-cert".into(),
        certificate.into_os_string(),
        "--tls-key".into(),
        key.into_os_string(),
    ];
    let tree = serve(&run.fabric, &shape, run.cores, &options)?;
    let mut caller = Caller {
        gateway: format!("https://{}", tree.gateway).parse().map_err(Failed::new)?,
        trust: Trust::AnyCertificate,
        identity: None,
        chain: shape.name(),
        demands: Demands {
            allow_emulated: true,
            asks_once: true,
            ..Demands::default()
        },
        reply_max_bytes: usize::MAX,
        idle_max: IDLE_MAX,
    };
    let digest = said_digest(&caller)?;
    caller.demands.policy.manifest.chains.insert(digest);
    let caller = Rc::new(caller);
    let mut subjects: Vec<Box<dyn Subject>> = Vec::new();
    for way in Way::ALL {
        subjects.push(Box::new(Requests::new(way, &caller, &shape)?));
    }
    let cells = subjects.iter().enumerate().flat_map(|(index, subject)| {
        PAYLOADS.map(|bytes| Cell::new("session", (index, subject.as_ref()), bytes, shape.functions))
    });
    let cells: Vec<Cell> = cells.collect();
    run.measure("session", &mut subjects, cells)?;
    drop(subjects);
    tree.stop()
}

/// The chain's digest, as the service says it: what is measured is what verifying costs, not whom it refuses.
fn said_digest(caller: &Caller) -> Result<Digest, Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let target = format!("/evidence?nonce={}&chain={}", "5a".repeat(64), caller.chain);
    let reply = runtime.block_on(async {
        let mut connection = caller.gateway.connect(&caller.trust, None, IDLE_MAX).await?;
        Ok::<_, Failed>(connection.get(&target).await?)
    })?;
    let evidence = Evidence::decode(&reply.body).map_err(|error| Failed::new(error.to_string()))?;
    let manifest = Manifest::decode(&evidence.manifest).map_err(|error| Failed::new(error.to_string()))?;
    let chain = manifest.chains.first();
    chain
        .map(|chain| Digest(chain.digest))
        .ok_or_else(|| Failed::new("the service has no evidence of its chain"))
}

/// Requests in one way.
struct Requests {
    way: Way,
    caller: Rc<Caller>,
    runtime: Runtime,
    identity: Identity,
    /// What is kept, once it is there.
    plain: Option<Connection>,
    sealed: Option<SealedSession>,
}

impl Requests {
    fn new(way: Way, caller: &Rc<Caller>, shape: &Shape) -> Result<Self, Failed> {
        let (transport, protection) = way.words();
        Ok(Self {
            way,
            caller: Rc::clone(caller),
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?,
            identity: Identity {
                transport,
                protection,
                placement: shape.place,
                touched: true,
            },
            plain: None,
            sealed: None,
        })
    }

    /// One request; nothing if the gateway gives no more evidence for now.
    fn once(&mut self, question: &Question) -> Result<Option<Reply>, Failed> {
        let Self {
            way,
            caller,
            runtime,
            plain,
            sealed,
            ..
        } = self;
        let answered = runtime.block_on(async {
            match way {
                Way::Plain => {
                    let kept = match plain.take() {
                        Some(kept) => kept,
                        None => {
                            caller
                                .gateway
                                .connect(&caller.trust, None, caller.idle_max)
                                .await?
                        }
                    };
                    let path = format!("/chains/{}", caller.chain);
                    let kept = plain.insert(kept);
                    let body = question.body.clone();
                    Ok(kept.send(Method::POST, &path, None, body).await?)
                }
                Way::Sealed => {
                    let kept = match sealed.take() {
                        Some(kept) => kept,
                        None => caller.sealed_session().await?,
                    };
                    sealed.insert(kept).call(question).await
                }
                Way::PlainNew => caller.call_unverified(question).await,
                Way::BoundNew => Ok(caller.call_bound(question).await?.reply),
                Way::SealedNew => Ok(caller.call_sealed(question).await?.reply),
            }
        });
        match answered {
            Ok(reply) => Ok(Some(reply)),
            Err(CallError::Evidence(EvidenceError::Denied(reply)))
                if reply.status == StatusCode::TOO_MANY_REQUESTS =>
            {
                Ok(None)
            }
            Err(error) => Err(Failed::new(error.to_string())),
        }
    }
}

impl Subject for Requests {
    fn identity(&self) -> Identity {
        self.identity.clone()
    }

    fn measure(
        &mut self,
        payload_bytes: usize,
        _: u32,
        samples: u32,
        record: &mut dyn FnMut(u64),
    ) -> Result<(), Failed> {
        let question = Question::new("application/octet-stream", Bytes::from(payload(payload_bytes)));
        let mut left = samples;
        while left > 0 {
            let begun = Instant::now();
            let Some(reply) = self.once(&question)? else {
                std::thread::sleep(PAUSE);
                continue;
            };
            let took = begun.elapsed();
            if !reply.status.is_success() || reply.body != question.body {
                return Err(Failed::new(format!(
                    "a request was answered with {}",
                    reply.status
                )));
            }
            record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
            left -= 1;
        }
        Ok(())
    }
}
