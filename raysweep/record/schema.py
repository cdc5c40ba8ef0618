"""The row of the ledger: one per attempt. The only list of columns; docs, writer, reader and reports use it.

`timing` marks columns that may differ between two runs of one sweep with one seed (clocks, load, hardware): all
other columns of a simulated sweep are the same bits whatever the concurrency.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import pyarrow as pa

SCHEMA_VERSION = 2
Row: TypeAlias = dict[str, Any]
"""Column name to value; times are seconds since the epoch until they are written; a missing column is null."""


@dataclass(frozen=True, slots=True)
class Column:
    """`type`: text, int, float, bool, time (UTC microseconds) or map (text to text). doc: meaning and unit."""

    name: str
    type: str
    doc: str
    timing: bool = False


def _band_columns() -> list[Column]:
    columns = []
    for side in ("request", "limit"):
        for resource, unit in (("cpu", "millicores"), ("memory", "bytes"), ("storage", "bytes")):
            columns.append(Column(f"{side}_{resource}_mult", "float", "multiplier of the band; null = none"))
            for stage, doc in (
                ("asked", "multiplier x spec"),
                ("admitted", "read back after creation"),
                ("actual", "read back at the end"),
            ):
                columns.append(Column(f"{side}_{resource}_{stage}", "int", f"{unit}, {doc}; null = none"))
    return columns


PHASES = ("setup", "agent", "verifier")

COUNTERS: tuple[Column, ...] = (
    Column("oom_kills", "int", "processes killed by any OOM killer"),
    Column("mem_peak_bytes", "int", "high-water mark, page cache included", timing=True),
    Column("mem_anon_peak_bytes", "int", "largest sampled anon + shmem", timing=True),
    Column("cpu_peak_1s", "float", "largest mean over 1 s, millicores", timing=True),
    Column("cpu_peak_10s", "float", "largest mean over 10 s, millicores", timing=True),
    Column("throttled_us", "int", "time throttled by the cpu quota", timing=True),
    Column("nr_throttled", "int", "periods throttled", timing=True),
    Column("pids_peak", "int", "largest number of tasks", timing=True),
    Column("pids_denied", "int", "forks refused at the limit", timing=True),
    Column("disk_full", "bool", "the sandbox's own bound was found full", timing=True),
    Column("cpu_used_us", "int", "cpu time used", timing=True),
)
"""What is counted in each phase; the names are also those of record.evidence.PhaseCounters."""


def counter_name(phase: str, counter: str) -> str:
    """Column of a counter in a phase; those of the agent phase, which came first, have no prefix."""
    return counter if phase == "agent" else f"{phase}_{counter}"


def _counter_columns(phase: str) -> list[Column]:
    return [replace(c, name=counter_name(phase, c.name), doc=f"{phase} phase: {c.doc}") for c in COUNTERS]


TIMES = ("queued", "created", "ready", "agent_start", "agent_end", "verifier_end", "stopped")

COLUMNS: tuple[Column, ...] = (
    Column("run_id", "text", "the run directory's identity", timing=True),
    Column("plan_id", "text", "digest of the planned trials"),
    Column("block_id", "text", "pairing unit: task, repeat, occasion with every arm"),
    Column("trial_id", "text", "one planned (task, arm, repeat, occasion)"),
    Column("attempt_id", "text", "one execution of a trial"),
    Column("attempt", "int", "1, 2, ... over all block runs of the trial"),
    Column("block_run", "int", "1, 2, ... execution of the whole block"),
    Column("position", "int", "place of the arm within its block"),
    Column("task", "text", "task name"),
    Column("task_digest", "text", "content digest of the task directory"),
    Column("model", "text", "model name of the sweep"),
    Column("agent", "text", "agent kind"),
    Column("band", "text", "band name"),
    Column("factors", "map", "levels of the other swept factors"),
    Column("repeat", "int", "1..repeats within (task, bucket) over all dates"),
    Column("bucket", "text", "planned time-of-day window"),
    Column("actual_bucket", "text", "window in which the attempt started; null outside every window", timing=True),
    Column("occasion", "text", "planned date (or cycle) on which the window opens"),
    Column("actual_occasion", "text", "date (or cycle) on which the actual window opened", timing=True),
    Column("crossed_boundary", "bool", "ended in another window than it started, or started outside", timing=True),
    *_band_columns(),
    *(Column(f"t_{name}", "time", f"wall time of '{name}'", timing=True) for name in TIMES),
    Column("outcome", "text", "scored, infra, agent_error, model_api, verifier_error, cancelled"),
    Column("cause", "text", "cause of infra or model_api; null otherwise"),
    Column("cause_class", "text", "resource (the arm's), platform (retried) or unknown; null where there is no cause"),
    Column("phase", "text", "phase in which it was decided: setup, agent, verifier"),
    Column("detail", "text", "what was seen, for a person", timing=True),
    Column("reward", "float", "reward of the verifier; null when there is none"),
    Column("agent_exit", "int", "exit code of the agent's process; 128 + signal when killed"),
    Column("verifier_exit", "int", "exit code of tests/test.sh (ignored for the score)"),
    *_counter_columns("agent"),
    *_counter_columns("verifier"),
    *_counter_columns("setup"),
    *(Column(f"{phase}_timeout_s", "float", f"{phase} phase: time limit, seconds") for phase in PHASES),
    Column("timed_out", "bool", "the agent ran into its time limit"),
    Column("transport_down_s", "float", "seconds in which the runner could not reach the sandbox", timing=True),
    Column("image_pulled", "bool", "the image was pulled for this attempt; null unknown", timing=True),
    Column("tokens_in", "int", "model tokens read"),
    Column("tokens_out", "int", "model tokens written"),
    Column("tokens_cached", "int", "model tokens read from a cache"),
    Column("cost_usd", "float", "money spent on the model"),
    Column("api_p50_ms", "float", "median latency of model calls", timing=True),
    Column("api_p95_ms", "float", "95th percentile latency of model calls", timing=True),
    Column("api_429", "int", "model calls answered 429", timing=True),
    Column("tokens_cache_write", "int", "model tokens written to a cache"),
    Column("tokens_reasoning", "int", "model tokens written as reasoning, part of tokens_out"),
    Column("api_calls", "int", "model calls, failed ones included", timing=True),
    Column("api_errors", "map", "failed model calls by kind of failure", timing=True),
    Column(
        "api_blocked_s",
        "float",
        "seconds in which failed calls, back-off and queueing kept the agent waiting",
        timing=True,
    ),
    Column("api_waiting_s", "float", "seconds with a model call under way", timing=True),
    Column("api_first_token_p50_ms", "float", "median time to the first token of streams", timing=True),
    Column("api_first_token_p95_ms", "float", "95th percentile of it", timing=True),
    Column("api_tokens_per_s_p50", "float", "median output speed of streams", timing=True),
    Column("api_tokens_per_s_p95", "float", "95th percentile of it", timing=True),
    Column("api_unpriced", "int", "model calls whose cost is unknown, left out of cost_usd", timing=True),
    Column("models_named", "text", "models that answers named, separated by spaces"),
    Column("harness", "text", "program that ran the model, and its version"),
    Column("node", "map", "facts of the node (kernel, cgroup version, cpus, ...)", timing=True),
    Column("enforcement", "map", "what enforced the bounds, as declared and measured", timing=True),
    Column("seed", "int", "the trial's seed"),
    Column("schema_version", "int", "version of this schema"),
)

BY_NAME = {c.name: c for c in COLUMNS}


def arrow_schema() -> pa.Schema:
    """The columns of the ledger as an Arrow schema."""
    return schema_of(COLUMNS)


@cache
def schema_of(columns: tuple[Column, ...]) -> pa.Schema:
    """Columns as an Arrow schema."""
    import pyarrow as pa  # noqa: PLC0415 - the command line starts without pyarrow

    types = {
        "text": pa.string(), "int": pa.int64(), "float": pa.float64(), "bool": pa.bool_(),
        "time": pa.timestamp("us", tz="UTC"), "map": pa.map_(pa.string(), pa.string()),
    }  # fmt: skip
    return pa.schema([pa.field(c.name, types[c.type], metadata={"doc": c.doc}) for c in columns])


def to_table(rows: list[Row], columns: tuple[Column, ...] = COLUMNS) -> pa.Table:
    """Rows as an Arrow table of the schema; KeyError names a column that the schema does not have."""
    import pyarrow as pa  # noqa: PLC0415 - as above

    names = {c.name for c in columns}
    for row in rows:
        unknown = row.keys() - names
        if unknown:
            raise KeyError(f"not columns of the ledger: {sorted(unknown)}")
    arrays = []
    for column, fld in zip(columns, schema_of(columns), strict=True):
        values = [row.get(column.name) for row in rows]
        if column.type == "time":
            values = [None if v is None else round(v * 1e6) for v in values]
            arrays.append(pa.array(values, pa.int64()).cast(fld.type))
        elif column.type == "map":
            values = [None if v is None else sorted((k, str(x)) for k, x in v.items()) for v in values]
            arrays.append(pa.array(values, fld.type))
        else:
            arrays.append(pa.array(values, fld.type))
    return pa.Table.from_arrays(arrays, schema=schema_of(columns))
