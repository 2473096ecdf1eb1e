"""Reports of a platform without hardware: they bind a manifest to a nonce, and prove nothing about the machine."""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from refused import Refused, demand

TAG = b"hacher-emulated-report-1"
REPORT_BYTES = len(TAG) + 64 + 32 + 64


def check_emulated(report: bytes, report_data: bytes) -> None:
    """Checks that a report is signed by the key in it, over this report data."""
    demand(
        len(report) == REPORT_BYTES and report.startswith(TAG),
        "this is not a report of the type hacher-emulated-report-1",
    )
    signed, signature = report[:-64], report[-64:]
    key = signed[-32:]
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, signed)
    except (InvalidSignature, ValueError):
        raise Refused("the signature of the emulated report is wrong") from None
    demand(
        signed[len(TAG) : -32] == report_data,
        "the report was made for another nonce, which makes this a replay, or for another manifest",
    )
