"""The analysis section: what is registered before the first trial, and what a sweep cannot register."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from raysweep.config.base import Name, Number, Part, Points, Whole
from raysweep.config.factors import Factors
from raysweep.config.fault import Fault, nearest


class Analysis(Part):
    """What is registered before the first trial; all else the report calls exploratory."""

    primary: Literal["success", "q_trial", "infra_rate", "success_given_clean"] = Field(
        "success", description="the estimand that decides", examples=["success"]
    )
    delta: Points = Field(
        0.02, description="largest difference that counts as none, in percentage points", examples=["2pp"]
    )
    contrasts: tuple[Name, ...] = Field(
        (),
        description="bands whose contrast with the reference is registered; left out: every band",
        examples=[["3x", "uncapped"]],
    )
    factors: dict[Name, Annotated[tuple[Name, ...], Field(min_length=1)]] = Field(
        {},
        description="levels whose contrast with the reference of their factor is registered, at the reference band; "
        "by name of the factor; left out: none. Not together with `looks`, which are of bands",
        examples=[{"agent_timeout": ["2x"]}],
    )
    confidence: Annotated[Number, Field(gt=0.5, lt=1)] = Field(
        0.95,
        description="level of the intervals; 1 - confidence is the alpha that all looks together spend",
        examples=[0.95],
    )
    looks: Annotated[Whole, Field(ge=0)] = Field(
        0,
        description="sequential looks at complete dates, spread evenly over `dates`, the last at the end; 0: none. "
        "A sweep may be stopped at a look by the registered rule, and nowhere else",
        examples=[4],
    )

    def registered(self) -> dict[str, Any]:
        """The section as it is registered and hashed. Without `factors` it is that of sweeps before there were any."""
        section = self.model_dump()
        if not self.factors:
            del section["factors"]
        return section


def _looks_message(looks: int, dates: int) -> str:
    planned = "only 1 is planned" if dates == 1 else f"only {dates} are planned"
    return f"{looks} looks need at least {looks} dates, but {planned}"


def analysis_faults(
    contrasts: Sequence[str], looks: int, bands: Sequence[Any], reference: str, dates: int
) -> Iterator[Fault]:
    """Registered contrasts that the sweep does not have, and more looks than there are dates to look after."""
    for i, band in enumerate(contrasts):
        if band not in bands:
            yield Fault(("contrasts", i), "is not the name of a band", nearest(band, [str(b) for b in bands]), band)
        elif band == reference:
            yield Fault(("contrasts", i), "is the reference itself", "name the bands to compare with it", band)
        elif band in contrasts[:i]:
            yield Fault(("contrasts", i), "stands there twice", "name each band once", band)
    if looks > dates:
        remedy = f"use at most {dates}, or plan more `buckets.dates`" if dates > 1 else "plan more `buckets.dates`"
        yield Fault(("looks",), _looks_message(looks, dates), remedy, looks)


def level_contrast_faults(wanted: Mapping[str, Sequence[str]], factors: Factors, looks: int) -> Iterator[Fault]:
    """Registered contrasts of levels that the sweep does not have, and looks beside them."""
    for name, levels in wanted.items():
        factor = factors.declared.get(name)
        if factor is None:
            known = list(factors.declared)
            remedy = nearest(name, known) if known else "declare it in `factors`, or remove it"
            yield Fault(("factors", name), "is not a factor of this sweep", remedy)
            continue
        for i, level in enumerate(levels):
            at = ("factors", name, i)
            if level not in factor.values:
                yield Fault(at, "is not the name of a level", nearest(level, factor.others), level)
            elif level == factor.reference:
                yield Fault(at, "is the reference itself", "name the levels to compare with it", level)
            elif level in levels[:i]:
                yield Fault(at, "stands there twice", "name each level once", level)
    if wanted and looks:
        said = "can not be registered beside `looks`: the rule that decides at looks knows contrasts of bands only"
        yield Fault(("factors",), said, "remove `analysis.looks`, or `analysis.factors`")
