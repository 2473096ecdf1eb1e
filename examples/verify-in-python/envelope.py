"""The outermost form of evidence: a report, what is needed to check it, and the manifest that it is over."""

import hashlib
import struct
from dataclasses import dataclass

from refused import Refused, demand

MAGIC = b"hacher-evidence\n"
KINDS = {1: "emulated", 2: "snp", 3: "snp-svsm"}
# Name, and the most bytes that it may have.
PARTS = (
    ("report", 4096),
    ("certificates", 32 * 1024),
    ("service manifest", 32 * 1024),
    ("manifest", 1024 * 1024),
)


@dataclass
class Evidence:
    kind: str
    report: bytes
    certificates: bytes
    service: bytes
    manifest: bytes

    def report_data(self, nonce: bytes) -> bytes:
        """What the report has to be over, if it was made for this nonce."""
        data = hashlib.sha512(nonce + self.manifest).digest()
        if self.kind == "snp-svsm":
            data = hashlib.sha512(data + self.service).digest()
        return data


def read_evidence(content: bytes) -> Evidence:
    """Takes bytes apart, which may be anybody's."""
    demand(content.startswith(MAGIC), "this is not evidence: it does not begin with `hacher-evidence`")
    place = len(MAGIC)

    def number(part: str) -> int:
        nonlocal place
        demand(place + 4 <= len(content), f"the evidence was cut short in its {part}")
        (found,) = struct.unpack_from("<I", content, place)
        place += 4
        return found

    kind_number = number("kind")
    if kind_number not in KINDS:
        raise Refused(f"evidence of kind {kind_number} is not known")
    kind = KINDS[kind_number]
    parts = []
    for name, most in PARTS:
        length = number(name)
        demand(length <= most, f"the evidence has {length} bytes of {name}; {most} are the most")
        demand(place + length <= len(content), f"the evidence was cut short in its {name}")
        parts.append(content[place : place + length])
        place += length
    demand(place == len(content), f"{len(content) - place} bytes follow the evidence")
    evidence = Evidence(kind, *parts)
    demand(kind != "emulated" or not evidence.certificates, "emulated evidence has no certificates")
    demand(kind == "snp-svsm" or not evidence.service, f"{kind} evidence has no service manifest")
    return evidence
