"""Where trials ran: company on the node, classes of service, kinds of machine, a node's room, clocks, images.

Belongs here: what the `node` column tells of final attempts (backends that share nodes fill it). Does not: whether a
limit was enforced (enforcement), co-tenancy by the hour (mechanism).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raysweep.stats.arrays import Bools, Floats
from raysweep.stats.columns import flags, numbers, pairs
from raysweep.stats.cube import Cube, final_arm_codes
from raysweep.stats.finding import Check
from raysweep.vocabulary import CheckStatus

TOLD_BY = {"qos_class", "image_digest"}
"""Of these every attempt in a pod or container has one; ledgers without them are left alone."""
SAMPLE = 4096
CLOCK_OFF_S = 2.0
SHOWN = 5
"""So many tasks are named in a sentence."""
SHARED = "set `sandbox.tenancy: exclusive` for calibration"


def checks(table: pa.Table, cube: Cube) -> Iterator[Check]:
    """Checks of final attempts on shared nodes; nothing where no node was shared by design. `table`: labelled."""
    known = pc.is_valid(table["node"])
    if TOLD_BY.isdisjoint(pairs(table["node"].filter(known).slice(0, SAMPLE))[0].unique().to_pylist()):
        return
    final = table.filter(pc.and_(known, pa.array(flags(table["is_final"]))))
    yield from _company(final)
    yield from _mixed(final, cube)
    yield from _beyond(final)
    yield from _clocks(final)
    yield from _moved(final)


def _text(table: pa.Table, key: str) -> pa.ChunkedArray:
    return pc.map_lookup(table["node"], pa.scalar(key), "first")


def _number(table: pa.Table, key: str) -> Floats:
    return numbers(pc.cast(_text(table, key), pa.float64()))


def _company(table: pa.Table) -> Iterator[Check]:
    """Trials that had others beside them."""
    beside = np.fmax(_number(table, "co_tenants"), _number(table, "co_tenants_end"))
    known = np.isfinite(beside)
    if (beside[known] > 0).any():
        share = 100 * float(np.mean(beside[known] > 0))
        message = (
            f"{share:.0f} % of trials shared their node with other sandboxes (at most {int(beside[known].max())}): "
            "arms can disturb each other"
        )
        yield Check("shared_nodes", CheckStatus.NOTE, message, SHARED)
    elif known.any():
        yield Check("shared_nodes", CheckStatus.OK, "no trial shared its node with another sandbox", "")


def _mixed(table: pa.Table, cube: Cube) -> Iterator[Check]:
    """Arms of different classes of service, and more than one kind of machine."""
    arm = final_arm_codes(table, cube.arms)
    classes = _text(table, "qos_class")
    by_arm = {
        f"{key.model}/{key.band}": sorted(pc.unique(pc.drop_null(classes.filter(pa.array(arm == code)))).to_pylist())
        for code, key in enumerate(cube.arms)
    }
    if len({one for names in by_arm.values() for one in names}) > 1:
        each = "; ".join(f"{name} {', '.join(names)}" for name, names in by_arm.items() if names)
        message = f"arms differ in class of service, and so in the order of eviction and node OOM: {each}"
        yield Check(
            "qos_classes", CheckStatus.WARNING, message, "use `sandbox.qos: uniform`; do not contrast across classes"
        )
    machines = sorted(pc.unique(pc.drop_null(_text(table, "machine_type"))).to_pylist())
    if len(machines) > 1:
        message = f"trials ran on {len(machines)} kinds of machine: {', '.join(machines)}"
        yield Check("machine_types", CheckStatus.WARNING, message, "select one kind by `sandbox.node_selector`")


def _beyond(table: pa.Table) -> Iterator[Check]:
    """Finite limits that the node could not give: there the bound was the node, not the arm."""
    for resource in ("cpu", "memory"):
        limit = numbers(pc.coalesce(table[f"limit_{resource}_admitted"], table[f"limit_{resource}_asked"]))
        room = _number(table, f"allocatable_{resource}") - np.nan_to_num(_number(table, f"others_{resource}_request"))
        over: Bools = limit > room
        if over.any():
            bands = sorted(pc.unique(table["band"].filter(pa.array(over))).cast(pa.string()).to_pylist())
            message = (
                f"{int(over.sum())} trials ({', '.join(bands)}) had a finite {resource} limit above what their node "
                "had beside other pods' requests: it may not have been what bounded them"
            )
            yield Check(
                f"unreachable_{resource}", CheckStatus.WARNING, message, "use larger nodes, or call the band `none`"
            )


def _clocks(table: pa.Table) -> Iterator[Check]:
    """Nodes whose clock was off: times of theirs are not compared with ours, but logs are."""
    off = np.fmax(np.abs(_number(table, "clock_offset_s")), np.abs(_number(table, "clock_offset_end_s")))
    if (off > CLOCK_OFF_S).any():
        message = f"{int((off > CLOCK_OFF_S).sum())} trials ran where the clock was more than {CLOCK_OFF_S:g} s off"
        yield Check("clocks", CheckStatus.WARNING, message, "synchronise the clocks (NTP) of driver and nodes")


def _moved(table: pa.Table) -> Iterator[Check]:
    """Tasks whose image was not the same in all trials: its tag was moved while the sweep ran."""
    seen = pa.table({"task": table["task"], "digest": _text(table, "image_digest")}).filter(
        pc.field("digest").is_valid()
    )
    counts = seen.group_by("task").aggregate([("digest", "count_distinct")])
    moved = sorted(str(t) for t in counts.filter(pc.field("digest_count_distinct") > 1)["task"].to_pylist())
    if moved:
        tasks = "1 task" if len(moved) == 1 else f"{len(moved)} tasks"
        message = f"the image of {tasks} changed during the sweep: {', '.join(moved[:SHOWN])}"
        yield Check(
            "moved_images", CheckStatus.WARNING, message, "name images by digest; contrasts mix two environments"
        )
