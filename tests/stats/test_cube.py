"""The cube against a slow and plain definition, in any order and any chunks; where blocks are placed."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raysweep.record.reader import with_is_final
from raysweep.record.schema import to_table
from raysweep.stats import simulate
from raysweep.stats.columns import SAMPLE, coded, joined, pairs
from raysweep.stats.cube import ArmKey, arm_codes, build_cube, with_labels
from raysweep.stats.endings import endings, outcomes, y_of
from support import truth

STATED = truth.Truth(success={("m", "1x"): 0.5, ("m", "3x"): 0.6}, buckets=("night", "day"), dates=("d1", "d2"))
LOST = truth.infra("node_lost", "platform")


def cube_of(made, plan=None, stated=STATED, **design):
    planned = truth.planned(made if plan is None else plan)
    return build_cube(with_labels(truth.table(made)), with_labels(planned), stated.design(**design))


def cells(cube):
    """Everything a cube says, by names instead of codes."""
    found = {}
    for i, block in enumerate(cube.blocks):
        place = (cube.tasks[cube.task[i]], cube.buckets[cube.bucket[i]], cube.dates[cube.date[i]])
        for j, arm in enumerate(cube.arms):
            values = (cube.y[i, j], cube.q[i, j], bool(cube.present[i, j]), bool(cube.first_platform[i, j]))
            found[block, arm.model, arm.band] = (
                *place, *(None if isinstance(v, float) and math.isnan(v) else v for v in values),
                bool(cube.moved[i]), bool(cube.crossed[i]),
            )  # fmt: skip
    return found


def slow_y(row):
    if row["outcome"] == "infra":
        return 0.0 if row.get("cause_class") == "resource" else None
    if row["outcome"] in {"agent_error", "model_api", "verifier_error"}:
        return 0.0
    return row.get("reward") if row["outcome"] == "scored" else None


def slow_place(planned, rows):
    """(bucket, date, moved, crossed) of one block's final rows."""
    started = set()
    for r in rows:
        if r["actual_bucket"] is None:
            started.add(planned if r["crossed_boundary"] is None else None)
        else:
            started.add((r["actual_bucket"], r["actual_occasion"] or planned[1]))
    if len(started) != 1 or None in started:
        return (*planned, False, True)
    place = started.pop()
    return (*place, place != planned, False)


def slow_cells(made, arms):
    """The definition, block by block."""
    by_block = defaultdict(list)
    for r in made:
        by_block[r["block_id"]].append(r)
    found = {}
    for block, rows in by_block.items():
        final = [r for r in rows if r.get("is_final", True)]
        planned = (rows[0]["bucket"], rows[0]["occasion"])
        bucket, date, moved, crossed = slow_place(planned, final)
        for arm in arms:
            mine = [r for r in rows if (r["model"], r["band"]) == (arm.model, arm.band)]
            kept = [r for r in mine if r in final]
            y = slow_y(kept[0]) if kept else None
            resource = bool(kept) and kept[0]["outcome"] == "infra" and kept[0].get("cause_class") == "resource"
            first = any(r["attempt"] == 1 and r.get("cause_class") == "platform" for r in mine)
            found[block, arm.model, arm.band] = (
                rows[0]["task"], bucket, date, y, None if y is None else float(resource), bool(kept), first, moved,
                crossed,
            )  # fmt: skip
    return found


ENDINGS = [
    {"outcome": "scored", "reward": 1.0}, {"outcome": "scored", "reward": 0.25}, {"outcome": "scored", "reward": None},
    truth.infra("oom_limit", "resource"), truth.infra("oom_node", "resource"), truth.infra("oom_node", "platform"),
    LOST, truth.infra("oom_unknown", "unknown"), {"outcome": "agent_error"}, {"outcome": "model_api"},
    {"outcome": "verifier_error"}, {"outcome": "cancelled"},
]  # fmt: skip


@st.composite
def ledgers(draw):
    """Rows of a few blocks: arms may lack, be tried twice, or start anywhere."""
    base = truth.rows(truth.Truth(success={("m", "1x"): 0.5, ("m", "3x"): 0.5, ("n", "1x"): 0.5}, tasks=1, repeats=1))
    made = []
    for b in range(draw(st.integers(1, 4))):
        place = {"bucket": draw(st.sampled_from(["night", "day"])), "occasion": draw(st.sampled_from(["d1", "d2"]))}
        task = draw(st.sampled_from(["t1", "t2"]))
        for row in draw(st.lists(st.sampled_from(base), min_size=1, max_size=3, unique_by=lambda r: r["trial_id"])):
            attempts = draw(st.integers(1, 2))
            for k in range(1, attempts + 1):
                trial = f"{b}-{row['model']}-{row['band']}"
                made.append(
                    row | place | {"task": task, "block_id": f"b{b}", "trial_id": trial, "attempt_id": f"{trial}-{k}",
                    "attempt": k, "is_final": k == attempts, "reward": None, "cause": None, "cause_class": None,
                    "actual_bucket": draw(st.sampled_from(["night", "day", None])),
                    "actual_occasion": draw(st.sampled_from(["d1", "d2", "d3", None])),
                    "crossed_boundary": draw(st.sampled_from([False, True, None]))} | draw(st.sampled_from(ENDINGS))
                )  # fmt: skip
    return draw(st.permutations(made))


@settings(max_examples=60, deadline=None)
@given(ledgers())
def test_the_cube_is_what_its_definition_says(made):
    cube = cube_of(made)
    assert cells(cube) == slow_cells(made, cube.arms)
    assert cube.tasks == tuple(sorted({r["task"] for r in made}))
    assert cube.not_started == 0


def test_order_of_rows_and_chunks_do_not_matter():
    stated = replace(simulate.STUDY, tasks=9, repeats=13, buckets=("a", "b"), dates=3)
    rng = np.random.default_rng(1)
    table, planned = simulate.tables_of(stated, simulate.draw(stated, rng), rng)
    assert len(table) > SAMPLE
    table, planned = with_labels(table), with_labels(planned)
    straight = build_cube(table, planned, stated.design())
    mixed = table.take(pa.array(rng.permutation(len(table))))
    parts = [mixed.slice(i, 37) for i in range(0, len(mixed), 37)]
    other = build_cube(pa.concat_tables(parts), planned.take(pa.array(rng.permutation(len(planned)))), stated.design())
    assert cells(other) == cells(straight)
    assert (other.arms, other.tasks, other.buckets, other.dates) == (
        straight.arms, straight.tasks, straight.buckets, straight.dates
    )  # fmt: skip


def test_runs_of_equals_and_single_rows_get_the_same_codes():
    rng = np.random.default_rng(2)
    for share in (0.01, 0.9):  # few changes take the way over runs, many do not
        values = np.cumsum(rng.random(3 * SAMPLE) < share) % 50
        text = pa.chunked_array([pa.array([None if v == 7 else f"v{v}" for v in values])])
        codes, names = coded(text)
        assert [names[int(c)].as_py() for c in codes] == ["" if v == 7 else f"v{v}" for v in values]
        assert len(names) == len(names.unique())


def test_planned_arms_tasks_and_blocks_without_a_row_are_seen():
    made = truth.rows(STATED)
    kept = [r for r in made if r["band"] != "3x" and r["task"] != "task-00" and not r["block_id"].endswith("-1")]
    cube = cube_of(kept, made)
    assert cube.arms == (ArmKey("m", "1x"), ArmKey("m", "3x"))
    assert not cube.present[:, 1].any()
    assert "task-00" in cube.tasks
    assert cube.not_started == len({r["block_id"] for r in made}) - len({r["block_id"] for r in kept})
    assert cube_of(kept, []).not_started == 0


def test_no_row_at_all_gives_an_empty_cube_with_the_planned_names():
    made = truth.rows(STATED)
    for planned in (truth.planned(made), truth.planned(made).select([])):
        table = with_labels(truth.table([]))
        cube = build_cube(table, with_labels(planned), STATED.design())
        assert cube.y.shape == (0, len(cube.arms))
        assert len(cube.task) == len(cube.moved) == cube.n_dates(cube.in_bucket(None)) == 0


def test_names_of_blocks_are_a_sequence_of_texts():
    cube = cube_of(truth.rows(STATED))
    assert isinstance(cube.blocks[0], str)
    assert list(cube.blocks[:2]) == [cube.blocks[0], cube.blocks[1]]
    assert len(cube.blocks) == len(set(cube.blocks)) == len(cube.task)


def test_a_cube_made_without_placing_has_moved_nothing():
    stated = replace(simulate.STUDY, tasks=3, repeats=2)
    cube = simulate.cube_of(stated, simulate.draw(stated, np.random.default_rng(3)))
    assert cube.moved.shape == cube.crossed.shape == cube.task.shape
    assert not cube.moved.any()
    assert not cube.crossed.any()


def started(made, block, bands, **where):
    return [r | where if r["block_id"] == block and r["band"] in bands else r for r in made]


BOTH = {"1x", "3x"}


@pytest.mark.parametrize(
    ("bands", "where", "place", "moved", "crossed"),
    [
        (BOTH, {}, ("night", "d1"), False, False),
        (BOTH, {"actual_bucket": "day", "actual_occasion": "d1"}, ("day", "d1"), True, False),
        (BOTH, {"actual_bucket": "night", "actual_occasion": "d9"}, ("night", "d9"), True, False),
        (BOTH, {"actual_bucket": "noon", "actual_occasion": "d2"}, ("noon", "d2"), True, False),
        ({"3x"}, {"actual_bucket": "day", "actual_occasion": "d1"}, ("night", "d1"), False, True),
        ({"3x"}, {"actual_bucket": None, "crossed_boundary": True}, ("night", "d1"), False, True),
        (BOTH, {"actual_bucket": None, "crossed_boundary": True}, ("night", "d1"), False, True),
        (BOTH, {"actual_bucket": None, "crossed_boundary": None}, ("night", "d1"), False, False),
    ],
)
def test_a_block_counts_where_all_its_trials_started(bands, where, place, moved, crossed):
    made = [r | {"actual_occasion": r["occasion"]} for r in truth.rows(STATED)]
    cube = cube_of(started(made, "b000-night-0", bands, **where))
    at = list(cube.blocks).index("b000-night-0")
    assert (cube.buckets[cube.bucket[at]], cube.dates[cube.date[at]]) == place
    assert (bool(cube.moved[at]), bool(cube.crossed[at])) == (moved, crossed)
    assert (cube.moved.sum(), cube.crossed.sum()) == (moved, crossed)
    others = np.arange(len(cube.task)) != at
    plain = cube_of(made)
    assert [cube.buckets[b] for b in cube.bucket[others]] == [plain.buckets[b] for b in plain.bucket[others]]


def test_a_bucket_that_no_block_ran_in_is_none_of_the_cube():
    made = [r | {"actual_bucket": "day", "actual_occasion": r["occasion"]} for r in truth.rows(STATED)]
    cube = cube_of(made)
    assert cube.buckets == ("day",)
    assert cube.moved.sum() == len(cube.task) / 2


def test_a_superseded_attempt_does_not_place_its_block():
    made = [r | {"actual_occasion": r["occasion"]} for r in truth.rows(STATED)]
    early = made[0] | LOST | {"is_final": False, "actual_bucket": None, "crossed_boundary": True}
    again = made[0] | {"attempt": 2, "attempt_id": made[0]["trial_id"] + "-2"}
    cube = cube_of([early, again, *made[1:]])
    assert not cube.crossed.any()
    assert cube.first_platform.sum() == 1


def test_a_block_run_again_counts_by_its_last_complete_run():
    first = truth.rows(truth.Truth(success={("m", "1x"): 1.0, ("m", "3x"): 1.0}, tasks=1, repeats=1))
    again = [
        r | {"attempt": 2, "block_run": 2, "attempt_id": r["trial_id"] + "-2", "reward": 0.0, "actual_bucket": "late"}
        for r in first
    ]
    third = [r | {"attempt": 3, "block_run": 3, "attempt_id": r["trial_id"] + "-3"} | LOST for r in first[:1]]
    plan = truth.planned(first)

    def cube(rows):
        table = with_is_final(to_table([{k: v for k, v in r.items() if k != "is_final"} for r in rows]), plan)
        return build_cube(with_labels(table), with_labels(plan), STATED.design())

    once = cube([first[0], first[1] | LOST])
    assert np.isfinite(once.y).tolist() == [[True, False]]
    twice = cube([first[0], first[1] | LOST, *again])
    assert twice.y.tolist() == [[0.0, 0.0]]
    assert twice.buckets == ("late",)
    assert twice.first_platform.tolist() == [[False, True]]
    thrice = cube([*third, *again, first[0], first[1] | LOST])
    assert cells(thrice) == cells(twice)


def test_levels_of_other_factors_stand_in_brackets():
    made = truth.rows(replace(STATED, tasks=1, repeats=1))[:4]
    levels = [{}, None, {"effort": "high"}, {"effort": "low", "a": None}]
    table = with_labels(to_table([r | {"factors": f} for r, f in zip(made, levels, strict=True)]))
    expected = ["m", "m", "m [effort=high]", "m [a=None, effort=low]"]
    assert table["_model"].to_pylist() == expected
    assert with_labels(pa.concat_tables([table.slice(1), table]).drop_columns("_model"))["_model"].to_pylist() == (
        expected[1:] + expected
    )
    assert with_labels(to_table(made).drop_columns("factors"))["_model"].to_pylist() == ["m"] * 4


def test_maps_of_a_slice_are_those_of_its_rows():
    kind = pa.map_(pa.string(), pa.string())
    maps = pa.chunked_array([pa.array([[("a", "1")], None, [("b", None), ("c", "3")]], kind)[1:], pa.array([[]], kind)])
    keys, values = pairs(maps)
    assert (keys.to_pylist(), values.to_pylist()) == (["b", "c"], [None, "3"])
    assert joined(maps).to_pylist() == ["", "b=, c=3", ""]
    assert pairs(pa.chunked_array([], kind))[0].to_pylist() == []


def test_rows_of_an_arm_that_is_none_of_the_cube_get_no_column():
    made = with_labels(truth.table(truth.rows(STATED)[:2]))
    assert arm_codes(made, [ArmKey("m", "3x")]).tolist() == [-1, 0]


@pytest.mark.parametrize("ending", ENDINGS)
def test_y_and_q_agree_with_each_other_and_with_the_rules(ending):
    row = truth.rows(STATED)[0] | {"reward": None, "cause": None, "cause_class": None} | ending
    table = truth.table([row])
    end, (code, names) = endings(table), outcomes(table)
    assert y_of(table).to_pylist() == [slow_y(row)]
    assert end.resource.tolist() == ([0] if row["cause_class"] == "resource" else [])
    assert end.platform.tolist() == ([0] if row["cause_class"] == "platform" else [])
    assert np.isnan(end.q[0]) == np.isnan(end.y[0])
    expected = {1.0: "pass", 0.25: "partial", None: "no reward"}.get(row["reward"], "fail")
    assert names[code[0]] == (expected if row["outcome"] == "scored" else row["cause"] or row["outcome"])


def test_p_is_q_and_c_exactly_whatever_is_missing():
    made = [r | ENDINGS[i % len(ENDINGS)] for i, r in enumerate(truth.rows(STATED))]
    cube = cube_of([{"reward": None} | r for r in made])
    known = np.isfinite(cube.y)
    assert np.array_equal(known, np.isfinite(cube.q))
    p, q = cube.y[known].mean(), cube.q[known].mean()
    assert p == pytest.approx((1 - q) * cube.y[known & (cube.q == 0)].mean())


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0, 1), st.floats(0, 1))
def test_task_means_are_those_of_the_rows_with_a_value(seed, share, known):
    rng = np.random.default_rng(seed)
    stated = replace(simulate.STUDY, tasks=5, repeats=4, buckets=("a", "b"))
    cube = simulate.cube_of(stated, simulate.draw(stated, rng))
    rows, values = rng.random(len(cube.task)) < share, rng.normal(size=len(cube.task))
    values[rng.random(len(values)) >= known] = np.nan
    means, counts = cube.task_means(values, rows)
    for code, (mean, count) in enumerate(zip(means, counts, strict=True)):
        mine = [v for v, t, r in zip(values, cube.task, rows, strict=True) if t == code and r and not math.isnan(v)]
        assert count == len(mine)
        assert math.isnan(mean) if not mine else mean == pytest.approx(np.mean(mine))
