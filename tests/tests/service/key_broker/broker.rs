//! A small key broker that speaks the public protocol of Trustee, in the types of its own crate
//! (`kbs-types`), and releases what it keeps to whom the verifier passes: for the resource that the evidence
//! names, and no other.

use aes_kw::{KeyInit, KwAes256};
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use hacher_verifier::{Expectations, Policy, Purpose, UnixTime, verify};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use kbs_types::{Attestation, Challenge, ErrorInformation, ProtectedHeader, TeePubKey};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::agreement::{ECDH_P256, EphemeralPrivateKey, UnparsedPublicKey, agree_ephemeral};
use ring::digest::{Context, SHA256, SHA384, digest};
use ring::rand::{SecureRandom, SystemRandom};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

/// What a broker does that is not honest, or not well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behaviour {
    Honest,
    /// Sends whoever asks elsewhere.
    Redirects(SocketAddr),
    /// Takes connections, and never answers.
    Silent,
    /// Never ends its answer.
    Endless,
    /// Answers with something else than JSON.
    Garbled,
    /// Seals for a key of its own.
    SealsForAnother,
    /// Demands another hash.
    OtherHash,
}

/// One session.
#[derive(Debug, Clone)]
struct Session {
    nonce: String,
    /// The key and the path of the resource, once evidence was verified.
    attested: Option<(TeePubKey, String)>,
}

/// What a broker keeps, and what it has seen.
pub(crate) struct State {
    pub(crate) behaviour: Behaviour,
    pub(crate) policy: Policy,
    pub(crate) resources: BTreeMap<String, Vec<u8>>,
    sessions: BTreeMap<String, Session>,
    /// Method and path of each request, and its body.
    pub(crate) seen: Vec<(String, Bytes)>,
    /// All that it sent.
    pub(crate) sent: Vec<u8>,
}

/// A running broker; ends with the test.
pub(crate) struct Broker {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
    /// Ends it when dropped.
    _stop: oneshot::Sender<()>,
}

impl Broker {
    /// Keeps these resources, for chains with one of these digests.
    pub(crate) fn start(policy: Policy, resources: &[(&str, &[u8])]) -> Self {
        Self::start_with(policy, resources, None)
    }

    pub(crate) fn start_with(policy: Policy, resources: &[(&str, &[u8])], tls: Option<TlsAcceptor>) -> Self {
        let state = Arc::new(Mutex::new(State {
            behaviour: Behaviour::Honest,
            policy,
            resources: resources
                .iter()
                .map(|(path, value)| ((*path).to_owned(), value.to_vec()))
                .collect(),
            sessions: BTreeMap::new(),
            seen: Vec::new(),
            sent: Vec::new(),
        }));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let serving = Arc::clone(&state);
        let (stop, stopped) = oneshot::channel::<()>();
        std::thread::spawn(move || {
            let accepts = async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(serve(stream, tls.clone(), Arc::clone(&serving)));
                }
            };
            runtime.block_on(async {
                tokio::select! {
                    () = accepts => {}
                    _ = stopped => {}
                }
            });
        });
        Self {
            address,
            state,
            _stop: stop,
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

async fn serve(stream: TcpStream, tls: Option<TlsAcceptor>, state: Arc<Mutex<State>>) {
    let service = service_fn(move |request| answer(request, Arc::clone(&state)));
    let builder = hyper::server::conn::http1::Builder::new();
    let _ = match tls {
        None => builder.serve_connection(TokioIo::new(stream), service).await,
        Some(acceptor) => match acceptor.accept(stream).await {
            Ok(stream) => builder.serve_connection(TokioIo::new(stream), service).await,
            Err(_) => Ok(()),
        },
    };
}

type Answer = Response<http_body_util::combinators::BoxBody<Bytes, std::convert::Infallible>>;

async fn answer(request: Request<Incoming>, state: Arc<Mutex<State>>) -> Result<Answer, hyper::Error> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let line = format!("{} {}", parts.method, parts.uri.path());
    let behaviour = {
        let mut state = state.lock().unwrap();
        state.seen.push((line.clone(), body.clone()));
        state.behaviour
    };
    match behaviour {
        Behaviour::Silent => std::future::pending::<()>().await,
        Behaviour::Endless => {
            let endless = futures_of_zeros();
            return Ok(Response::new(endless));
        }
        _ => {}
    }
    let cookie = parts
        .headers
        .get("cookie")
        .and_then(|cookie| cookie.to_str().ok());
    let session = cookie.and_then(|cookie| cookie.strip_prefix("kbs-session-id="));
    let mut state = state.lock().unwrap();
    let answered = match (line.as_str(), behaviour) {
        (_, Behaviour::Redirects(to)) => {
            let moved = Response::builder().status(302);
            let moved = moved.header("location", format!("http://{to}{}", parts.uri.path()));
            return Ok(moved.body(Full::new(Bytes::new()).boxed()).unwrap());
        }
        (_, Behaviour::Garbled) => Ok((None, b"not JSON".to_vec())),
        ("POST /kbs/v0/auth", _) => state.authenticate(&body),
        ("POST /kbs/v0/attest", _) => state.attest(session, &body).map(|body| (None, body)),
        (line, _) => match line.strip_prefix("GET /kbs/v0/resource/") {
            Some(path) => state.release(session, path).map(|body| (None, body)),
            None => Err((StatusCode::NOT_FOUND, "InvalidRequestPath".to_owned())),
        },
    };
    let (status, cookie, body) = match answered {
        Ok((cookie, body)) => (StatusCode::OK, cookie, body),
        Err((status, detail)) => {
            let error_type =
                "https://github.com/confidential-containers/kbs/errors/AttestationError".to_owned();
            let error = ErrorInformation { error_type, detail };
            (status, None, serde_json::to_vec(&error).unwrap())
        }
    };
    state.sent.extend_from_slice(&body);
    let mut response = Response::builder()
        .status(status)
        .header("content-type", "application/json");
    if let Some(cookie) = cookie {
        response = response.header("set-cookie", format!("kbs-session-id={cookie}; Path=/; HttpOnly"));
    }
    Ok(response.body(Full::new(Bytes::from(body)).boxed()).unwrap())
}

/// A body without an end.
fn futures_of_zeros() -> http_body_util::combinators::BoxBody<Bytes, std::convert::Infallible> {
    struct Zeros;
    impl hyper::body::Body for Zeros {
        type Data = Bytes;
        type Error = std::convert::Infallible;
        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, Self::Error>>> {
            let frame = hyper::body::Frame::data(Bytes::from_static(&[b' '; 4096]));
            std::task::Poll::Ready(Some(Ok(frame)))
        }
    }
    Zeros.boxed()
}

type Refused = (StatusCode, String);

fn refuse(detail: impl Into<String>) -> Refused {
    (StatusCode::UNAUTHORIZED, detail.into())
}

impl State {
    fn authenticate(&mut self, body: &[u8]) -> Result<(Option<String>, Vec<u8>), Refused> {
        let request: kbs_types::Request =
            serde_json::from_slice(body).map_err(|error| refuse(error.to_string()))?;
        if request.version != "0.4.0" {
            return Err(refuse("another version of the protocol"));
        }
        let mut bytes = [0; 32];
        SystemRandom::new().fill(&mut bytes).unwrap();
        let nonce = BASE64_STANDARD.encode(bytes);
        let session = format!("session{}", self.sessions.len());
        let hash = match self.behaviour {
            Behaviour::OtherHash => "sha256",
            _ => "sha384",
        };
        let challenge = Challenge {
            nonce: nonce.clone(),
            extra_params: json!({ "selected-hash-algorithm": hash }),
        };
        self.sessions.insert(
            session.clone(),
            Session {
                nonce,
                attested: None,
            },
        );
        Ok((Some(session), serde_json::to_vec(&challenge).unwrap()))
    }

    fn attest(&mut self, session: Option<&str>, body: &[u8]) -> Result<Vec<u8>, Refused> {
        let session = session.and_then(|session| self.sessions.get_mut(session));
        let session = session.ok_or_else(|| refuse("session not found"))?;
        let attestation: Attestation =
            serde_json::from_slice(body).map_err(|error| refuse(error.to_string()))?;
        if attestation.runtime_data.nonce != session.nonce {
            return Err(refuse("the nonce is not that of the session"));
        }
        // As Trustee puts it together, and hashes it.
        let runtime_data: BTreeMap<&str, Value> = BTreeMap::from([
            ("nonce", json!(session.nonce)),
            ("tee-pubkey", canonical(&attestation.runtime_data.tee_pubkey)),
            (
                "additional-evidence",
                json!(attestation.tee_evidence.additional_evidence),
            ),
        ]);
        let hash = digest(&SHA384, &serde_json::to_vec(&runtime_data).unwrap());
        let mut report_data = [0; 64];
        report_data[..48].copy_from_slice(hash.as_ref());
        let evidence = &attestation.tee_evidence.primary_evidence;
        if evidence["media-type"] != "application/vnd.hacher.evidence" {
            return Err(refuse("evidence of another kind"));
        }
        let evidence = evidence["evidence"].as_str().unwrap_or_default();
        let evidence = BASE64_URL_SAFE_NO_PAD
            .decode(evidence)
            .map_err(|error| refuse(error.to_string()))?;
        let expectations = Expectations {
            nonce: Some(report_data),
            purpose: Purpose::Secret,
            tls_key: None,
            chain: None,
            time: UnixTime::parse("2026-11-26T10:00:00Z").unwrap(),
            certificates: &[],
            revocation_lists: &[],
            allow_emulated: true,
        };
        let verdict = verify(&evidence, &self.policy, &expectations);
        let Some(manifest) = verdict.summary().and_then(|summary| summary.manifest.clone()) else {
            let failures: Vec<String> = verdict
                .failures()
                .map(|check| format!("{}: {}", check.name, check.reason))
                .collect();
            return Err(refuse(failures.join("; ")));
        };
        let secret = manifest
            .secret
            .ok_or_else(|| refuse("the evidence is for no secret"))?;
        let path = format!("{}/{}/{}", secret.repository, secret.kind, secret.tag);
        session.attested = Some((attestation.runtime_data.tee_pubkey, path));
        Ok(serde_json::to_vec(&json!({ "token": "a.b.c" })).unwrap())
    }

    fn release(&self, session: Option<&str>, path: &str) -> Result<Vec<u8>, Refused> {
        let session = session.and_then(|session| self.sessions.get(session));
        let attested = session.and_then(|session| session.attested.as_ref());
        let (key, attested_path) = attested.ok_or_else(|| refuse("not attested"))?;
        if attested_path != path {
            return Err((
                StatusCode::FORBIDDEN,
                "the evidence is for another resource".to_owned(),
            ));
        }
        let value = self.resources.get(path);
        let value = value.ok_or_else(|| (StatusCode::NOT_FOUND, "there is no such resource".to_owned()))?;
        Ok(seal(key, value, self.behaviour == Behaviour::SealsForAnother))
    }
}

/// Members in the order of their names.
fn canonical(key: &TeePubKey) -> Value {
    let value = serde_json::to_value(key).unwrap();
    let sorted: BTreeMap<String, Value> = value.as_object().unwrap().clone().into_iter().collect();
    Value::Object(sorted.into_iter().collect())
}

/// JSON Web Encryption as Trustee does it: `ECDH-ES+A256KW`, `A256GCM`.
fn seal(key: &TeePubKey, value: &[u8], for_another: bool) -> Vec<u8> {
    let TeePubKey::EC { crv, alg, x, y } = key else {
        panic!("an elliptic curve was asked for");
    };
    assert_eq!((crv.as_str(), alg.as_str()), ("P-256", "ECDH-ES+A256KW"));
    let decode = |text: &str| BASE64_URL_SAFE_NO_PAD.decode(text).unwrap();
    let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let random = SystemRandom::new();
    let new_key = || EphemeralPrivateKey::generate(&ECDH_P256, &random).unwrap();
    let peer = match for_another {
        false => [vec![4], decode(x), decode(y)].concat(),
        true => new_key().compute_public_key().unwrap().as_ref().to_vec(),
    };
    let private = new_key();
    let point = private.compute_public_key().unwrap().as_ref().to_vec();
    let wrapping_key = agree_ephemeral(private, &UnparsedPublicKey::new(&ECDH_P256, peer), |agreed| {
        let mut context = Context::new(&SHA256);
        context.update(&1_u32.to_be_bytes());
        context.update(agreed);
        context.update(&14_u32.to_be_bytes());
        context.update(b"ECDH-ES+A256KW");
        context.update(&[0; 8]);
        context.update(&256_u32.to_be_bytes());
        context.finish()
    })
    .unwrap();
    let (mut content_key, mut iv) = ([0; 32], [0; 12]);
    random.fill(&mut content_key).unwrap();
    random.fill(&mut iv).unwrap();
    let mut encrypted_key = vec![0; 40];
    let cipher = KwAes256::new_from_slice(wrapping_key.as_ref()).unwrap();
    cipher.wrap_key(&content_key, &mut encrypted_key).unwrap();
    let mut other_fields = Map::new();
    let epk = json!({ "crv": "P-256", "kty": "EC", "x": encode(&point[1..33]), "y": encode(&point[33..]) });
    other_fields.insert("epk".to_owned(), epk);
    let protected = ProtectedHeader {
        alg: "ECDH-ES+A256KW".to_owned(),
        enc: "A256GCM".to_owned(),
        other_fields,
    };
    let aad = protected.generate_aad().unwrap();
    let sealing = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &content_key).unwrap());
    let mut ciphertext = value.to_vec();
    let tag = sealing
        .seal_in_place_separate_tag(Nonce::assume_unique_for_key(iv), Aad::from(&aad), &mut ciphertext)
        .unwrap();
    let response = kbs_types::Response {
        protected,
        encrypted_key,
        aad: None,
        iv: iv.to_vec(),
        ciphertext,
        tag: tag.as_ref().to_vec(),
    };
    serde_json::to_vec(&response).unwrap()
}
