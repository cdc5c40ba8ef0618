"""Levels of swept factors other than the band: which arms are at the reference, and how an arm with a level is called.

The ledger's column `factors` holds the levels of an arm that are not the reference. An arm is called "MODEL" at all
references and "MODEL [factor=level, ...]" else (`cube.with_labels`). Belongs here: taking a ledger and its cube apart
by that. Does not: what a level does to a score (findings.factors).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raysweep.stats.arrays import Bools
from raysweep.stats.cube import MOVED, ArmKey, Cube, arm_codes
from raysweep.stats.design import Design, Swept
from raysweep.stats.finding import Finding


def is_moved(name: str) -> bool:
    """Whether the name of an arm (or of its model) says a level."""
    return MOVED in name


def plain(name: str) -> str:
    """The name without its levels."""
    return name.partition(MOVED)[0]


def called(name: str, factor: Swept, level: str) -> str:
    """What a model or a band is called under a level of one factor; here the reference is said too."""
    return f"{name}{MOVED}{factor.name}={level}]"


def at_reference(table: pa.Table, design: Design) -> pa.Table:
    """Rows of the arms at the reference of every factor; the very table where no factor is swept. table: labelled."""
    if not design.factors or not len(table):
        return table
    moved = pc.match_substring(table["_model"], MOVED)
    return table.filter(pc.invert(moved)) if pc.any(moved).as_py() else table


def reference_part(table: pa.Table, cube: Cube, design: Design) -> tuple[pa.Table, Cube]:
    """Rows and cube of the arms at the reference of every factor; the very same where no factor is swept."""
    if not design.factors:
        return table, cube
    return at_reference(table, design), only(cube, ~moved_arms(cube))


def only(cube: Cube, keep: Bools) -> Cube:
    """The cube with some of its arms, (A,)."""
    arms = tuple(arm for arm, kept in zip(cube.arms, keep, strict=True) if kept)
    columns = {name: getattr(cube, name)[:, keep] for name in ("y", "q", "present", "first_platform")}
    return replace(cube, arms=arms, **columns)


def moved_arms(cube: Cube) -> Bools:
    """Which arms are not at the reference of every factor, (A,)."""
    return np.array([is_moved(arm.model) for arm in cube.arms], dtype=bool)


def along(cube: Cube, factor: Swept, band: str) -> Cube:
    """The cube of one factor: its levels under one band, all other factors at their reference.

    Arms are called as `called` says of the band, so that levels stand where bands stand elsewhere; reference first.
    """
    chosen = _renamed(cube, factor, band)
    at = np.array([cube.arms.index(arm) for arm in chosen], dtype=np.int64)
    columns = {name: getattr(cube, name)[:, at] for name in ("y", "q", "present", "first_platform")}
    return replace(cube, arms=tuple(chosen.values()), **columns)


def rows_along(table: pa.Table, cube: Cube, factor: Swept, band: str) -> pa.Table:
    """The rows of the arms of `along`, called as there. table: labelled; cube: of all its arms."""
    chosen = _renamed(cube, factor, band)
    arms = [chosen.get(arm) for arm in cube.arms]
    code = pa.array(arm_codes(table, cube.arms))
    for column, name in (("_model", "model"), ("band", "band")):
        names = pa.array([arm and getattr(arm, name) for arm in arms], pa.string())
        table = table.set_column(table.column_names.index(column), column, names.take(code))
    return table.filter(pc.is_valid(table["band"]))


def _renamed(cube: Cube, factor: Swept, band: str) -> dict[ArmKey, ArmKey]:
    """The arms of one factor under one band, and what they are called by model and level; the reference first."""
    levels = (factor.reference, *(name for name in factor.levels if name != factor.reference))
    models = [name for name in cube.models if not is_moved(name)]
    wanted = {
        ArmKey(m if level == factor.reference else called(m, factor, level), band): ArmKey(
            m, called(band, factor, level)
        )
        for m in models
        for level in levels
    }
    return {arm: name for arm, name in wanted.items() if arm in cube.arms}


def sides(f: Finding) -> tuple[str, str, str] | None:
    """(level, reference level, band) of a contrast of levels; None for any other finding."""
    if f.arm is None or f.reference is None or not is_moved(f.arm) or not is_moved(f.reference):
        return None
    arm, reference = (name.partition(MOVED)[2].removesuffix("]").partition("=")[2] for name in (f.arm, f.reference))
    return arm, reference, plain(f.arm)
