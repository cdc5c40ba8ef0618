"""plan.parquet: the ledger's names and types, and nothing lost on the way there and back."""

import io

import pyarrow.parquet as pq
import pytest

from raysweep.plan import Plan, make_plan
from raysweep.plan.table import COLUMNS, images_from_table, plan_rows, plan_table
from raysweep.record.schema import arrow_schema
from support.plan_samples import make_sweep, make_tasks
from support.plan_tables import plan_from_table

BANDS = [
    {"name": "1x", "limit": 1},
    {"name": "memory", "limit": {"memory": 5, "cpu": "none"}},
    {"name": "uncapped", "limit": "none"},
]


@pytest.mark.parametrize("change", [{}, {"bands": BANDS}, {"buckets": None, "repeats": 3}])
def test_there_and_back_through_parquet(change):
    sweep, tasks = make_sweep(**change), make_tasks(5)
    plan = make_plan(sweep, tasks)
    buffer = io.BytesIO()
    pq.write_table(plan_table(plan, sweep, tasks), buffer)
    buffer.seek(0)
    table = pq.read_table(buffer)
    assert plan_from_table(table) == plan
    assert plan_from_table(table.drop_columns(["agent_timeout_s"])) == plan, "plans of older versions lack it"


def test_columns_have_the_names_and_types_of_the_ledger():
    sweep, tasks = make_sweep(), make_tasks(2)
    schema, ledger = plan_table(make_plan(sweep, tasks), sweep, tasks).schema, arrow_schema()
    assert schema.names == list(COLUMNS)
    own = [name for name in schema.names if name not in ledger.names]
    assert own == ["date", "order", "image", "image_digest"]
    assert all(schema.field(n).type == ledger.field(n).type for n in schema.names if n not in own)


def test_images_there_and_back():
    sweep, tasks = make_sweep(), make_tasks(3)
    given = {"task1": ("python:3.12", "sha256:" + "a" * 64), "task2": ("localhost/task:dev", None)}
    table = plan_table(make_plan(sweep, tasks), sweep, tasks, given)
    assert images_from_table(table) == {**dict.fromkeys((t.name for t in tasks), (None, None)), **given}
    assert plan_from_table(table) == make_plan(sweep, tasks)
    older = table.drop_columns(["image", "image_digest"])
    assert images_from_table(older) == {}
    assert plan_from_table(older) == make_plan(sweep, tasks)


def test_a_row():
    sweep, tasks = make_sweep(bands=BANDS), make_tasks(2)
    plan = make_plan(sweep, tasks)
    rows = list(plan_rows(plan, sweep, tasks))
    assert len(rows) == plan.trials
    row = next(r for r in rows if r["band"] == "memory" and r["task"] == "task1")
    some = ("task_digest", "agent", "limit_cpu_mult", "limit_cpu_asked", "limit_memory_mult", "limit_memory_asked")
    assert [row[k] for k in some] == ["sha256:1", "nop", None, None, 5.0, 5 * 64 * 2**20]
    assert (row["request_storage_mult"], row["request_storage_asked"]) == (1.0, 2**30)
    assert row["agent_timeout_s"] == 10
    assert row["plan_id"] == plan.plan_id


def test_an_empty_table_is_an_empty_plan():
    sweep, tasks = make_sweep(), make_tasks(1)
    table = plan_table(make_plan(sweep, tasks), sweep, tasks)
    assert plan_from_table(table.slice(0, 0)) == Plan("", ())
