//! From the monitor's messages to what it wants done: entries are collected until an attachment is complete.

use super::attachment::Attachment;
use super::channel::{AttachError, Delivery, Message, MonitorMisbehaved};
use super::instruction::{EvidenceAnswer, Instruction, Listener, TlsFiles};
use super::linux::Linux;
use super::requests::TakenRequests;
use crate::sdk::secret;
use crate::wait::doorbell::Doorbell;
use hacher_data_path::aead::keys::SecretBytes;
use hacher_data_path::attach::contradiction::BadAttachment;
use hacher_data_path::attach::message::{
    ATTACH_VERSION, Begin, Drain, EvidencePart, Listen, Renew, SECRET_BYTES, SECRET_VALUE_MAX_BYTES, Secret,
    Tracing, kind, role,
};
use hacher_data_path::carrier::Carrier;
use hacher_data_path::place::entries::Entries;
use rustix::fd::OwnedFd;
use zerocopy::FromBytes;
use zeroize::Zeroizing;

/// Collects the messages of one attachment.
#[derive(Default)]
pub struct Assembly {
    entries: Entries<OwnedFd>,
    secrets: Vec<secret::Secret>,
    request_key: Option<SecretBytes>,
    requests: Option<TakenRequests>,
}

impl Assembly {
    /// Takes the next message; an [`Instruction`] once one is complete.
    ///
    /// # Errors
    /// [`AttachError`] when messages contradict each other or a region cannot be mapped.
    pub fn feed(&mut self, mut message: Message) -> Result<Option<Instruction>, AttachError> {
        let message = &mut message.deliver()?;
        if message.kind() == kind::BEGIN {
            let begin = message.one::<Begin>()?;
            if begin.version != ATTACH_VERSION {
                return Err(MonitorMisbehaved::Version { found: begin.version }.into());
            }
            *self = Self::default();
        }
        if self.entries.take(message)? {
            return Ok(None);
        }
        match message.kind() {
            kind::SECRET => self.secrets.push(read_secret(message)?),
            kind::REQUEST_KEY => self.request_key = Some(read_request_key(message)?),
            kind::REQUESTS => self.requests.get_or_insert_default().take(message)?,
            kind::HEADER => self.requests.get_or_insert_default().take_headers(message)?,
            kind::EVIDENCE => return Ok(Some(Instruction::Evidence(read_evidence(message)?))),
            kind::LOCKDOWN => return Ok(Some(Instruction::Lockdown(message.payload().to_vec()))),
            kind::LISTEN => {
                let listen = message.one::<Listen>()?;
                let socket = message.handle()?;
                let tls = TlsFiles::take(listen.tls, message)?;
                return Ok(Some(Instruction::Listen(Listener { socket, tls })));
            }
            kind::TLS => {
                let renew = message.one::<Renew>()?;
                let files = TlsFiles::take(renew.tls, message)?;
                let files = files.ok_or(BadAttachment("a renewal without files"))?;
                return Ok(Some(Instruction::Renew(files)));
            }
            kind::READINESS => {
                return Ok(Some(Instruction::Readiness(
                    message.entries()?.collect::<Result<_, _>>()?,
                )));
            }
            kind::ACCESS_LOG => return Ok(Some(Instruction::AccessLog)),
            kind::TRACING => return Ok(Some(Instruction::Tracing(message.one::<Tracing>()?))),
            kind::DRAIN => return Ok(Some(Instruction::Drain(message.one::<Drain>()?))),
            kind::BELL => return Ok(Some(Instruction::Bell(Doorbell::new(message.handle()?)))),
            kind::GO => return Ok(Some(core::mem::take(self).finish()?)),
            _ => return Err(BadAttachment("a message of unknown kind").into()),
        }
        Ok(None)
    }

    fn finish(self) -> Result<Instruction, AttachError> {
        let Self {
            entries,
            secrets,
            request_key,
            requests,
        } = self;
        let role = entries.begin.as_ref().map(|(begin, _)| begin.role);
        if request_key.is_some() && role != Some(role::GATEWAY) {
            return Err(BadAttachment("a request key for another than a gateway").into());
        }
        if requests.is_some() && role != Some(role::GATEWAY) {
            return Err(BadAttachment("requests for another than a gateway").into());
        }
        if role != Some(role::CARRIER) {
            return Ok(Instruction::Attach(Box::new(Attachment::make(
                entries,
                secrets,
                request_key,
                requests.unwrap_or_default(),
            )?)));
        }
        if !secrets.is_empty() {
            return Err(BadAttachment("a carrier is given a secret").into());
        }
        let carrier = Carrier::take(entries, &mut Linux::default())?;
        Ok(Instruction::Carry(Box::new(carrier)))
    }
}

fn read_request_key(message: &Delivery<'_>) -> Result<SecretBytes, BadAttachment> {
    let secret = <[u8; SECRET_BYTES]>::try_from(message.payload());
    secret
        .map(SecretBytes::new)
        .map_err(|_| BadAttachment("a request key"))
}

fn read_evidence(message: &Delivery<'_>) -> Result<EvidenceAnswer, BadAttachment> {
    let (part, bytes) =
        EvidencePart::read_from_prefix(message.payload()).map_err(|_| BadAttachment("a part of evidence"))?;
    if usize::try_from(part.len_bytes) != Ok(bytes.len()) {
        return Err(BadAttachment("a part of evidence"));
    }
    Ok(EvidenceAnswer {
        question: part.question,
        status: part.status,
        bytes: bytes.to_vec(),
    })
}

fn read_secret(message: &Delivery<'_>) -> Result<secret::Secret, BadAttachment> {
    let (secret, rest) =
        Secret::read_from_prefix(message.payload()).map_err(|_| BadAttachment("a secret"))?;
    let len = usize::try_from(secret.len_bytes).map_err(|_| BadAttachment("a secret"))?;
    if len > SECRET_VALUE_MAX_BYTES || !secret.name.is_valid() {
        return Err(BadAttachment("a secret"));
    }
    let value = rest.get(..len).ok_or(BadAttachment("a secret's value"))?;
    Ok(secret::Secret {
        name: secret.name,
        value: Zeroizing::new(value.to_vec()),
    })
}
