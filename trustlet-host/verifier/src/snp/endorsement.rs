//! What AMD's certificates say of a chip, in extensions of AMD's own (AMD 57230).

use super::certificate::Certificate;
use super::generation::Generation;
use super::tcb::Tcb;
use x509_cert::der::Decode;
use x509_cert::der::asn1::{AnyRef, Ia5StringRef};
use x509_cert::der::oid::ObjectIdentifier;

const fn amd(id: &str) -> ObjectIdentifier {
    ObjectIdentifier::new_unwrap(id)
}

const PRODUCT: ObjectIdentifier = amd("1.3.6.1.4.1.3704.1.2");
const BOOT_LOADER: ObjectIdentifier = amd("1.3.6.1.4.1.3704.1.3.1");
const TEE: ObjectIdentifier = amd("1.3.6.1.4.1.3704.1.3.2");
const SNP: ObjectIdentifier = amd("1.3.6.1.4.1.3704.1.3.3");
const MICROCODE: ObjectIdentifier = amd("1.3.6.1.4.1.3704.1.3.8");
const FMC: ObjectIdentifier = amd("1.3.6.1.4.1.3704.1.3.9");
const HARDWARE_ID: ObjectIdentifier = amd("1.3.6.1.4.1.3704.1.4");

/// The versions of parts that have none yet: the four in between are reserved.
const RESERVED: [ObjectIdentifier; 4] = [
    amd("1.3.6.1.4.1.3704.1.3.4"),
    amd("1.3.6.1.4.1.3704.1.3.5"),
    amd("1.3.6.1.4.1.3704.1.3.6"),
    amd("1.3.6.1.4.1.3704.1.3.7"),
];

/// The product that a certificate is for, such as `Genoa`.
pub(crate) fn product(certificate: &Certificate) -> Option<String> {
    let value = certificate.extension(PRODUCT)?;
    let text = Ia5StringRef::from_der(value).ok()?;
    Some(text.as_str().to_owned())
}

/// The TCB that a certificate is for.
///
/// # Errors
/// Which part is missing, or is not what parts of this generation are.
pub(crate) fn tcb(certificate: &Certificate, generation: Generation) -> Result<Tcb, String> {
    let version = |name: &str, id| {
        let value = certificate
            .extension(id)
            .ok_or_else(|| format!("the certificate does not say the version of {name}"))?;
        u8::from_der(value).map_err(|_| format!("the certificate's version of {name} is no small number"))
    };
    let reserved = RESERVED.into_iter().filter_map(|id| certificate.extension(id));
    if reserved.into_iter().any(|value| u8::from_der(value) != Ok(0)) {
        return Err("the certificate has a version for a part that is not known".to_owned());
    }
    let fmc = match generation {
        Generation::Milan | Generation::Genoa => None,
        Generation::Turin => Some(version("fmc", FMC)?),
    };
    Ok(Tcb {
        fmc,
        boot_loader: version("boot_loader", BOOT_LOADER)?,
        tee: version("tee", TEE)?,
        snp: version("snp", SNP)?,
        microcode: version("microcode", MICROCODE)?,
    })
}

/// The chip that a certificate is for: as long as a chip's id, or its first eight bytes on Turin.
pub(crate) fn hardware_id(certificate: &Certificate, generation: Generation) -> Option<&[u8]> {
    let value = certificate.extension(HARDWARE_ID)?;
    let length = match generation {
        Generation::Milan | Generation::Genoa => 64,
        Generation::Turin => 8,
    };
    // The bytes alone, or within an octet string of their own: AMD has issued both.
    if value.len() == length {
        return Some(value);
    }
    let inner = AnyRef::from_der(value).ok()?.value();
    (inner.len() == length).then_some(inner)
}
