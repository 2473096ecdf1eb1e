"""The attestation report of SEV-SNP (AMD 56860, ATTESTATION_REPORT), versions 2 to 5."""

import struct
from typing import Optional

from refused import Refused, demand

REPORT_BYTES = 1184
SIGNED_BYTES = 0x2A0
# First byte, and the one after the last.
RESERVED = ((0x4C, 0x50), (0x18B, 0x1A0), (0x1EB, 0x1EC), (0x1EF, 0x1F0), (0x208, 0x2A0), (0x330, 0x4A0))
SIGNING_KEYS = {0: "VCEK", 1: "VLEK", 7: "none"}


class Report:
    """A report whose form is right. Nothing that it says is proven by that."""

    def __init__(self, content: bytes):
        demand(len(content) == REPORT_BYTES, f"a report of SNP has {REPORT_BYTES} bytes, not {len(content)}")
        self.content = content
        self.version = self.number("<I", 0)
        demand(2 <= self.version <= 5, f"reports of version {self.version} are not known")
        demand(self.number("<I", 0x34) == 1, "the report is signed with an unknown algorithm")
        self.policy = self.number("<Q", 0x08)
        self.vmpl = self.number("<I", 0x30)
        key_info = self.number("<I", 0x48)
        reserved = [content[start:end] for start, end in RESERVED]
        if self.version < 3:
            reserved.append(content[0x188:0x18B])
        if self.version < 5:
            reserved.append(content[0x1F8:0x208])
        is_form_right = self.policy >> 17 & 1 == 1 and self.policy >> 26 == 0 and key_info >> 5 == 0
        demand(is_form_right and not any(map(any, reserved)), "reserved bits of the report are set")
        if key_info >> 2 & 7 not in SIGNING_KEYS:
            raise Refused("the report is signed with an unknown kind of key")
        self.signing_key = SIGNING_KEYS[key_info >> 2 & 7]
        self.signed = content[:SIGNED_BYTES]
        self.data = content[0x50:0x90]
        self.measurement = content[0x90:0xC0].hex()
        self.chip = content[0x1A0:0x1E0]
        # Both halves are little-endian here, other than in all standards.
        self.signature_r = int.from_bytes(content[0x2A0:0x2E8], "little")
        self.signature_s = int.from_bytes(content[0x2E8:0x330], "little")

    def number(self, form: str, place: int) -> int:
        return struct.unpack_from(form, self.content, place)[0]

    def allows_migration(self) -> bool:
        return bool(self.policy >> 18 & 1)

    def allows_debug(self) -> bool:
        return bool(self.policy >> 19 & 1)

    def generation(self) -> Optional[str]:
        """What the processor is by its family and model; None where the report does not say."""
        if self.version < 3:
            return None
        family, model = self.content[0x188], self.content[0x189]
        if family == 0x19 and model <= 0x0F:
            return "Milan"
        if family == 0x19 and (0x10 <= model <= 0x1F or 0xA0 <= model <= 0xAF):
            return "Genoa"
        if family == 0x1A and model <= 0x11:
            return "Turin"
        raise Refused(f"family {family:x}h, model {model:x}h is no known processor")

    def tcbs(self, generation: str) -> dict:
        """Versions of what the chip trusts: as reported, committed, running now, and at the launch.

        The host chooses the reported one, and can fall back to the committed one.
        """
        places = {"reported": 0x180, "committed": 0x1E0, "current": 0x38, "launch": 0x1F0}
        return {name: read_tcb(self.content[at : at + 8], generation) for name, at in places.items()}


def read_tcb(content: bytes, generation: str) -> dict:
    if generation == "Turin":
        names = ("fmc", "boot_loader", "tee", "snp", None, None, None, "microcode")
    else:
        names = ("boot_loader", "tee", None, None, None, None, "snp", "microcode")
    demand(
        all(name or byte == 0 for name, byte in zip(names, content)), "reserved bytes of a TCB of the report are set"
    )
    return {name: byte for name, byte in zip(names, content) if name}
