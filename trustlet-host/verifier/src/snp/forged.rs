//! Chains and reports that tests forge: a root of their own, and everything below it as AMD would make it,
//! but for what a test changes.

use super::certificate::Certificate;
use super::generation::Generation;
use super::report::{Layout, SIGNED_BYTES, SigningKey};
use super::root::{Root, Roots};
use crate::expectations::Expectations;
use crate::time::UnixTime;
use hacher_evidence::manifest::Purpose;
use ring::rand::SystemRandom;
use ring::rsa;
use ring::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PSS_SHA384, RsaKeyPair};
use x509_cert::der::oid::ObjectIdentifier;
use zerocopy::{FromZeros, IntoBytes};

/// When everything that is forged here is valid, unless a test says otherwise.
pub(crate) const NOW: &str = "2026-06-01T00:00:00Z";

/// The time of that.
pub(crate) fn now() -> UnixTime {
    UnixTime::parse(NOW).unwrap()
}

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let len = content.len();
    let mut bytes = vec![tag];
    match u8::try_from(len) {
        Ok(short) if short < 0x80 => bytes.push(short),
        Ok(long) => bytes.extend([0x81, long]),
        Err(_) => {
            let [.., high, low] = len.to_be_bytes();
            bytes.extend([0x82, high, low]);
        }
    }
    bytes.extend_from_slice(content);
    bytes
}

fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tlv(0x30, &parts.concat())
}

fn oid(id: &str) -> Vec<u8> {
    tlv(0x06, ObjectIdentifier::new_unwrap(id).as_bytes())
}

fn integer(number: u8) -> Vec<u8> {
    match number < 0x80 {
        true => tlv(0x02, &[number]),
        false => tlv(0x02, &[0, number]),
    }
}

fn name(common_name: &str) -> Vec<u8> {
    let attribute = sequence(&[&oid("2.5.4.3"), &tlv(0x0C, common_name.as_bytes())]);
    sequence(&[&tlv(0x31, &attribute)])
}

/// RSASSA-PSS with SHA-384 for everything, and a salt of 48 bytes.
fn pss() -> Vec<u8> {
    let sha384 = sequence(&[&oid("2.16.840.1.101.3.4.2.2"), &tlv(0x05, &[])]);
    let mgf1 = sequence(&[&oid("1.2.840.113549.1.1.8"), &sha384]);
    let parameters = sequence(&[&tlv(0xA0, &sha384), &tlv(0xA1, &mgf1), &tlv(0xA2, &integer(48))]);
    sequence(&[&oid("1.2.840.113549.1.1.10"), &parameters])
}

fn bits(bytes: &[u8]) -> Vec<u8> {
    tlv(0x03, &[&[0], bytes].concat())
}

fn signed(content: &[u8], signer: &RsaKeyPair) -> Vec<u8> {
    let mut signature = vec![0; signer.public().modulus_len()];
    signer
        .sign(&RSA_PSS_SHA384, &SystemRandom::new(), content, &mut signature)
        .unwrap();
    sequence(&[content, &pss(), &bits(&signature)])
}

fn extension(id: &str, critical: bool, value: &[u8]) -> Vec<u8> {
    let critical: &[u8] = if critical { &[0x01, 0x01, 0xFF] } else { &[] };
    sequence(&[&oid(id), critical, &tlv(0x04, value)])
}

fn rsa_info(key: &RsaKeyPair) -> Vec<u8> {
    let key: &rsa::PublicKey = key.public();
    let algorithm = sequence(&[&oid("1.2.840.113549.1.1.1"), &tlv(0x05, &[])]);
    sequence(&[&algorithm, &bits(key.as_ref())])
}

fn p384_info(key: &EcdsaKeyPair) -> Vec<u8> {
    let algorithm = sequence(&[&oid("1.2.840.10045.2.1"), &oid("1.3.132.0.34")]);
    sequence(&[&algorithm, &bits(key.public_key().as_ref())])
}

/// A revocation list.
pub(crate) struct List {
    pub(crate) issuer: String,
    pub(crate) this_update: &'static str,
    pub(crate) next_update: Option<&'static str>,
    pub(crate) revoked: Vec<u8>,
    pub(crate) extensions: Vec<Vec<u8>>,
    /// Whether the ASK has signed it, instead of the ARK.
    pub(crate) signed_by_ask: bool,
}

impl List {
    pub(crate) fn of(generation: Generation) -> Self {
        Self {
            issuer: format!("ARK-{}", generation.in_certificates()),
            this_update: "260501000000Z",
            next_update: Some("270501000000Z"),
            revoked: vec![77],
            extensions: Vec::new(),
            signed_by_ask: false,
        }
    }

    /// A critical extension that nobody knows.
    pub(crate) fn unknown_extension() -> Vec<u8> {
        extension("1.2.3.4", true, &[5, 0])
    }
}

/// What is forged. The default is right in everything but its root.
pub(crate) struct Forgery {
    pub(crate) generation: Generation,
    pub(crate) key: SigningKey,
    pub(crate) product: String,
    pub(crate) version: u32,
    pub(crate) cpuid: [u8; 3],
    pub(crate) vmpl: u32,
    pub(crate) policy: u64,
    pub(crate) key_info: Option<u32>,
    pub(crate) chip: [u8; 64],
    pub(crate) certified_chip: Vec<u8>,
    pub(crate) reported: [u8; 8],
    pub(crate) committed: [u8; 8],
    pub(crate) current: [u8; 8],
    pub(crate) launched: [u8; 8],
    pub(crate) certified: [u8; 8],
    pub(crate) report_data: [u8; 64],
    pub(crate) measurement: [u8; 48],
    pub(crate) author_key: Option<[u8; 48]>,
    pub(crate) leaf_until: &'static str,
    pub(crate) ask_until: &'static str,
    pub(crate) ask_is_authority: bool,
    pub(crate) leaf_extension: Option<Vec<u8>>,
    /// Whether the leaf is signed with another key than that of the ASK.
    pub(crate) leaf_signed_by_ark: bool,
}

const CHIP: [u8; 64] = [0xC5; 64];

impl Default for Forgery {
    fn default() -> Self {
        let tcb = [9, 0, 0, 0, 0, 0, 23, 72];
        Self {
            generation: Generation::Genoa,
            key: SigningKey::Vcek,
            product: "Genoa".to_owned(),
            version: 3,
            cpuid: [0x19, 0x11, 1],
            vmpl: 0,
            policy: 0x3_001F,
            key_info: None,
            chip: CHIP,
            certified_chip: CHIP.to_vec(),
            reported: tcb,
            committed: tcb,
            current: tcb,
            launched: tcb,
            certified: tcb,
            report_data: [0xDA; 64],
            measurement: [0x3E; 48],
            author_key: None,
            leaf_until: "330101000000Z",
            ask_until: "450101000000Z",
            ask_is_authority: true,
            leaf_extension: None,
            leaf_signed_by_ark: false,
        }
    }
}

impl Forgery {
    /// The same of Turin, with the eight bytes of its chip's id and the order of its TCB.
    pub(crate) fn of_turin() -> Self {
        let tcb = [1, 2, 3, 4, 0, 0, 0, 5];
        let mut chip = [0; 64];
        chip[..8].copy_from_slice(&[0xC5; 8]);
        Self {
            generation: Generation::Turin,
            product: "Turin".to_owned(),
            version: 5,
            cpuid: [0x1A, 0x02, 1],
            chip,
            certified_chip: vec![0xC5; 8],
            reported: tcb,
            committed: tcb,
            current: tcb,
            launched: tcb,
            certified: tcb,
            ..Self::default()
        }
    }

    /// The same of Milan.
    pub(crate) fn of_milan() -> Self {
        Self {
            generation: Generation::Milan,
            product: "Milan-B0".to_owned(),
            cpuid: [0x19, 0x01, 1],
            ..Self::default()
        }
    }

    pub(crate) fn make(&self) -> Forged {
        let keys = Keys::new();
        let ark_name = format!("ARK-{}", self.generation.in_certificates());
        let ask_name = match self.key {
            SigningKey::Vlek => format!("SEV-VLEK-{}", self.generation.in_certificates()),
            _ => format!("SEV-{}", self.generation.in_certificates()),
        };
        let ca = |is_authority: bool| {
            let flag: &[u8] = if is_authority { &[0x01, 0x01, 0xFF] } else { &[] };
            vec![extension("2.5.29.19", true, &sequence(&[flag]))]
        };
        let (ark_key, ask_key) = (rsa_info(&keys.ark), rsa_info(&keys.ask));
        let ark = self.certificate(
            1,
            &ark_name,
            &ark_name,
            "450101000000Z",
            &ark_key,
            &ca(true),
            &keys.ark,
        );
        let ask_extensions = ca(self.ask_is_authority);
        let ask = self.certificate(
            2,
            &ark_name,
            &ask_name,
            self.ask_until,
            &ask_key,
            &ask_extensions,
            &keys.ark,
        );
        let leaf_name = match self.key {
            SigningKey::Vlek => "SEV-VLEK",
            _ => "SEV-VCEK",
        };
        let leaf_signer = if self.leaf_signed_by_ark {
            &keys.ark
        } else {
            &keys.ask
        };
        let extensions = self.endorsement();
        let leaf_key = p384_info(&keys.chip);
        let leaf = self.certificate(
            0,
            &ask_name,
            leaf_name,
            self.leaf_until,
            &leaf_key,
            &extensions,
            leaf_signer,
        );
        let report = self.report(&keys.chip);
        Forged {
            generation: self.generation,
            keys,
            ark,
            ask,
            leaf,
            report,
        }
    }

    #[allow(clippy::too_many_arguments, reason = "a certificate has that many fields")]
    fn certificate(
        &self,
        serial: u8,
        issuer: &str,
        subject: &str,
        until: &str,
        key: &[u8],
        extensions: &[Vec<u8>],
        signer: &RsaKeyPair,
    ) -> Vec<u8> {
        let version = tlv(0xA0, &integer(2));
        let validity = sequence(&[&tlv(0x17, b"240101000000Z"), &tlv(0x17, until.as_bytes())]);
        let extensions = tlv(0xA3, &tlv(0x30, &extensions.concat()));
        let content = sequence(&[
            &version,
            &integer(serial),
            &pss(),
            &name(issuer),
            &validity,
            &name(subject),
            key,
            &extensions,
        ]);
        signed(&content, signer)
    }

    fn endorsement(&self) -> Vec<Vec<u8>> {
        let [a, b, c, d, _, _, g, h] = self.certified;
        let (boot_loader, tee, snp, microcode, fmc) = match self.generation {
            Generation::Turin => (b, c, d, h, Some(a)),
            _ => (a, b, g, h, None),
        };
        let amd = "1.3.6.1.4.1.3704.1";
        let version = |id: &str, value: u8| extension(&format!("{amd}.{id}"), false, &integer(value));
        let mut extensions = vec![
            extension(&format!("{amd}.2"), false, &tlv(0x16, self.product.as_bytes())),
            version("3.1", boot_loader),
            version("3.2", tee),
            version("3.3", snp),
            version("3.8", microcode),
        ];
        extensions.extend(fmc.map(|fmc| version("3.9", fmc)));
        if self.key == SigningKey::Vcek {
            extensions.push(extension(&format!("{amd}.4"), false, &self.certified_chip));
        }
        extensions.extend(self.leaf_extension.clone());
        extensions
    }

    fn report(&self, key: &EcdsaKeyPair) -> Vec<u8> {
        let mut layout = Layout::new_zeroed();
        layout.version = self.version.into();
        layout.policy = self.policy.into();
        layout.vmpl = self.vmpl.into();
        layout.signature_algorithm = 1.into();
        let kind = match self.key {
            SigningKey::Vcek => 0,
            SigningKey::Vlek => 1,
            SigningKey::None => 7,
        };
        let author = u32::from(self.author_key.is_some());
        layout.key_info = self.key_info.unwrap_or(kind << 2 | author).into();
        layout.author_key_digest = self.author_key.unwrap_or([0; 48]);
        layout.report_data = self.report_data;
        layout.measurement = self.measurement;
        layout.chip_id = self.chip;
        layout.reported_tcb = self.reported;
        layout.committed_tcb = self.committed;
        layout.current_tcb = self.current;
        layout.launch_tcb = self.launched;
        if self.version >= 3 {
            layout.cpuid = self.cpuid;
        }
        let random = SystemRandom::new();
        let signature = key.sign(&random, &layout.as_bytes()[..SIGNED_BYTES]).unwrap();
        let (r, s) = signature.as_ref().split_at(48);
        for (half, number) in [(&mut layout.signature_r, r), (&mut layout.signature_s, s)] {
            let reversed: Vec<u8> = number.iter().rev().copied().collect();
            half[..48].copy_from_slice(&reversed);
        }
        layout.as_bytes().to_vec()
    }
}

struct Keys {
    ark: RsaKeyPair,
    ask: RsaKeyPair,
    chip: EcdsaKeyPair,
}

impl Keys {
    fn new() -> Self {
        let random = SystemRandom::new();
        let chip = EcdsaKeyPair::generate_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, &random).unwrap();
        let rsa = |pkcs8: &[u8]| RsaKeyPair::from_pkcs8(pkcs8).unwrap();
        Self {
            ark: rsa(include_bytes!("../../tests/data/forged-ark.pk8")),
            ask: rsa(include_bytes!("../../tests/data/forged-ask.pk8")),
            chip: EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, chip.as_ref(), &random).unwrap(),
        }
    }
}

/// What was forged.
pub(crate) struct Forged {
    generation: Generation,
    keys: Keys,
    pub(crate) ark: Vec<u8>,
    pub(crate) ask: Vec<u8>,
    pub(crate) leaf: Vec<u8>,
    pub(crate) report: Vec<u8>,
}

impl Forged {
    /// Roots with which the forgery is as good as AMD's.
    pub(crate) fn roots(&self) -> Roots {
        let read = |bytes| Certificate::read(bytes).unwrap();
        Roots(vec![Root {
            generation: self.generation,
            ark: read(&self.ark),
            ask: read(&self.ask),
            asvk: read(&self.ask),
        }])
    }

    /// What a guest would send, and who forges a whole chain.
    pub(crate) fn chain(&self) -> [&[u8]; 3] {
        [&self.leaf, &self.ask, &self.ark]
    }

    /// A table of certificates as a host hands it out.
    pub(crate) fn table(&self) -> Vec<u8> {
        let certificates = self.chain();
        let mut offset = 24 * (certificates.len() + 1);
        let mut entries = Vec::new();
        for (at, certificate) in certificates.iter().enumerate() {
            entries.extend([u8::try_from(at).unwrap() + 1; 16]);
            for number in [offset, certificate.len()] {
                entries.extend(u32::try_from(number).unwrap().to_le_bytes());
            }
            offset += certificate.len();
        }
        entries.extend([0; 24]);
        [entries, certificates.concat()].concat()
    }

    /// A revocation list, signed.
    pub(crate) fn list(&self, list: &List) -> Vec<u8> {
        let time = |text: &str| tlv(0x17, text.as_bytes());
        let next = list.next_update.map(time).unwrap_or_default();
        let entries: Vec<Vec<u8>> = list
            .revoked
            .iter()
            .map(|serial| sequence(&[&integer(*serial), &time("260401000000Z")]))
            .collect();
        let entries = match entries.is_empty() {
            true => Vec::new(),
            false => tlv(0x30, &entries.concat()),
        };
        let extensions = match list.extensions.is_empty() {
            true => Vec::new(),
            false => tlv(0xA0, &tlv(0x30, &list.extensions.concat())),
        };
        let content = sequence(&[
            &integer(1),
            &pss(),
            &name(&list.issuer),
            &time(list.this_update),
            &next,
            &entries,
            &extensions,
        ]);
        let signer = if list.signed_by_ask {
            &self.keys.ask
        } else {
            &self.keys.ark
        };
        signed(&content, signer)
    }
}

/// What a caller expects who has sent no nonce.
pub(crate) fn expectations<'a>(
    certificates: &'a [&'a [u8]],
    revocation_lists: &'a [&'a [u8]],
) -> Expectations<'a> {
    Expectations {
        nonce: None,
        purpose: Purpose::Nonce,
        tls_key: None,
        chain: None,
        time: now(),
        certificates,
        revocation_lists,
        allow_emulated: false,
    }
}
