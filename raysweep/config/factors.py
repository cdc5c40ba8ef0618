"""The factors section: what is swept besides model and band, each with named levels, and how levels make arms.

The band has a section of its own; here are the others. A level is a name and a value: the name is in ids and reports,
the value is what an attempt gets. What a value does to an attempt is defined in trial, sandbox and schedule.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Field, model_validator

from raysweep.config.base import Name, Part, Whole
from raysweep.config.container import LabelKey, LabelValue, word
from raysweep.config.fault import Fault, nearest, raise_faults, refuse
from raysweep.kind import SandboxKind, usable_kinds
from raysweep.units import parse_bytes

ChangedLevels: TypeAlias = tuple[tuple[str, str], ...]
"""(factor, level) of every factor that is not at its reference, by name of the factor."""

ARCH = "kubernetes.io/arch"
LEAST_EGRESS = 1024
"""Bytes a second: a smaller number is a value whose unit was forgotten."""


def _time_multiplier(value: object) -> object:
    write = "write a number without a unit, such as 2.0"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise refuse("is not a multiplier of the task's agent time limit", write)
    if not 0 < value < float("inf"):
        raise refuse("is not a positive number", write)
    return float(value)


def _bytes_per_second(value: object) -> object:
    write = "write bytes a second such as 1Mi, or `none` for no bound"
    if value == "none":
        return None
    if value is None or isinstance(value, (bool, list, dict)):
        raise refuse("is not a bandwidth", write)
    try:
        amount = parse_bytes(value)  # type: ignore[arg-type]  # whatever it is, its text decides
    except ValueError:
        raise refuse("is not a bandwidth", write) from None
    if amount < LEAST_EGRESS:
        raise refuse("is less than 1 KiB a second", write)
    return amount


Timeout = Annotated[float, BeforeValidator(_time_multiplier)]
Egress = Annotated[int | None, BeforeValidator(_bytes_per_second)]
Labels = Annotated[dict[LabelKey, LabelValue], Field(min_length=1)]
_REFERENCE = "the level that the other levels, and all contrasts of bands, are held against"


class Factor(Part):
    """What every factor has: named levels, one of them the reference."""

    reference: Name

    @property
    def values(self) -> Mapping[str, Any]:
        """Value of each level by its name."""
        levels: Mapping[str, Any] = getattr(self, "levels")  # noqa: B009 - each kind of factor states its own type
        return levels

    @property
    def others(self) -> tuple[str, ...]:
        """Levels that are not the reference, in the order of the file."""
        return tuple(name for name in self.values if name != self.reference)

    @model_validator(mode="after")
    def _rules(self) -> Factor:
        raise_faults("Factor", level_faults(self.reference, self.values))
        return self


class AgentTimeout(Factor):
    """Multiplier of each task's agent time limit. Set-up and verifier keep theirs."""

    reference: Name = Field(description=_REFERENCE, examples=["1x"])
    levels: dict[Name, Timeout] = Field(
        description="multipliers of the declared agent time limit, by name of the level", examples=[{"1x": 1, "2x": 2}]
    )


class Concurrency(Factor):
    """Most trials in flight while trials of a level run: trials of different levels never run at the same time."""

    reference: Name = Field(description=_REFERENCE, examples=["low"])
    levels: dict[Name, Annotated[Whole, Field(ge=1)]] = Field(
        description="trials in flight, by name of the level; none above `runner.concurrency`",
        examples=[{"low": 2, "high": 8}],
    )


class EgressBandwidth(Factor):
    """Bytes a second that a sandbox may send. Recorded as not honoured where the sandbox cannot bound it."""

    reference: Name = Field(description=_REFERENCE, examples=["free"])
    levels: dict[Name, Egress] = Field(
        description="bytes a second, or `none` for no bound, by name of the level",
        examples=[{"free": "none", "slow": "1Mi"}],
    )


class NodeType(Factor):
    """Labels of the nodes that take the pods of a level (kubernetes only), beside `sandbox.node_selector`."""

    reference: Name = Field(description=_REFERENCE, examples=["small"])
    levels: dict[Name, Labels] = Field(
        description="labels of the nodes, by name of the level",
        examples=[{"small": {"pool": "small"}, "large": {"pool": "large"}}],
    )


class Factors(Part):
    """Infrastructure factors besides the band. A factor that is left out is not swept."""

    design: Annotated[Literal["one-at-a-time", "full"], word("one-at-a-time", "full")] = Field(
        "one-at-a-time",
        description="`one-at-a-time`: each factor varies at the reference band with all other factors at their "
        "reference; `full`: every combination of levels under every band",
        examples=["full"],
    )
    agent_timeout: AgentTimeout | None = Field(None, description="multiplier of the agent's time limit")
    concurrency: Concurrency | None = Field(None, description="trials in flight while an arm runs")
    egress: EgressBandwidth | None = Field(None, description="bytes a second that a sandbox may send")
    node_type: NodeType | None = Field(None, description="kubernetes: nodes by their labels")

    @property
    def declared(self) -> dict[str, Factor]:
        """The factors that are swept, by name, names ascending."""
        factors = ((name, getattr(self, name)) for name in sorted(FACTORS))
        return {name: factor for name, factor in factors if factor is not None}

    def combinations(self) -> Iterator[tuple[ChangedLevels, bool]]:
        """Every set of levels that the design has besides all at their reference; and whether all bands have it."""
        declared = self.declared
        if self.design == "full":
            levels = [[None, *factor.others] for factor in declared.values()]
            for chosen in product(*levels):
                if any(level is not None for level in chosen):
                    yield tuple((n, lv) for n, lv in zip(declared, chosen, strict=True) if lv is not None), True
            return
        for name, factor in declared.items():
            for level in factor.others:
                yield ((name, level),), False

    def value(self, name: str, changed: ChangedLevels, unswept: Any = None) -> Any:
        """Value of a factor for an arm; `unswept` where it is not swept, KeyError where it has no such level."""
        factor = self.declared.get(name)
        return unswept if factor is None else factor.values[dict(changed).get(name, factor.reference)]


NO_FACTORS = Factors()


def agent_multiplier(factors: Factors, changed: ChangedLevels) -> float:
    """Multiplier of the agent's time limit for an arm."""
    return float(factors.value("agent_timeout", changed, 1.0))


def trials_at_once(factors: Factors, changed: ChangedLevels) -> int | None:
    """Trials in flight while trials of an arm run; None where concurrency is not swept."""
    level: int | None = factors.value("concurrency", changed)
    return level


FACTORS = ("agent_timeout", "concurrency", "egress", "node_type")
"""Names of all factors besides the band."""


def level_faults(reference: str, levels: Mapping[str, Any]) -> Iterator[Fault]:
    """A reference that is no level, fewer than two levels, and two levels of one value."""
    if reference not in levels:
        yield Fault(("reference",), "is not the name of a level", nearest(reference, levels), reference)
    if len(levels) < 2:
        yield Fault(("levels",), "one level is nothing to compare", "add a second level, or remove the factor")
    seen: dict[str, str] = {}
    for name, value in levels.items():
        before = seen.setdefault(repr(sorted(value.items()) if isinstance(value, Mapping) else value), name)
        if before != name:
            yield Fault(("levels", name), f"has the value of `{before}`", "give each level a value of its own", value)


def factor_faults(
    factors: Factors, slots: int | None, kind: SandboxKind | None, selector: Mapping[str, str]
) -> Iterator[Fault]:
    """Levels that the rest of the sweep has no place for.

    slots: `runner.concurrency`; kind: of the sandboxes; each None where it is not known.
    """
    if factors.concurrency is not None and slots is not None:
        for name, level in factors.concurrency.levels.items():
            if level > slots:
                remedy = f"raise `runner.concurrency` to {level}, or lower the level"
                yield Fault(("concurrency", "levels", name), f"is above `runner.concurrency` ({slots})", remedy, level)
    if factors.node_type is None:
        return
    if kind is not None and not kind.node_labels:
        placing = " and ".join(f"`{other.name}`" for other in usable_kinds() if other.node_labels)
        yield Fault(
            ("node_type",),
            f"is a factor of the kind {placing}, not of `{kind.name}`",
            "remove it or change `sandbox.kind`",
        )
    for name, labels in factors.node_type.levels.items():
        for key, value in labels.items():
            if key == ARCH:  # each pod names its supervisor, by architecture, before it has a node
                said, remedy = "is the same for a whole sweep", "set it in `sandbox.node_selector`"
                yield Fault(("node_type", "levels", name, key), said, remedy, value)
            elif selector.get(key, value) != value:
                said = f"is not what `sandbox.node_selector` wants of every node ({selector[key]})"
                yield Fault(("node_type", "levels", name, key), said, "take the label out of one of the two", value)


def truth_factor_faults(offsets: Mapping[str, Mapping[str, float]], factors: Factors) -> Iterator[Fault]:
    """Factors and levels in a stated truth (`sandbox.truth.factors`) that the sweep does not have."""
    for name, levels in offsets.items():
        factor = factors.declared.get(name)
        if factor is None:
            known = list(factors.declared)
            yield Fault((name,), "is not a factor of this sweep", nearest(name, known) if known else "remove it")
            continue
        for level in levels:
            if level not in factor.values:
                yield Fault((name, level), "is not the name of a level", nearest(level, factor.values))
