"""The manifest: what a monitor says of itself and its chains, as text of one fact a line.

There is exactly one way to write a manifest, and no other is taken.
"""

import re
from dataclasses import dataclass, field
from typing import List, Optional

from refused import Refused, demand

HASH = r"([0-9a-f]{96})"
KEY = r"([0-9a-f]{64})"
WORD = r"([!-~]{1,63})"
LOGS = r"logs (dropped|forwarded)"
BYTES_MAX = 1024 * 1024


@dataclass
class Chain:
    digest: str
    version: str
    name: str
    request_key: str
    gateway: str
    own_gateway: bool
    gateway_logs: str
    tls_key: Optional[str]
    # Of functions and carriers: the name, then kind, measurement and what becomes of what it prints.
    members: dict = field(default_factory=dict)
    # (from, port, to, "sealed" or "mapped", carrier or None)
    edges: List[tuple] = field(default_factory=list)


@dataclass
class Manifest:
    purpose: str
    platform: str
    trust: str
    layers: dict
    monitor_version: str
    monitor: str
    daemon: str
    statement_key: str
    chains: List[Chain]


class Lines:
    """Lines that have not been read."""

    def __init__(self, lines: List[str]):
        self.left = lines
        self.at = 0

    def begin_with(self, *starts: str) -> bool:
        return self.at < len(self.left) and self.left[self.at].startswith(starts)

    def one(self, form: str, expected: str):
        """The next line, which has to be there and to have this form."""
        line = self.left[self.at] if self.at < len(self.left) else None
        self.at += 1
        found = re.fullmatch(form, line) if line is not None else None
        if found is None:
            raise self.fault(expected)
        return found.groups()

    def fault(self, expected: str) -> Refused:
        return Refused(f"line {self.at} of the manifest is not {expected}")


def read_manifest(content: bytes) -> Manifest:
    """Takes bytes apart, which may be anybody's."""
    demand(len(content) <= BYTES_MAX, f"the manifest has {len(content)} bytes; {BYTES_MAX} are the most")
    demand(content.isascii(), "the manifest is not ASCII text")
    demand(content.endswith(b"\n"), "the last line of the manifest does not end with a line feed")
    lines = Lines(content[:-1].decode("ascii").split("\n"))
    lines.one("hacher-manifest 1", "`hacher-manifest 1`")
    (purpose,) = lines.one("purpose (nonce|session)", "`purpose nonce|session`")
    (platform,) = lines.one(f"platform {WORD}", "`platform NAME`")
    (trust,) = lines.one("trust (operating-system|hardware)", "`trust operating-system|hardware`")
    layers = read_layers(lines)
    version, monitor = lines.one(f"monitor {WORD} {HASH}", "`monitor VERSION HEX96`")
    (daemon,) = lines.one(f"daemon {HASH}", "`daemon HEX96`")
    (statement_key,) = lines.one(f"statement-key ed25519 {KEY}", "`statement-key ed25519 HEX64`")
    chains: List[Chain] = []
    while lines.at < len(lines.left):
        chains.append(read_chain(lines, {chain.name for chain in chains}))
    return Manifest(purpose, platform, trust, layers, version, monitor, daemon, statement_key, chains)


def read_layers(lines: Lines) -> dict:
    layers: dict = {}
    last = ""
    while lines.begin_with("layer "):
        name, state = lines.one(f"layer {WORD} (enforced|missing)", "`layer NAME enforced|missing`")
        if name <= last:
            raise lines.fault("a layer whose name comes after the last one's")
        layers[name] = state == "enforced"
        last = name
    return layers


def read_chain(lines: Lines, names: set) -> Chain:
    digest, version, name = lines.one(f"chain {HASH} {WORD} {WORD}", "`chain HEX96 VERSION NAME`")
    if name in names:
        raise lines.fault("a chain of a name of its own")
    (request_key,) = lines.one(f"request-key x25519 {KEY}", "`request-key x25519 HEX64`")
    gateway, tenancy, logs = lines.one(
        f"gateway {HASH} (shared|own) {LOGS}", "`gateway HEX96 shared|own logs dropped|forwarded`"
    )
    (tls_key,) = lines.one(f"tls-key (?:none|sha256 {KEY})", "`tls-key none` or `tls-key sha256 HEX64`")
    chain = Chain(digest, version, name, request_key, gateway, tenancy == "own", logs, tls_key)
    while lines.begin_with("function ", "carrier "):
        kind, measurement, member, logs = lines.one(
            f"(function|carrier) {HASH} {WORD} {LOGS}", "`function|carrier HEX96 NAME logs dropped|forwarded`"
        )
        if member in ("ingress", "egress") or member in chain.members:
            raise lines.fault("a function or carrier of a name of its own")
        chain.members[member] = (kind, measurement, logs)
    while lines.begin_with("edge "):
        edge = lines.one(
            f"edge {WORD} {WORD} {WORD} (sealed|mapped)(?: across {WORD})?",
            "`edge FROM PORT TO sealed|mapped` or `edge FROM PORT TO sealed across CARRIER`",
        )
        if not joins(chain, *edge):
            raise lines.fault("an edge between functions of this chain, across one of its carriers if any")
        chain.edges.append(edge)
    return chain


def joins(chain: Chain, source: str, port: str, sink: str, protection: str, across: Optional[str]) -> bool:
    """Whether an edge joins what the chain has."""

    def is_a(kind: str, name: str) -> bool:
        return name in chain.members and chain.members[name][0] == kind

    if across is not None and not (protection == "sealed" and is_a("carrier", across)):
        return False
    comes = (source, port) == ("ingress", "ingress") or is_a("function", source)
    return comes and (sink == "egress" or is_a("function", sink))
