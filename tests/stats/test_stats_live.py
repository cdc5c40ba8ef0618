"""A look at a sweep that goes on gives the report's own numbers for the same rows, and never without a label."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from raysweep.stats import analyse
from raysweep.stats.live import COLUMNS, EMPTY, Rows, snapshot
from raysweep.stats.simulate import SimArm, Truth, draw, tables_of

ARMS = (SimArm("m", "1x", 0.45, 0.2, 1.0), SimArm("m", "3x", 0.5, 0.02, 3.0), SimArm("m", "uncapped", 0.5, 0.01, None))
TRUTH = Truth(ARMS, tasks=25, repeats=2, buckets=("day", "night"), dates=4)


@pytest.fixture(scope="module")
def tables():
    rng = np.random.default_rng(5)
    return tables_of(TRUTH, draw(TRUTH, rng), rng)


def until(table, dates):
    """The attempts of the first dates."""
    return table.filter(pc.is_in(table["occasion"], pa.array(TRUTH.date_labels[:dates])))


def taken(table, size=37):
    """The table as it comes from segments."""
    rows = Rows()
    for begin in range(0, len(table), size):
        rows.add(table.slice(begin, size))
    return rows.table().append_column("is_final", table["is_final"])


def key(f):
    return (f.estimand, f.model, f.arm, f.reference, f.facet, f.resampled_over)


@pytest.mark.parametrize("looks", [0, 2])
def test_the_numbers_are_those_of_the_report(tables, looks):
    table, planned = tables
    design = TRUTH.design(looks=looks)
    for dates in (2, 4):
        some = until(table, dates)
        found = snapshot(taken(some), planned, design, len(some))
        report = {key(f): f for f in analyse(some, planned, design=design).findings if f.bucket is None}
        assert len(found.findings) == 3 + 2 + 3 * 2 + 2 + (2 * (dates // 2) if looks else 0)
        for f in found.findings:
            assert f == report[key(f)]


def test_rows_are_kept_in_the_columns_of_a_look_only(tables):
    rows = Rows()
    for begin in range(0, 900, 9):
        rows.add(tables[0].slice(begin, 9))
    assert len(rows) == 900
    assert tuple(rows.table().column_names) == COLUMNS
    assert rows.table().to_pylist() == tables[0].slice(0, 900).select(COLUMNS).to_pylist()


@pytest.mark.parametrize(
    ("dates", "looks", "code"),
    [(1, 0, "peek"), (4, 0, "final"), (1, 2, "peek"), (2, 2, "look"), (4, 2, "looks")],
)
def test_every_look_has_a_label(tables, dates, looks, code):
    some = until(tables[0], dates)
    found = snapshot(taken(some), tables[1], TRUTH.design(looks=looks), len(some))
    assert found.label.code == code
    assert found.complete == (dates == 4)
    assert found.findings


def test_a_sweep_that_is_over_and_lacks_trials_says_so(tables):
    table, planned = tables
    first = table.slice(0, 1).to_pylist()[0]
    first |= {"outcome": "infra", "cause": "node_lost", "cause_class": "platform", "reward": None}
    lost = pa.concat_tables([pa.Table.from_pylist([first], table.schema), table.slice(1)])
    found = snapshot(taken(lost), planned, TRUTH.design(), len(lost) - 1)
    assert (found.label.code, found.complete, found.stopped) == ("ended", False, False)


def test_the_registered_rule_is_told():
    truth = replace(TRUTH, arms=(SimArm("m", "1x", 0.2, 0.0, 1.0), SimArm("m", "3x", 0.8, 0.0, 3.0)), tasks=40)
    rng = np.random.default_rng(1)
    table, planned = tables_of(truth, draw(truth, rng), rng)
    some = until(table, 2)
    found = snapshot(taken(some), planned, truth.design(looks=2), len(some))
    assert (found.label.code, found.stopped) == ("stopped", True)


def test_before_the_first_attempt_there_is_nothing_to_say(tables):
    for table in (None, tables[0].slice(0, 0)):
        found = snapshot(table, tables[1], TRUTH.design(), 0)
        assert (found.label, found.findings, found.planned) == (EMPTY, (), len(tables[1]))
