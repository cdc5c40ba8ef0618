"""How a run measured: the fields in which two runs must be alike before their scores may be compared.

Belongs here: reading those fields from a run directory, telling where two differ. Does not: the scores themselves.
A value is plain data, compared by equality; None is unknown, which no run may share with another.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from raysweep.errors import InputError, Problem
from raysweep.record.reader import LedgerView
from raysweep.record.run_facts import RunFacts
from raysweep.stats.findings.probes import measure

Methodology: TypeAlias = Mapping[str, Any]

FIELDS = {
    "sandbox": "kind of sandbox",
    "qos": "class of service that the platform gave",
    "agent": "agent of the compared model",
    "task_digest": "content of the common tasks",
    "multipliers": "request and limit of the common bands, as multipliers of the spec",
    "specs": "cpu, memory and storage asked for by each common task at each common band",
    "enforcement.memory": "what held the memory limit",
    "enforcement.cpu": "what held the cpu limit",
    "enforcement.pids": "what held the number of processes",
    "enforcement.disk": "what held the storage limit",
    "enforcement.oom": "what an OOM kill ends: one process, or all of the sandbox (memory.oom.group)",
    "enforcement.probes": "limits of the common bands that probes found not to hold",
    "cgroup": "version of the cgroups that enforced",
    "machine": "processor architecture",
    "timezone": "zone of the time-of-day buckets",
    "buckets": "time-of-day buckets",
    "bucket_hours": "hours of the buckets, and the length of their period",
    "concurrency": "most trials at once",
    "pids": "most processes inside a sandbox",
    "network": "which tasks have network",
}
"""Names for `--assume-comparable`, and what they mean."""
OPTIONAL = ("qos", "concurrency", "pids", "network")
"""Fields that count only where either run states them."""
NOTED = ("raysweep", "kernel", "cpus", "memory_bytes", "system")
"""Facts of the environment whose difference is reported and refuses nothing."""
RESOURCES = ("cpu", "memory", "storage")


@dataclass(frozen=True, slots=True)
class Difference:
    """A field in which two runs are not known to be alike; a and b say what each has."""

    field: str
    a: str
    b: str

    def __str__(self) -> str:
        return f"{self.field} ({self.a} / {self.b})"


def methodology(
    view: LedgerView, model: str | Sequence[str], tasks: Sequence[str], bands: Sequence[str]
) -> Methodology:
    """The fields of FIELDS for one model of a run (or several), on the tasks and bands that are compared.

    model: as in the ledger's column `model`. Only run.json, environment.json, plan.parquet and the ledger
    are read: what they do not say is None.
    """
    facts, planned = view.facts, _of(view.planned, model, tasks, bands)
    rows = _of(view.table.select(["model", "task", "band", "enforcement", "node"]), model, tasks, bands)
    return {
        "sandbox": facts.sandbox,
        "agent": _uniques(planned, "agent"),
        "task_digest": _by(planned, ("task",), ("task_digest",), null=None),
        "multipliers": _by(planned, ("band",), _columns("mult")),
        "specs": _by(planned, ("task", "band"), _columns("asked")),
        **{f"enforcement.{k}": _stated(rows, "enforcement", k) for k in ("memory", "cpu", "pids", "disk", "oom")},
        "enforcement.probes": _not_held(view.probes, bands),
        "cgroup": _stated(rows, "node", "cgroup") or _known(view.environment.get("cgroup")),
        "machine": _stated(rows, "node", "machine") or _known(view.environment.get("machine")),
        "timezone": facts.timezone,
        "buckets": list(facts.buckets),
        "bucket_hours": _hours(facts),
        "qos": _stated(rows, "node", "qos_class"),
        "concurrency": facts.concurrency,
        "pids": facts.pids,
        "network": facts.network,
    }


def differences(a: Methodology, b: Methodology) -> tuple[Difference, ...]:
    """Fields that differ, or that are unknown in either run, in the order of FIELDS."""
    return tuple(_differences(a, b))


def _differences(a: Methodology, b: Methodology) -> Iterator[Difference]:
    for name in FIELDS:
        one, two = a.get(name), b.get(name)
        if one == two and (one is not None or name in OPTIONAL):
            continue
        if isinstance(one, Mapping) and isinstance(two, Mapping):
            apart = [key for key in sorted({*one, *two}) if one.get(key) != two.get(key)]
            more = f", and {len(apart) - 1} more differ" if len(apart) > 1 else ""
            first, second = _text(one.get(apart[0])), _text(two.get(apart[0]))
            yield Difference(name, f"{apart[0]}: {first}", f"{second}{more}")
        else:
            yield Difference(name, _text(one), _text(two))


def refuse_differences(found: Sequence[Difference], assumed: Sequence[str], a: str, b: str) -> tuple[Difference, ...]:
    """The differences that `assumed` passes over; InputError names all others, and names in it that are no fields.

    a, b: what a reader calls the two runs.
    """
    unknown = [name for name in assumed if name not in FIELDS]
    open_ = [d for d in found if d.field not in assumed]
    problems = [
        Problem("is not a field of methodology", _nearest(name), key="--assume-comparable", value=name)
        for name in unknown
    ]
    problems += [
        Problem(
            f"{a} and {b} are not known to be alike in {d.field} ({FIELDS[d.field]}): {d.a} against {d.b}",
            f"run them alike, or take it on yourself with --assume-comparable {d.field}",
        )
        for d in open_
    ]
    if problems:
        raise InputError(problems)
    return tuple(d for d in found if d.field in assumed)


def noted(a: LedgerView, b: LedgerView) -> tuple[Difference, ...]:
    """Facts of the drivers' machines that differ and refuse nothing."""
    pairs = ((name, a.environment.get(name), b.environment.get(name)) for name in NOTED)
    return tuple(Difference(name, _text(one), _text(two)) for name, one, two in pairs if one != two)


def _nearest(name: str) -> str:
    near = difflib.get_close_matches(name, FIELDS, n=1)
    return f"did you mean {near[0]}?" if near else f"choose from {', '.join(FIELDS)}"


def _of(table: pa.Table, model: str | Sequence[str], tasks: Sequence[str], bands: Sequence[str]) -> pa.Table:
    """Rows of a model (or several), and of these tasks and bands."""
    wanted = (("model", [model] if isinstance(model, str) else model), ("task", tasks), ("band", bands))
    masks = [pc.is_in(table[name], value_set=pa.array(list(values), pa.string())) for name, values in wanted]
    return table.filter(pc.and_(pc.and_(masks[0], masks[1]), masks[2]))


def _columns(stage: str) -> tuple[str, ...]:
    return tuple(f"{side}_{resource}_{stage}" for side in ("request", "limit") for resource in RESOURCES)


def _by(
    table: pa.Table, keys: Sequence[str], columns: Sequence[str], *, null: str | None = "none"
) -> dict[str, str] | None:
    """Text of each of `columns` for each value of `keys`; None where a column is not there.

    null: what a null says (an uncapped limit is "none"); None: that nobody knows, which makes the whole unknown.
    """
    if not len(table) or any(name not in table.column_names for name in (*keys, *columns)):
        return None
    found: dict[str, set[str]] = {}
    for row in table.group_by([*keys, *columns]).aggregate([]).to_pylist():
        for name in columns:
            value = null if row[name] is None else f"{row[name]}"
            if value is None:
                return None
            found.setdefault("/".join([*(row[k] for k in keys), name]), set()).add(value)
    return {key: " or ".join(sorted(values)) for key, values in found.items()}


def _uniques(table: pa.Table, name: str) -> list[str] | None:
    if name not in table.column_names:
        return None
    values = table[name].unique().to_pylist()
    return sorted(values) if values and None not in values else None


def _stated(rows: pa.Table, column: str, key: str) -> list[str] | None:
    """The values under `key` of a map column of the attempts; None where no attempt has it."""
    stated: set[str] = set()
    for chunk in rows[column].chunks:
        # A slice's keys and items are those of the whole buffer.
        first, last = chunk.offsets[0].as_py(), chunk.offsets[-1].as_py()
        keys, items = chunk.keys.slice(first, last - first), chunk.items.slice(first, last - first)
        stated.update(pc.unique(items.filter(pc.equal(keys, key))).to_pylist())
    return sorted(stated - {None}) or None


def _not_held(probes: pa.Table, bands: Sequence[str]) -> list[str]:
    """What probes found not to hold, by band; empty where they found nothing, or where there are none."""
    measured = measure(probes)
    return [f"{band}: {fault.code}" for band in bands if band in measured for fault in measured[band].faults()]


def _known(value: object) -> list[str] | None:
    return None if value is None else [str(value)]


def _hours(facts: RunFacts) -> list[float] | None:
    if facts.bucket_hours is None or facts.period_hours is None:
        return None
    return [*facts.bucket_hours, facts.period_hours]


def _text(value: Any) -> str:
    """A value for a reader."""
    if value is None:
        return "unknown"
    if isinstance(value, Mapping):
        return f"{len(value)} known values"
    return ", ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)
