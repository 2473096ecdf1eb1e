"""Who has signed a report: a chip's key (VCEK), which an ASK has certified, which AMD's ARK has certified.

The three root keys are pinned here by the SHA-256 of their SubjectPublicKeyInfo; everything else is brought along
and proven. AMD serves them at https://kdsintf.amd.com/vcek/v1/Genoa/cert_chain and so on.
"""

import hashlib
import struct
import warnings
from datetime import datetime
from typing import List

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from refused import Refused, demand
from snp_report import Report

# AMD numbers the certificates of all chips 0, which RFC 5280 does not allow.
warnings.filterwarnings("ignore", message=".*serial number which wasn't positive.*")

ROOT_KEYS = {
    "Milan": "9f056bee44377e29308cb5ffa895bdfb62d18881fa6bed8d6f075b0204089cb9",
    "Genoa": "429a69c9422aa258ee4d8db5fcda9c6470ef15f8cd5a9cebd6cbc7d90b863831",
    "Turin": "4f125410563a2ab9a50356f9243f6fe0b6f73de98603f53f90339c70e9d7ad08",
}
PRODUCT = "1.3.6.1.4.1.3704.1.2"
HARDWARE_ID = "1.3.6.1.4.1.3704.1.4"
VERSIONS = {
    "boot_loader": "1.3.6.1.4.1.3704.1.3.1",
    "tee": "1.3.6.1.4.1.3704.1.3.2",
    "snp": "1.3.6.1.4.1.3704.1.3.3",
    "microcode": "1.3.6.1.4.1.3704.1.3.8",
    "fmc": "1.3.6.1.4.1.3704.1.3.9",
}
CERTIFICATE_BYTES_MAX = 16 * 1024


def read_certificate(content: bytes) -> x509.Certificate:
    """A certificate in PEM or DER."""
    demand(len(content) <= CERTIFICATE_BYTES_MAX, "a certificate is longer than AMD's are")
    try:
        is_pem = content.startswith(b"-----BEGIN")
        certificate = x509.load_pem_x509_certificate(content) if is_pem else x509.load_der_x509_certificate(content)
        extensions = list(certificate.extensions)
        # Read lazily; what is malformed is found here, and not later.
        _ = (certificate.subject, certificate.issuer, certificate.public_key(), certificate.signature)
    except (ValueError, x509.DuplicateExtension, UnsupportedAlgorithm) as error:
        raise Refused(f"this is not a certificate: {error}") from None
    known = ("2.5.29.15", "2.5.29.19")
    for extension in extensions:
        demand(
            not extension.critical or extension.oid.dotted_string in known,
            f"a certificate has the critical extension {extension.oid.dotted_string}, which is not known",
        )
    return certificate


def read_table(table: bytes) -> List[x509.Certificate]:
    """The certificates of the table that a host gives to a guest: GUID, offset, length, up to one of zeros."""
    if not table:
        return []
    entries = []
    for place in range(0, len(table) - 23, 24):
        guid, offset, length = struct.unpack_from("<16sII", table, place)
        if not any(guid):
            entries_end = place + 24
            break
        entries.append((offset, length))
    else:
        raise Refused("the table of certificates has no end")
    certificates = []
    for offset, length in entries:
        demand(entries_end <= offset and offset + length <= len(table), "the table of certificates points outside")
        certificates.append(read_certificate(table[offset : offset + length]))
    return certificates


def name_of(name: x509.Name) -> str:
    found = name.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(found[0].value) if len(found) == 1 else ""


def has_signed(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    """Whether the issuer's key, an RSA key, has signed a certificate in the way of AMD: RSASSA-PSS, SHA-384."""
    key = issuer.public_key()
    if certificate.issuer != issuer.subject or not isinstance(key, rsa.RSAPublicKey):
        return False
    pss = padding.PSS(padding.MGF1(SHA384()), 48)
    try:
        key.verify(certificate.signature, certificate.tbs_certificate_bytes, pss, SHA384())
    except InvalidSignature:
        return False
    return True


def is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def is_signed_by(report: Report, vcek: x509.Certificate) -> bool:
    key = vcek.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
        return False
    signature = encode_dss_signature(report.signature_r, report.signature_s)
    try:
        key.verify(signature, report.signed, ec.ECDSA(SHA384()))
    except InvalidSignature:
        return False
    return True


def check_signature(report: Report, certificates: List[x509.Certificate], at: datetime) -> str:
    """Checks that a chip of AMD's has signed the report, up to a pinned root; gives the chip's generation."""
    key = report.signing_key
    demand(key == "VCEK", f"signed with {key}, and only a chip's own key, a VCEK, is taken")
    named = [one for one in certificates if name_of(one.subject) == "SEV-VCEK"]
    demand(bool(named), "there is no certificate of a VCEK; give it with --certificate")
    vcek = next((one for one in named if is_signed_by(report, one)), None)
    if vcek is None:
        raise Refused("the certified VCEK has not signed this report: it was altered, or is of another chip")
    generation = name_of(vcek.issuer)[len("SEV-") :]
    if generation not in ROOT_KEYS:
        raise Refused(f"the VCEK is certified by `{name_of(vcek.issuer)}`, which is no key of AMD's for that")
    ask = next((one for one in certificates if has_signed(one, vcek) and is_authority(one)), None)
    if ask is None:
        raise Refused(f"no certificate that was given is of the SEV-{generation} that has signed that of the VCEK")
    roots = [one for one in certificates if name_of(one.subject) == f"ARK-{generation}"]
    demand(bool(roots), f"there is no certificate of ARK-{generation}; give it with --certificate")
    demand(
        all(key_digest(one) == ROOT_KEYS[generation] for one in roots),
        f"the ARK-{generation} that was given has another key than the pinned one: the chain is forged",
    )
    ark = next((one for one in roots if has_signed(one, ask)), None)
    if ark is None:
        raise Refused(f"the pinned ARK-{generation} has not signed the certificate of SEV-{generation}")
    for certificate in (vcek, ask, ark):
        # The names without `_utc` are those of cryptography before 42.
        start = getattr(certificate, "not_valid_before_utc", None) or certificate.not_valid_before
        end = getattr(certificate, "not_valid_after_utc", None) or certificate.not_valid_after
        demand(
            start.replace(tzinfo=at.tzinfo) <= at <= end.replace(tzinfo=at.tzinfo),
            f"the certificate of {name_of(certificate.subject)} is valid from {start} to {end}",
        )
    check_chip(report, vcek, generation)
    return generation


def key_digest(certificate: x509.Certificate) -> str:
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(key).hexdigest()


def check_chip(report: Report, vcek: x509.Certificate, generation: str) -> None:
    """Checks that AMD has certified the key for this product, these versions, and this chip."""
    product = tag_length_value(extension(vcek, PRODUCT), 0x16).decode("ascii", "replace")
    demand(product.split("-")[0] == generation, f"the VCEK is for `{product}`, and its issuer is for {generation}")
    processor = report.generation()
    demand(processor in (None, generation), f"the processor is {processor}, and the VCEK is for {generation}")
    for name, version in report.tcbs(generation)["reported"].items():
        number = int.from_bytes(tag_length_value(extension(vcek, VERSIONS[name]), 0x02), "big")
        demand(number == version, f"the VCEK is for {name} {number}, and the report says {version}")
    chip = extension(vcek, HARDWARE_ID)
    length = 8 if generation == "Turin" else 64
    if len(chip) != length:
        # The bytes alone, or within an octet string: AMD has issued both.
        chip = tag_length_value(chip, 0x04)
    demand(any(report.chip), "the host hides which chip it is")
    demand(
        len(chip) == length and report.chip == chip.ljust(64, b"\0"),
        f"the VCEK is for chip {chip[:8].hex()}..., and the report is of {report.chip[:8].hex()}...",
    )


def extension(certificate: x509.Certificate, oid: str) -> bytes:
    for found in certificate.extensions:
        if found.oid.dotted_string == oid:
            return found.value.value
    raise Refused(f"the certificate of the VCEK has no extension {oid}")


def tag_length_value(content: bytes, tag: int) -> bytes:
    """The value of one short element of DER."""
    is_one = len(content) >= 2 and content[0] == tag and content[1] == len(content) - 2 < 128
    demand(is_one, "an extension of AMD's in the certificate of the VCEK is malformed")
    return content[2:]
