//! Evidence: the manifest of chains, and the platform's report over it and a nonce.
//!
//! Whoever asks chooses the nonce and which chains, and nothing else: what the platform reports over is
//! always the hash of a manifest that the monitor wrote. A gateway says besides whether the nonce is of its
//! own making, which the manifest repeats; of what the daemon asks for, the manifest never says so.
//!
//! Evidence can be longer than a reply, so it is read in parts: the first part makes it, the others are of
//! the one that was made last, if it was for the same question.

use super::last_evidence::LastEvidence;
use super::ledger::Owner;
use super::operand::narrow;
use super::refusal::{Refusal, refuse};
use super::reply::Outcome;
use super::tables::Core;
use crate::calls::{GATEWAY_PROCESS, OPERAND_MAX_BYTES, ResultCode};
use crate::ids::{ChainId, ProcessId, index, number};
use crate::platform::{Asker, Platform, PlatformReport};
use alloc::vec::Vec;
use hacher_data_path::attach::message::{
    AskEvidence, EVIDENCE_PART_MAX_BYTES, EvidencePart, ZeroizingMessage, evidence_purpose, evidence_status,
    kind,
};
use hacher_evidence::manifest::{MANIFEST_MAX_BYTES, Purpose};
use hacher_evidence::{Evidence, KEY_BYTES, Manifest, NONCE_BYTES, report_data};

impl<P: Platform> Core<P> {
    pub(super) fn evidence(
        &mut self,
        [chain, from, ..]: [u64; 6],
        operand: &[u8],
    ) -> Result<Outcome, Refusal> {
        let nonce: &[u8; NONCE_BYTES] = operand
            .try_into()
            .map_err(|_| Refusal::new(ResultCode::InvalidFormat, "a nonce has 64 bytes"))?;
        let chains = if chain == GATEWAY_PROCESS {
            let all = (0..self.chains.len()).map(|at| ChainId(number(at)));
            let is_sealed = |chain: &ChainId| {
                self.chains
                    .get(chain.at())
                    .is_some_and(|chain| chain.sealed.is_some())
            };
            all.filter(is_sealed).collect()
        } else {
            Vec::from([self.chain_id(chain)?])
        };
        let from = index(narrow(from)?);
        let made = match &self.last_evidence {
            Some(last) if from > 0 && last.answers(&chains, Purpose::Nonce, nonce) => last,
            _ => self.make_evidence(Asker::Daemon, chains, Purpose::Nonce, nonce)?,
        };
        let Some(rest) = made.bytes.get(from..) else {
            return refuse(ResultCode::InvalidParameter, "the evidence is shorter");
        };
        let mut outcome = Outcome::value(u64::from(number(made.bytes.len())));
        outcome.operand = rest.iter().copied().take(OPERAND_MAX_BYTES).collect();
        Ok(outcome)
    }

    fn make_evidence(
        &mut self,
        asker: Asker,
        chains: Vec<ChainId>,
        purpose: Purpose,
        nonce: &[u8; NONCE_BYTES],
    ) -> Result<&LastEvidence, Refusal> {
        let manifest = self.manifest(&chains, purpose)?;
        let bytes = self.evidence_over(asker, &manifest, nonce)?;
        Ok(self.last_evidence.insert(LastEvidence {
            chains,
            purpose,
            nonce: *nonce,
            bytes,
        }))
    }

    /// Evidence that vouches for a manifest, for a nonce.
    pub(super) fn evidence_over(
        &mut self,
        asker: Asker,
        manifest: &Manifest,
        nonce: &[u8; NONCE_BYTES],
    ) -> Result<Vec<u8>, Refusal> {
        let manifest = manifest.encode();
        if manifest.len() > MANIFEST_MAX_BYTES {
            return refuse(
                ResultCode::LimitReached,
                "the manifest of all chains is longer than 1 MiB: ask for one chain",
            );
        }
        let PlatformReport {
            kind,
            report,
            certificates,
            service,
        } = self.platform.report(asker, &report_data(nonce, &manifest))?;
        let evidence = Evidence {
            kind,
            report,
            certificates,
            service,
            manifest,
        };
        Ok(evidence.encode())
    }

    /// A gateway asks, for one of its clients; answered on its channel. `false`: it has no business to ask
    /// that.
    pub fn asked_for_evidence(&mut self, process: ProcessId, question: &AskEvidence) -> bool {
        let Some((Owner::Gateway(gateway), _)) = self.ledger.owner(process) else {
            return false;
        };
        let Some(purpose) = purpose_of(question.purpose) else {
            return false;
        };
        let mut chains = self.chains_of(gateway);
        if question.chain.is_valid() {
            let is_named = |id: &ChainId| {
                let chain = self.chains.get(id.at());
                chain.is_some_and(|chain| chain.definition.chain.name == question.chain)
            };
            chains.retain(is_named);
        }
        if chains.is_empty() {
            return false;
        }
        let sent = match self.make_evidence(Asker::Process(process), chains, purpose, &question.nonce) {
            Ok(_) => self.send_evidence(process, question.number),
            Err(refusal) => {
                let status = match refusal.code {
                    ResultCode::Busy => evidence_status::BUSY,
                    _ => evidence_status::REFUSED,
                };
                self.send_part(process, question.number, status, refusal.text.as_bytes())
            }
        };
        // One that does not read is given up by the platform; the others read on.
        sent.is_ok()
    }

    fn send_evidence(&mut self, process: ProcessId, question: u32) -> Result<(), Refusal> {
        let Some(made) = self.last_evidence.take() else {
            return Ok(());
        };
        let mut parts = made.bytes.chunks(EVIDENCE_PART_MAX_BYTES).peekable();
        let mut sent = Ok(());
        while let (Some(part), Ok(())) = (parts.next(), &sent) {
            let status = match parts.peek() {
                Some(_) => evidence_status::PART,
                None => evidence_status::LAST,
            };
            sent = self.send_part(process, question, status, part);
        }
        self.last_evidence = Some(made);
        sent
    }

    fn send_part(
        &mut self,
        process: ProcessId,
        question: u32,
        status: u32,
        bytes: &[u8],
    ) -> Result<(), Refusal> {
        let bytes = bytes.get(..EVIDENCE_PART_MAX_BYTES).unwrap_or(bytes);
        let part = EvidencePart {
            question,
            status,
            len_bytes: number(bytes.len()),
        };
        let message = ZeroizingMessage::with_tail(kind::EVIDENCE, &[part], bytes);
        Ok(self.platform.send(process, message, &[])?)
    }

    /// A gateway says which key its certificate has: the SHA-256 of its SubjectPublicKeyInfo. `false`: the
    /// process has no certificate.
    pub fn tls_key_said(&mut self, process: ProcessId, hash: [u8; KEY_BYTES]) -> bool {
        let Some((Owner::Gateway(id), _)) = self.ledger.owner(process) else {
            return false;
        };
        let gateway = self.gateways.get_mut(id.at());
        let gateway = gateway.filter(|gateway| !gateway.tls_files.is_empty());
        let Some(gateway) = gateway else { return false };
        gateway.tls_key = Some(hash);
        true
    }
}

const fn purpose_of(said: u32) -> Option<Purpose> {
    match said {
        evidence_purpose::NONCE => Some(Purpose::Nonce),
        evidence_purpose::SESSION => Some(Purpose::Session),
        _ => None,
    }
}
