"""What the documents name is there: links, anchors, scripts and test files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
LINK = re.compile(r"\]\(([^)\s]+)\)")
QUOTED = re.compile(r"`([^`\n]+)`")


def anchors(path):
    """The anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_relative_link_leads_somewhere(path):
    for link in LINK.findall(path.read_text()):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


def test_what_contributing_tells_to_run_is_there():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    words = [quoted.split()[0] for quoted in QUOTED.findall(text)]
    files = [word for word in words if word.startswith(("scripts/", ".ci/"))]
    assert files
    assert [name for name in files if not (ROOT / name).is_file()] == []


def test_the_tests_that_security_names_are_there():
    names = [q for q in QUOTED.findall((ROOT / "SECURITY.md").read_text()) if q.endswith(".py")]
    assert names
    assert [name for name in names if not (ROOT / "raysweep/testing" / name).is_file()] == []


@pytest.mark.parametrize("marker", ["sandbox", "docker", "cluster", "disruptive", "ray"])
def test_the_markers_of_contributing_are_those_of_pytest(marker, pytestconfig):
    assert f"| `{marker}` |" in (ROOT / "CONTRIBUTING.md").read_text()
    assert any(line.startswith(f"{marker}:") for line in pytestconfig.getini("markers"))
