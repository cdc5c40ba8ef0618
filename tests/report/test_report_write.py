"""HTML, JSON and terminal say the same; the HTML stands alone."""

from __future__ import annotations

import io
import json
import re
from html.parser import HTMLParser

import pytest
from rich.console import Console

from raysweep.record.probes import COLUMNS
from raysweep.record.schema import to_table
from raysweep.report import print_report, write_report
from raysweep.report.text import interval_text, value_text
from raysweep.stats import Caution, Finding, analyse
from raysweep.stats.facet import Facet
from support import truth

PROVENANCE = {"plan_id": "p-1", "host": "a <b> & c", "command": "raysweep report runs/x"}


@pytest.fixture(scope="module")
def analysis():
    made = truth.rows(truth.QUICKSTART)
    made[5] |= truth.infra("node_lost", "platform")
    return analyse(truth.table(made), truth.planned(made), design=truth.QUICKSTART.design())


class Rows(HTMLParser):
    """Cells of the rows that carry data-finding."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[int, list[str]] = {}
        self.current: int | None = None
        self.cell = False
        self.tags: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        found = dict(attrs)
        if tag == "tr":
            self.current = int(found["data-finding"]) if "data-finding" in found else None
            if self.current is not None:
                self.rows[self.current] = []
        if tag == "td" and self.current is not None:
            self.rows[self.current].append("")
            self.cell = True

    def handle_endtag(self, tag):
        self.cell = self.cell and tag != "td"

    def handle_data(self, data):
        if self.cell and self.current is not None:
            self.rows[self.current][-1] += data


def finding(item):
    item = {k: v for k, v in item.items() if k != "id"}
    known = {"facet": Facet.of(item["facet"]), "warnings": tuple(Caution(**w) for w in item["warnings"])}
    return Finding(**{k: v for k, v in (item | known).items() if k != "unit"})


def test_html_and_json_hold_the_same_numbers(analysis, tmp_path):
    html, js = write_report(analysis, tmp_path, PROVENANCE)
    told = json.loads(js.read_text())
    page = Rows()
    page.feed(html.read_text())
    assert set(told) == {"schema_version", "runs", "verdict", "checks", "findings", "provenance"}
    assert len(page.rows) == len(analysis.findings)
    for i, cells in page.rows.items():
        f = finding(told["findings"][i])
        assert f == analysis.findings[i]
        assert (cells[2], cells[3]) == (value_text(f), interval_text(f))
    assert [s["text"] for s in told["verdict"]] == list(analysis.verdict)
    assert told["provenance"] == PROVENANCE


def test_html_stands_alone_and_escapes(analysis, tmp_path):
    page = write_report(analysis, tmp_path, PROVENANCE)[0].read_text()
    assert not re.search(r"(src|href)\s*=|url\(|@import|https?://|<script|<link", page)
    assert "a &lt;b&gt; &amp; c" in page
    assert "prefers-color-scheme: dark" in page
    order = [page.index(f'id="{s}"') for s in ("verdict", "checks", "contrasts", "composition", "tasks", "time")]
    assert order == sorted(order)
    assert page.index('id="time"') < page.index('id="provenance"')
    assert "raysweep report runs/x" in page


def test_sentences_in_the_page_are_those_of_the_analysis(analysis, tmp_path):
    page = write_report(analysis, tmp_path, PROVENANCE)[0].read_text()
    text = re.sub(r"<[^>]+>", "", page)
    for sentence in analysis.verdict:
        assert sentence in text


def test_every_drawn_interval_says_how(analysis, tmp_path):
    page = write_report(analysis, tmp_path, PROVENANCE)[0].read_text()
    drawn = re.findall(r'<line class="int" [^>]*y1="16"[^>]*><title>([^<]*)</title>', page)
    assert len(drawn) == 12  # 2 models x 2 bands x 3 estimands
    assert all("95 % interval" in t and "over tasks" in t and "10 tasks" in t for t in drawn)


def test_a_run_without_rows_makes_a_report(tmp_path):
    full = truth.rows(truth.QUICKSTART)
    empty = analyse(truth.table([]), truth.planned(full), design=truth.QUICKSTART.design())
    html, js = write_report(empty, tmp_path, {})
    assert "Nothing can be said" in html.read_text()
    assert json.loads(js.read_text())["checks"][0]["code"] == "empty"


def test_unknown_causes_and_odd_names_are_drawn(tmp_path):
    made = [r | {"task": "a<script>&" + r["task"]} for r in truth.rows(truth.QUICKSTART)]
    made[0] |= truth.infra("brand new cause", "platform")
    page = write_report(
        analyse(truth.table(made), truth.planned(made), design=truth.QUICKSTART.design()), tmp_path, {}
    )[0].read_text()  # fmt: skip
    assert "<script" not in page
    assert ".o-brand-new-cause{" in page


def test_terminal_prints_the_sentences_and_no_colour_when_asked(analysis, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    out = io.StringIO()
    print_report(analysis, Console(file=out, width=300, force_terminal=True))
    text = out.getvalue()
    for sentence in analysis.verdict:
        assert sentence in text
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", text)
    assert "uncapped" in text
    assert "oom" not in text or "OOM" in text


def probed(**changes):
    row = {
        "run_id": "r", "bucket": "all", "occasion": "always", "moment": "before", "t_queued": 1000.0,
        "t_stopped": 1005.0, "held": True, "held_bytes": 50 * truth.MIB,
    }  # fmt: skip
    limited = row | {
        "probe_id": "a", "band": "1x", "limit_memory_asked": 64 * truth.MIB, "limit_cpu_asked": 250, "killed": True,
        "own_limit": True, "kill_s": 0.125, "kill_of": "process", "past_bytes": 70 * truth.MIB, "cpu_used_s": 0.75,
        "cpu_wall_s": 3.0, "nr_throttled": 30,
    } | changes  # fmt: skip
    free = row | {"probe_id": "b", "band": "uncapped", "held_bytes": 240 * truth.MIB}
    made = truth.rows(truth.QUICKSTART)
    probes = to_table([limited, free], COLUMNS)
    return analyse(truth.table(made), truth.planned(made), design=truth.QUICKSTART.design(), probes=probes)


def printed(analysis):
    out = io.StringIO()
    print_report(analysis, Console(file=out, width=300))
    return out.getvalue()


def test_limits_as_measured_have_a_table_in_page_and_terminal(analysis, tmp_path):
    measured = probed()
    page = write_report(measured, tmp_path, {})[0].read_text()
    section = re.sub(r"<[^>]+>", " ", page[page.index('id="limits"') : page.index('id="composition"')])
    for said in ("just past the memory limit: killed by it", "0.125 s", "240Mi lived in 1 of 1"):
        assert said in section or said in page
    (line,) = (line for line in printed(measured).splitlines() if "seconds to the kill, median" in line)
    assert re.sub(r"\s+", " ", line.strip()) == "1x seconds to the kill, median 0.125 s between 0.125 s and 0.125 s 1"
    told = json.loads((tmp_path / "report.json").read_text())
    assert {f["estimand"] for f in told["findings"] if f["facet"] and f["facet"]["kind"] == "probe"} == {
        "probe_memory_held", "probe_memory_killed", "probe_kill_seconds", "probe_cpu_of_limit", "probe_uncapped_held",
    }  # fmt: skip
    assert "Limits as measured" not in printed(analysis)


def test_what_was_not_enforced_is_said_first(tmp_path):
    broken = probed(killed=False, own_limit=None, kill_s=None, kill_of=None)
    page = write_report(broken, tmp_path, {})[0].read_text()
    first = "Not enforced: 1x: 1 of 1 probes held 70Mi past a memory limit of 64Mi: it was not enforced."
    assert json.loads((tmp_path / "report.json").read_text())["verdict"][0]["text"] == first
    assert first.removeprefix("Not enforced: ") in page
    text = printed(broken)
    assert text.strip().startswith(first)
    assert "memory limits were seen to kill" not in text
