"""Run directories of earlier versions are read for ever, with the findings that they had."""

from __future__ import annotations

import json
import lzma
import tarfile
from pathlib import Path

import pytest

from raysweep.record.reader import read_ledger
from raysweep.stats import analyse
from raysweep.study.sources import design_of

LEDGERS = Path(__file__).parent / "ledgers"
KINDS = ("simulated", "local", "docker", "kubernetes")


@pytest.fixture(params=KINDS)
def old(request, tmp_path):
    """(run directory, what its report said)."""
    with tarfile.open(LEDGERS / f"{request.param}.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path, json.loads(lzma.decompress((LEDGERS / f"{request.param}.json.xz").read_bytes()))


def findings_of(path, columns):
    view = read_ledger(path)
    analysis = analyse(view.table, view.planned, design=design_of(view), probes=view.probes)
    found = [[getattr(finding, name) for name in columns] for finding in (*analysis.findings, *analysis.details)]
    return found, [[check.code, str(check.status)] for check in analysis.checks]


def test_an_old_run_directory_gives_the_findings_that_it_gave(old):
    path, said = old
    findings, checks = findings_of(path, said["columns"])
    known = {json.dumps(row) for row in findings}
    assert [row for row in said["findings"] if json.dumps(row) not in known] == []
    assert [check for check in said["checks"] if check not in checks] == []


def test_the_old_ledgers_hold_what_makes_them_worth_keeping():
    """Of all kinds together: retries, own-limit deaths, merged files beside their parts, two writers, probes."""
    seen = set()
    for kind in KINDS:
        with tarfile.open(LEDGERS / f"{kind}.tar.xz") as archive:
            names = archive.getnames()
        seen |= {part for part in ("merged-", "epoch-0002", "probes/") if any(part in name for name in names)}
    assert seen == {"merged-", "epoch-0002", "probes/"}
