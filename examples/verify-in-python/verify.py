#!/usr/bin/env python3
"""Says whether evidence proves what is expected: exit code 0 if it does, 1 and the reason if not."""

import argparse
import hashlib
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import List

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from emulated import check_emulated
from envelope import Evidence, read_evidence
from manifest import Manifest, read_manifest
from refused import Refused, demand
from snp_certificates import check_signature, read_certificate, read_table
from snp_report import Report

EVIDENCE_BYTES_MAX = 2 * 1024 * 1024
GENERATIONS = ("Genoa", "Turin")


def hexadecimal(length: int):
    def read(text: str) -> bytes:
        content = bytes.fromhex(text)
        if len(content) != length:
            raise ValueError
        return content

    read.__name__ = f"{2 * length} hexadecimal digits"
    return read


def floor(text: str):
    name, version = text.split("=")
    return name, int(version)


def time(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("evidence", type=Path, help="file with evidence; with --bare a report of SNP alone")
    parser.add_argument("--nonce", type=hexadecimal(64), help="what it was asked for with; with --bare the REPORT_DATA")
    parser.add_argument("--expect-digest", action="append", default=[], type=hexadecimal(48), metavar="HEX",
                        help="accepted chain digest; every chain in the evidence has to have one of these")
    parser.add_argument("--chain", metavar="NAME", help="the evidence has to be about exactly this chain")
    parser.add_argument("--tls-certificate", type=Path, metavar="FILE",
                        help="the certificate that the gateway showed; the evidence has to name its key")
    parser.add_argument("--allow-emulated", action="store_true", help="take evidence that no hardware vouches for")
    parser.add_argument("--bare", action="store_true", help="verify a report of SNP, of whatever service")
    parser.add_argument("--launch", action="append", default=[], type=hexadecimal(48), metavar="HEX",
                        help="accepted launch measurement of the guest")
    parser.add_argument("--certificate", action="append", default=[], type=Path, metavar="FILE",
                        help="certificate of VCEK, ASK or ARK, if the host does not provide it")
    parser.add_argument("--generation", choices=("Milan", "Genoa", "Turin"),
                        help="the only one accepted; Milan has to be named")
    parser.add_argument("--vmpl", type=int, default=0, help="privilege level that has asked for the report")
    parser.add_argument("--floor", action="append", default=[], type=floor, metavar="NAME=VERSION",
                        help="oldest accepted version of boot_loader, tee, snp, microcode or fmc")
    parser.add_argument("--at", type=time, default=datetime.now(timezone.utc), metavar="YYYY-MM-DDTHH:MM:SSZ",
                        help="time at which certificates have to be valid; else now")
    found = parser.parse_args()
    if found.nonce is None and not found.bare:
        parser.error("--nonce is needed: without it, evidence could be a replay")
    return found


def read(path: Path, most: int) -> bytes:
    with path.open("rb") as file:
        content = file.read(most + 1)
    demand(len(content) <= most, f"{path} has more than {most} bytes")
    return content


def check_snp(report: Report, brought: List[x509.Certificate], options: argparse.Namespace) -> str:
    """Checks a report but for its report data and launch measurement; gives the generation."""
    certificates = brought + [read_certificate(read(path, 16 * 1024)) for path in options.certificate]
    generation = check_signature(report, certificates, options.at)
    accepted = (options.generation,) if options.generation else GENERATIONS
    why = " (the root seed of its keys was extracted by software, arXiv 2605.12990)" if generation == "Milan" else ""
    demand(generation in accepted, f"{generation} is not accepted unless it is named{why}")
    demand(report.vmpl <= 3, f"level {report.vmpl:#x} is none of a guest: the host has asked for the report")
    demand(report.vmpl == options.vmpl, f"asked for at level {report.vmpl}, not {options.vmpl}")
    demand(not report.allows_debug(), "the host may debug the guest, and read all its memory")
    demand(not report.allows_migration(), "a migration agent may move the guest to another machine")
    for tcb_name, tcb in report.tcbs(generation).items():
        for name, oldest in options.floor:
            demand(name in tcb, f"{generation} has no version of {name}")
            demand(tcb[name] >= oldest, f"the {tcb_name} TCB has {name} {tcb[name]}, not {oldest} or later")
    return generation


def check_launch(report: Report, options: argparse.Namespace) -> None:
    accepted = [measurement.hex() for measurement in options.launch]
    found = report.measurement
    demand(found in accepted, f"the guest was launched with {found}; --launch names what is accepted")


def check_evidence(evidence: Evidence, options: argparse.Namespace) -> Manifest:
    manifest = read_manifest(evidence.manifest)
    expected = evidence.report_data(options.nonce)
    if evidence.kind == "emulated":
        demand(options.allow_emulated, "emulated: no hardware vouches for anything, and this was not allowed")
        check_emulated(evidence.report, expected)
        demand(manifest.trust != "hardware", "the manifest speaks of hardware, and no hardware vouches for it")
    else:
        report = Report(evidence.report)
        check_snp(report, read_table(evidence.certificates), options)
        demand(
            report.data == expected,
            "the report was made for another nonce, which makes this a replay, or for another manifest",
        )
        check_launch(report, options)
    return manifest


def check_chains(manifest: Manifest, options: argparse.Namespace) -> None:
    """Checks what the manifest says, which is worth what the report vouches for."""
    demand(
        manifest.purpose == "nonce",
        "the evidence is for a question of the gateway's own, not for a nonce that somebody sent",
    )
    demand(bool(manifest.chains), "the evidence is about no chain")
    if options.chain is not None:
        names = [chain.name for chain in manifest.chains]
        demand(names == [options.chain], f"the evidence is about {', '.join(names)}, not {options.chain} alone")
    accepted = [digest.hex() for digest in options.expect_digest]
    tls_key = None
    if options.tls_certificate is not None:
        key = read_certificate(read(options.tls_certificate, 16 * 1024)).public_key()
        tls_key = hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()
    for chain in manifest.chains:
        demand(
            not accepted or chain.digest in accepted,
            f"chain {chain.name} has the digest {chain.digest}, which is not expected",
        )
        demand(
            tls_key is None or chain.tls_key == tls_key,
            f"the gateway of chain {chain.name} has another TLS key than the certificate",
        )


def describe(manifest: Manifest) -> None:
    print(f"platform {manifest.platform}, trusting the {manifest.trust}; monitor {manifest.monitor_version}")
    print("layers in force:", ", ".join(name for name, enforced in manifest.layers.items() if enforced))
    for chain in manifest.chains:
        print(f"chain {chain.name} {chain.version}, digest {chain.digest}")
        for name, (kind, measurement, logs) in chain.members.items():
            print(f"  {kind} {name}: {measurement}, logs {logs}")


def main() -> int:
    options = arguments()
    try:
        content = read(options.evidence, EVIDENCE_BYTES_MAX)
        if options.bare:
            report = Report(content)
            generation = check_snp(report, [], options)
            demand(options.nonce in (None, report.data), "the report was made for other report data")
            if options.launch:
                check_launch(report, options)
            print(f"verified: a report of {generation}, launched with {report.measurement}")
        else:
            evidence = read_evidence(content)
            manifest = check_evidence(evidence, options)
            check_chains(manifest, options)
            print(f"verified: {evidence.kind}")
            describe(manifest)
    except (Refused, OSError) as reason:
        print(f"refused: {reason}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
