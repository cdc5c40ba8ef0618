"""The plan is balanced, seeded, and made of names: properties over shapes of sweeps."""

from collections import Counter, defaultdict
from dataclasses import replace
from itertools import pairwise

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from raysweep.config import parse
from raysweep.errors import InputError
from raysweep.plan import Arm, make_plan
from raysweep.plan.order import rotation
from support.plan_samples import make_sweep, make_tasks

shapes = st.fixed_dictionaries(
    {
        "n_models": st.integers(1, 3), "n_bands": st.integers(1, 4), "n_buckets": st.integers(1, 6),
        "dates": st.integers(1, 4), "per_date": st.integers(1, 3), "seed": st.integers(0, 2**40),
    }
)  # fmt: skip
few = settings(max_examples=40, deadline=None)


@few
@given(shapes, st.integers(1, 12))
def test_balance(shape, n_tasks):
    sweep, tasks = make_sweep(**shape), make_tasks(n_tasks)
    plan = make_plan(sweep, tasks)
    arms = {Arm(f"m{m}", f"{b + 1}x") for m in range(shape["n_models"]) for b in range(shape["n_bands"])}
    cells = Counter((b.task, b.bucket, b.date) for b in plan.blocks)
    assert len(cells) == n_tasks * shape["n_buckets"] * shape["dates"]
    assert set(cells.values()) == {shape["per_date"]}, "every task equally often in every bucket on every date"
    repeats = defaultdict(list)
    for block in plan.blocks:
        assert {t.arm for t in block.trials} == arms, "a block holds every arm"
        assert [t.position for t in block.trials] == list(range(len(arms)))
        assert {t.block_id for t in block.trials} == {block.block_id}
        repeats[block.task, block.bucket].append(block.repeat)
    assert {tuple(sorted(r)) for r in repeats.values()} == {tuple(range(1, sweep.repeats + 1))}
    ids = [t.trial_id for b in plan.blocks for t in b.trials] + [b.block_id for b in plan.blocks]
    assert len(set(ids)) == len(ids) == plan.trials + len(plan.blocks)


@few
@given(shapes, st.integers(1, 12))
def test_order_of_blocks(shape, n_tasks):
    sweep = make_sweep(**shape)
    plan = make_plan(sweep, make_tasks(n_tasks))
    keys = [(b.date, sweep.bucket_names.index(b.bucket), b.order) for b in plan.blocks]
    assert keys == sorted(set(keys))
    occasions = defaultdict(list)
    for block in plan.blocks:
        occasions[block.date, block.bucket].append(block)
    for blocks in occasions.values():
        assert [b.order for b in blocks] == list(range(n_tasks * shape["per_date"]))
        for start in range(0, len(blocks), n_tasks):  # cut short, an occasion lost the same from every task
            assert len({b.task for b in blocks[start : start + n_tasks]}) == n_tasks


@few
@given(shapes)
def test_every_trial_has_a_seed_of_its_own(shape):
    plan = make_plan(make_sweep(**shape), make_tasks(3))
    found = [trial.seed for block in plan.blocks for trial in block.trials]
    assert len(set(found)) >= len(found) - 1, "31 bits rarely collide"


@few
@given(shapes, st.randoms(use_true_random=False))
def test_the_order_of_entries_and_keys_does_not_matter(shape, random):
    sweep, tasks = make_sweep(**shape), make_tasks(5)
    data = yaml.safe_load(sweep.source_text)
    for section in ("models", "bands"):
        random.shuffle(data[section])
    windows = list(data["buckets"]["windows"].items())
    random.shuffle(windows)
    data["buckets"]["windows"] = dict(windows)
    shuffled = parse(yaml.safe_dump(dict(reversed(data.items())), sort_keys=False))
    random.shuffle(tasks)
    assert make_plan(shuffled, tasks) == make_plan(sweep, make_tasks(5))


@few
@given(shapes, st.integers(2, 6))
def test_what_is_added_leaves_the_ids_and_seeds_of_the_rest(shape, n_tasks):
    small = make_plan(make_sweep(**shape), make_tasks(n_tasks))
    larger = {**shape, "n_models": shape["n_models"] + 1, "n_bands": shape["n_bands"] + 1}
    large = make_plan(make_sweep(**larger), make_tasks(n_tasks + 1))

    def facts(plan):
        return {
            (b.task, b.repeat, b.bucket, b.date, t.arm): (b.block_id, t.trial_id, t.seed, t.request, t.limit)
            for b in plan.blocks
            for t in b.trials
        }

    assert facts(small).items() <= facts(large).items()
    assert small.plan_id != large.plan_id


def test_the_seed_and_the_name_make_another_plan():
    tasks = make_tasks(6)
    base, other = make_plan(make_sweep(seed=1), tasks), make_plan(make_sweep(seed=2), tasks)
    ids = [{t.trial_id for b in plan.blocks for t in b.trials} for plan in (base, other)]
    assert not ids[0] & ids[1]
    orders = [[b.task for b in plan.blocks] for plan in (base, other)]
    assert orders[0] != orders[1]
    renamed = make_plan(make_sweep(name="another"), tasks)
    assert not ids[0] & {t.trial_id for b in renamed.blocks for t in b.trials}


@pytest.mark.parametrize(
    "change",
    [
        {"bands": [{"name": "1x", "limit": 1}, {"name": "2x", "limit": 2}, {"name": "3x", "limit": 3.5}]},
        {"models": [{"name": "m0", "agent": "nop"}, {"name": "m1", "agent": "nop", "depth": 2}]},
        {"models": [{"name": "m0", "agent": "nop"}, {"name": "m1", "agent": "oracle"}]},
    ],
)
def test_plan_id_holds_what_the_other_ids_do_not(change):
    tasks = make_tasks(4)
    base, other = make_plan(make_sweep(), tasks), make_plan(make_sweep(**change), tasks)
    assert [b.block_id for b in base.blocks] == [b.block_id for b in other.blocks]
    assert base.plan_id != other.plan_id


def test_plan_id_holds_the_contents_of_tasks():
    tasks = make_tasks(4)
    edited = [replace(tasks[0], digest="sha256:edited"), *tasks[1:]]
    assert make_plan(make_sweep(), tasks).plan_id != make_plan(make_sweep(), edited).plan_id


def test_ids_are_the_same_on_every_machine_and_version():
    """Pinned: a change of these breaks the resumption of every run that is under way."""
    plan = make_plan(make_sweep(), make_tasks(2))
    first = plan.blocks[0]
    assert (plan.plan_id, first.block_id, first.trials[0].trial_id, first.trials[0].seed) == PINNED


PINNED = ("p3a15e67e3981", "bd6a080e5b99c", "t8d9d45cd1c10", 207319714)


@given(st.integers(1, 40), st.integers(0, 100), st.integers(0, 20))
def test_rotation_moves_a_task_through_every_place(n, turn, bucket):
    within = [rotation(n, turn + k, bucket) for k in range(n)]
    assert sorted(within) == list(range(n)), "n passes of one bucket: n different places"
    across = [rotation(n, turn, bucket + k) for k in range(n)]
    assert sorted(across) == list(range(n)), "n buckets at one turn: n different places"


def test_arms_are_shuffled_evenly_within_blocks():
    """1,200 blocks of 6 arms: each place of each arm near 200; chi-square with 25 degrees of freedom."""
    plan = make_plan(make_sweep(n_buckets=5, dates=4, per_date=6), make_tasks(10))
    places = Counter((t.arm.key, t.position) for b in plan.blocks for t in b.trials)
    expected = len(plan.blocks) / 6
    chi_square = sum((n - expected) ** 2 / expected for n in places.values())
    assert len(places) == 36
    assert chi_square < 52.6, "the 0.1 % point"
    follows = Counter((a.arm.key, b.arm.key) for block in plan.blocks for a, b in pairwise(block.trials))
    assert len(follows) == 30, "every arm comes after every other"


def test_without_buckets():
    plan = make_plan(make_sweep(buckets=None, repeats=4), make_tasks(3))
    assert {(b.bucket, b.date) for b in plan.blocks} == {("all", 1)}
    assert len(plan.blocks) == 12


def test_no_tasks_and_two_of_one_name_are_refused():
    with pytest.raises(InputError, match="no task is left"):
        make_plan(make_sweep(), [])
    with pytest.raises(InputError, match="two tasks have this name"):
        make_plan(make_sweep(), [*make_tasks(2), *make_tasks(1)])
