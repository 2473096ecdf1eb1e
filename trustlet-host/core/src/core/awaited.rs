//! Secrets whose values a key broker releases, once it has seen evidence of the chain that they are for.
//!
//! ```text
//! define      await_secret: the function will have a secret of this name, from this resource
//! seal        the chain's digest is final, and covers name and resource
//! per secret  ask_for_secret: a new key, and evidence over it, the broker's nonce and a manifest that names
//!             chain and resource
//!             open_secret: what the broker sealed for that key
//! ```
//!
//! The loader carries what is said in between, and neither sees a value nor a private key (I7). What it could
//! do is answer in the broker's place: the broker's answer is secret, and who has answered is not proven
//! here.

use super::define::trim_line_breaks;
use super::definition::{Awaited, Secret};
use super::manifest::word;
use super::names;
use super::operand::{fixed, function_index, narrow, present, text};
use super::refusal::{Refusal, refuse};
use super::release::{Place, Release};
use super::release_key::ReleaseSecret;
use super::reply::Outcome;
use super::tables::Core;
use crate::calls::{AwaitedSecret, OPERAND_MAX_BYTES, ReleaseEntry, ResultCode, SealedSecret};
use crate::ids::{index, number};
use crate::platform::{Asker, Platform};
use alloc::borrow::ToOwned;
use alloc::string::ToString;
use alloc::vec::Vec;
use hacher_data_path::attach::message::SECRET_VALUE_MAX_BYTES;
use hacher_data_path::name::Name;
use hacher_evidence::manifest::Resource;
use hacher_evidence::release::{ReleaseKey, is_broker_nonce, release_nonce, runtime_data};
use zerocopy::{FromBytes, IntoBytes};

/// The longest protected header. It names algorithms and a key, in some 250 characters.
const PROTECTED_MAX_BYTES: usize = 1024;

impl<P: Platform> Core<P> {
    pub(super) fn await_secret(
        &mut self,
        [chain, function, trim, ..]: [u64; 6],
        operand: &[u8],
    ) -> Result<Outcome, Refusal> {
        let AwaitedSecret {
            name,
            repository,
            kind,
            tag,
        } = fixed(operand)?;
        let name = names::canonical_name(&name)?;
        let awaited = Awaited {
            repository: part_of_path(&repository)?,
            kind: part_of_path(&kind)?,
            tag: part_of_path(&tag)?,
            trim: match trim {
                0 => false,
                1 => true,
                _ => return refuse(ResultCode::InvalidParameter, "whether to trim is 0 or 1"),
            },
        };
        let function = function_index(function)?;
        let definition = self.chain_mut(chain)?.open_mut()?;
        definition.check_secret(function, &name)?;
        let secret = Secret {
            name,
            awaited: Some(awaited),
            value: None,
        };
        let number = definition.add_secret(function, secret)?;
        Ok(Outcome::value(u64::from(number)))
    }

    pub(super) fn ask_for_secret(
        &mut self,
        [chain, function, secret, from, ..]: [u64; 6],
        operand: &[u8],
    ) -> Result<Outcome, Refusal> {
        let (place, awaited) = self.awaited(chain, function, secret)?;
        let broker_nonce = text(operand)?;
        if !is_broker_nonce(broker_nonce) {
            return refuse(
                ResultCode::InvalidFormat,
                "a broker's nonce is base64, of at most 256 characters",
            );
        }
        let from = index(narrow(from)?);
        let present = self.release.take();
        let present = present.filter(|one| one.place == place && one.broker_nonce == broker_nonce);
        // Who asks from the beginning on gets another key, unless there was no answer yet.
        let mut release = match present.filter(|one| one.shown.is_none() || from > 0) {
            Some(present) => present,
            None => Release {
                place,
                broker_nonce: broker_nonce.to_owned(),
                key: ReleaseSecret::new(&mut self.platform)?,
                shown: None,
            },
        };
        let shown = match release.shown.take() {
            Some(shown) => Ok(shown),
            None => self.show(&release, &awaited),
        };
        release.shown = shown.as_ref().ok().cloned();
        // Kept whatever became of it: the platform goes on with its report.
        self.release = Some(release);
        let shown = shown?;
        let Some(rest) = shown.get(from..) else {
            return refuse(ResultCode::InvalidParameter, "there is less to show");
        };
        let mut outcome = Outcome::value(u64::from(number(shown.len())));
        outcome.operand = rest.iter().copied().take(OPERAND_MAX_BYTES).collect();
        Ok(outcome)
    }

    /// The public key, and evidence over it, the broker's nonce, the chain and the resource.
    fn show(&mut self, release: &Release, awaited: &Awaited) -> Result<Vec<u8>, Refusal> {
        let secret = Resource {
            repository: word(awaited.repository.as_str())?,
            kind: word(awaited.kind.as_str())?,
            tag: word(awaited.tag.as_str())?,
        };
        let manifest = self.manifest_for_secret(release.place.chain, secret)?;
        let key = release.key.public_key();
        let nonce = release_nonce(runtime_data(&release.broker_nonce, &key).as_bytes());
        let evidence = self.evidence_over(Asker::Loader, &manifest, &nonce)?;
        let ReleaseKey { x, y } = key;
        Ok([ReleaseEntry { x, y }.as_bytes(), &evidence].concat())
    }

    pub(super) fn open_secret(
        &mut self,
        [chain, function, secret, ..]: [u64; 6],
        operand: &[u8],
        file: Option<P::File>,
    ) -> Result<Outcome, Refusal> {
        let (place, awaited) = self.awaited(chain, function, secret)?;
        let asked = self
            .release
            .take_if(|one| one.place == place && one.shown.is_some());
        let Some(release) = asked else {
            return refuse(ResultCode::InvalidRequest, "no broker was asked for this secret");
        };
        let (sealed, protected) =
            SealedSecret::read_from_prefix(operand).map_err(|_| Refusal::from(ResultCode::InvalidFormat))?;
        if protected.len() > PROTECTED_MAX_BYTES {
            return refuse(ResultCode::InvalidFormat, "a protected header has at most 1 KiB");
        }
        let ciphertext = self
            .platform
            .read_secret(present(file)?, SECRET_VALUE_MAX_BYTES)
            .map_err(|error| Refusal::new(ResultCode::BadSecret, error.to_string()))?;
        if ciphertext.len() > SECRET_VALUE_MAX_BYTES {
            return refuse(ResultCode::BadSecret, "a secret has at most 8 KiB");
        }
        let Some(mut value) = release.key.open(&sealed, protected, ciphertext) else {
            return refuse(
                ResultCode::BadSecret,
                "it cannot be opened: it was sealed for another key, or altered",
            );
        };
        if awaited.trim {
            trim_line_breaks(&mut value);
        }
        self.check_text(value.len())?;
        self.text_bytes += value.len();
        let definition = &mut self.chain_mut(chain)?.definition;
        let secrets = &mut definition.function_mut(place.function)?.secrets;
        if let Some(secret) = secrets.get_mut(index(place.secret)) {
            secret.value = Some(value);
        }
        Ok(Outcome::default())
    }

    /// A secret of a sealed chain that is still awaited.
    fn awaited(&self, chain: u64, function: u64, secret: u64) -> Result<(Place, Awaited), Refusal> {
        let place = Place {
            chain: self.chain_id(chain)?,
            function: function_index(function)?,
            secret: narrow(secret)?,
        };
        let chain = self.chain(chain)?;
        chain.sealed()?;
        let function = chain.definition.function(place.function);
        let secret = function.and_then(|function| function.secrets.get(index(place.secret)));
        match secret {
            Some(Secret {
                awaited: Some(awaited),
                value: None,
                ..
            }) => Ok((place, *awaited)),
            _ => refuse(ResultCode::InvalidParameter, "the function awaits no such secret"),
        }
    }
}

/// One part of a resource's path, as key brokers take them: letters, digits, `-`, `_`, and `.` but in front.
fn part_of_path(name: &Name) -> Result<Name, Refusal> {
    let name = names::word(name)?;
    let is_part = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.');
    if name.as_str().bytes().all(is_part) && !name.as_str().starts_with('.') {
        Ok(name)
    } else {
        refuse(
            ResultCode::InvalidFormat,
            "a part of a resource's path has letters, digits, `-`, `_` and `.`, and begins with none of the last",
        )
    }
}
