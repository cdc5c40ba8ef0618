"""What is told of superseded attempts and of blocks that lack trials."""

from __future__ import annotations

import pyarrow as pa

from raysweep.record.reader import with_is_final
from raysweep.record.reruns import Lacking, named, reruns, sentence
from raysweep.stats.findings.reruns import checks

PLANNED = pa.Table.from_pylist([
    {"block_id": b, "trial_id": f"{b}{t}", "task": f"task-{b}", "repeat": 2, "bucket": "night", "date": 3}
    for b in ("b1", "b2", "b3")
    for t in ("x", "y")
])  # fmt: skip


def row(block, arm, attempt=1, run=1, cause=None):
    return {
        "block_id": block, "trial_id": block + arm, "block_run": run, "attempt": attempt, "cause": cause,
        "outcome": "infra" if cause else "scored", "cause_class": "platform" if cause else None,
    }  # fmt: skip


def table(*rows):
    schema = pa.schema([
        *((c, pa.string()) for c in ("block_id", "trial_id", "cause", "outcome", "cause_class")),
        ("block_run", pa.int64()), ("attempt", pa.int64()),
    ])  # fmt: skip
    return with_is_final(pa.Table.from_pylist(list(rows), schema=schema), PLANNED)


def test_nothing_is_told_where_every_attempt_counts():
    found = reruns(table(row("b1", "x"), row("b1", "y")))
    assert (found.retried, found.superseded, found.again, found.lacking) == (0, 0, 0, ())
    assert sentence(found) is None
    assert list(checks(table(row("b1", "x")), PLANNED)) == []
    assert list(checks(table(), PLANNED)) == []


def test_retries_and_earlier_runs_are_counted_apart():
    told = table(
        row("b1", "x", cause="image"), row("b1", "x", 2), row("b1", "y"),
        row("b2", "x"), row("b2", "y", cause="node_lost"), row("b2", "y", 2, cause="node_lost"),
        row("b2", "x", 2, run=2), row("b2", "y", 3, run=2, cause="image"), row("b2", "y", 4, run=2),
    )  # fmt: skip
    found = reruns(told)
    assert (found.retried, found.superseded, found.again) == (2, 3, 1)
    assert found.lacking == ()
    (check,) = checks(told, PLANNED)
    assert (check.code, check.status) == ("superseded", "note")
    assert "5 attempts are superseded: 2 were retried" in check.message
    assert "3 belong to earlier runs of 1 block that was later repeated" in check.message


def test_a_block_that_lacks_trials_is_named_with_its_last_run_and_why():
    told = table(
        row("b1", "x", cause="image"), row("b1", "y"),
        row("b2", "x", cause="node_lost"), row("b2", "y"),
        row("b2", "y", 2, run=2, cause="node_lost"), row("b2", "x", 2, run=2, cause="image"),
        row("b3", "x"), row("b3", "y"),
    )  # fmt: skip
    found = reruns(told)
    assert found.lacking == (
        Lacking("b1", 1, (("image", 1),)), Lacking("b2", 2, (("image", 1), ("node_lost", 1))),
    )  # fmt: skip
    said = named(found.lacking, PLANNED)
    assert said == (
        "task-b1 repeat 2 night date 3 (run 1: 1 image); task-b2 repeat 2 night date 3 (run 2: 1 image, 1 node_lost)"
    )
    warning = next(c for c in checks(told, PLANNED) if c.code == "blocks_lacking")
    assert warning.status == "warning"
    assert said in warning.message


def test_many_are_named_in_part_and_an_unknown_one_by_its_id():
    many = [Lacking(f"z{n:02d}", 1, (("image", 1),)) for n in range(12)]
    said = named(many, PLANNED)
    assert said.startswith("z00 (run 1: 1 image); z01")
    assert said.endswith("z09 (run 1: 1 image), and 2 more")
