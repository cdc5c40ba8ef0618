"""The rules between keys, checked on the raw data so that one run names every problem.

pydantic checks each key by itself, and a model's own validators run only once all its fields are right. The rules here
run on whatever parts of the data can be read; pydantic's own errors name the parts that cannot. `Sweep` and `load`
call `broken_rules`; no other module states these rules.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from raysweep.config.analysis import analysis_faults, level_contrast_faults
from raysweep.config.apis import api_faults
from raysweep.config.bands import RESOURCES, Multipliers, limit_faults
from raysweep.config.base import DEFAULT_CONCURRENCY, Seconds
from raysweep.config.buckets import DAY, cycle_faults, overlap_faults, read_windows
from raysweep.config.cluster import cluster_faults
from raysweep.config.factors import FACTORS, Factors, factor_faults, truth_factor_faults
from raysweep.config.fault import Fault, nearest
from raysweep.config.sandbox import known_kind
from raysweep.config.simulation import REST, cause_faults

T = TypeVar("T")


def broken_rules(data: Mapping[str, Any]) -> Iterator[Fault]:
    """Every broken rule between keys that can be seen in the raw data of a sweep."""
    bands, models = _entries(data.get("bands")), _entries(data.get("models"))
    band_names, model_names = [_name(b) for b in bands], [_name(m) for m in models]
    yield from duplicate_faults("models", model_names)
    yield from duplicate_faults("bands", band_names)
    reference = data.get("reference")
    if isinstance(reference, str) and any(band_names):
        yield from reference_faults(reference, band_names)
    for i, band in enumerate(bands):
        for fault in _limits(band):
            yield fault.under("bands", i)
    yield from _buckets(data.get("buckets"), data.get("repeats"))
    yield from _analysis(data.get("analysis"), band_names, reference, data.get("buckets"))
    yield from _sandbox(data.get("sandbox"), band_names, model_names)
    yield from _factors(data)
    yield from (f.under("platform_retries") for f in cause_faults(_keys(data.get("platform_retries"))))
    yield from _cluster(data)
    yield from _apis(data)


def _entries(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _keys(value: object) -> list[str]:
    return list(value) if isinstance(value, Mapping) else []


def _name(entry: object) -> str | None:
    name = entry.get("name") if isinstance(entry, Mapping) else None
    return name if isinstance(name, str) else None


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 1 else None


def _readable(what: Any, value: object, instead: T) -> T:
    """`value` read as the type `what`, else `instead`."""
    try:
        read: T = TypeAdapter(what).validate_python(value)
    except ValidationError:
        return instead
    return read


def _limits(band: object) -> Iterator[Fault]:
    if not isinstance(band, Mapping) or band.get("limit") is None:
        return
    sides = []
    for key in ("request", "limit"):
        value = band.get(key, 1.0)
        whole = dict.fromkeys(RESOURCES[:2], value) if not isinstance(value, Mapping) else value
        fair = {r: m for r, m in whole.items() if r in RESOURCES and _readable(Multipliers, {r: m}, None) is not None}
        broken = {r: "none" for r in RESOURCES if r in whole and r not in fair}
        sides.append(Multipliers.model_validate({**fair, **broken}))
    yield from limit_faults(*sides)


def _buckets(buckets: object, repeats: object) -> Iterator[Fault]:
    if not isinstance(buckets, Mapping):
        return
    dates, planned = _number(buckets.get("dates", 1)), _number(repeats)
    if dates and planned:
        yield from repeat_faults(planned, dates)
    period = _readable(Seconds, buckets.get("period", DAY), 0.0)
    if not 0 < period <= DAY:
        return
    windows = buckets.get("windows")
    faults: list[Fault] = []
    if isinstance(windows, Mapping):
        faults += overlap_faults(read_windows(windows, period)[0], period)
    everyday = buckets.get("weekdays", "all") == "all"
    faults += cycle_faults(period, everyday=everyday, start=buckets.get("start", "now"))
    for fault in faults:
        yield fault.under("buckets")


def _analysis(analysis: object, bands: list[str | None], reference: object, buckets: object) -> Iterator[Fault]:
    if not isinstance(analysis, Mapping) or not isinstance(reference, str):
        return
    contrasts: list[str] = _readable(list[str], analysis.get("contrasts", []), [])
    dates = _number(buckets.get("dates", 1)) if isinstance(buckets, Mapping) else 1
    looks = _number(analysis.get("looks", 0)) or 0
    for fault in analysis_faults(contrasts, looks if dates else 0, bands, reference, dates or 0):
        yield fault.under("analysis")


def _sandbox(sandbox: object, bands: list[str | None], models: list[str | None]) -> Iterator[Fault]:
    if not isinstance(sandbox, Mapping):
        return
    kind = known_kind(sandbox.get("kind"))
    truth = sandbox.get("truth")
    if isinstance(truth, Mapping):
        yield from (f.under("sandbox", "truth", "platform") for f in cause_faults(_keys(truth.get("platform"))))
    if kind is not None and not kind.real and isinstance(truth, Mapping) and any(bands):
        rates = [_readable(dict[str, float], truth.get(key), {REST: 0.0}) for key in ("success", "infra")]
        offsets: dict[str, float] = _readable(dict[str, float], truth.get("models"), {})
        yield from truth_faults(rates[0], rates[1], offsets, bands, models)


def _cluster(data: Mapping[str, Any]) -> Iterator[Fault]:
    if not isinstance(data.get("cluster"), Mapping):
        return
    parts = {k: part if isinstance(part := data.get(k), Mapping) else {} for k in ("sandbox", "runner", "tasks")}
    yield from cluster_faults(
        data["cluster"].get("operator", "kuberay"),
        known_kind(parts["sandbox"].get("kind")),
        parts["sandbox"].get("context"),
        parts["runner"].get("executor", "ray"),
        parts["tasks"].get("source"),
    )


def _apis(data: Mapping[str, Any]) -> Iterator[Fault]:
    apis = data.get("apis")
    yield from api_faults(apis if isinstance(apis, Mapping) else {}, _entries(data.get("models")))


def _factors(data: Mapping[str, Any]) -> Iterator[Fault]:
    """What the factors that can be read ask of the rest of the sweep."""
    given = data.get("factors", {})
    if not isinstance(given, Mapping):
        return
    present = [name for name in FACTORS if name in given]
    readable = {n: given[n] for n in present if _readable(Factors, {n: given[n]}, None) is not None}
    factors = Factors.model_validate({name: value for name, value in readable.items() if value is not None})
    runner = data.get("runner", {})
    slots = _number(runner.get("concurrency", DEFAULT_CONCURRENCY)) if isinstance(runner, Mapping) else None
    sandbox = data["sandbox"] if isinstance(data.get("sandbox"), Mapping) else {}
    kind = known_kind(sandbox.get("kind"))
    selector: dict[str, str] = _readable(dict[str, str], sandbox.get("node_selector", {}), {})
    yield from (f.under("factors") for f in factor_faults(factors, slots, kind, selector))
    if len(readable) < len(present):
        return
    analysis, truth = data.get("analysis"), sandbox.get("truth")
    if isinstance(analysis, Mapping):
        levels: dict[str, list[str]] = _readable(dict[str, list[str]], analysis.get("factors", {}), {})
        faults = level_contrast_faults(levels, factors, _number(analysis.get("looks", 0)) or 0)
        yield from (f.under("analysis") for f in faults)
    if isinstance(truth, Mapping):
        offsets: dict[str, dict[str, float]] = _readable(dict[str, dict[str, float]], truth.get("factors", {}), {})
        yield from (f.under("sandbox", "truth", "factors") for f in truth_factor_faults(offsets, factors))


def duplicate_faults(section: str, names: Sequence[Any]) -> Iterator[Fault]:
    """A name that an earlier entry has; entries without a readable name are None."""
    for i, name in enumerate(names):
        if name is not None and name in names[:i]:
            first = names.index(name)
            yield Fault((section, i, "name"), f"{section}[{first}] has this name too", "give each its own name", name)


def reference_faults(reference: str, bands: Sequence[Any]) -> Iterator[Fault]:
    """A reference that is no band."""
    if reference not in bands:
        known = dict.fromkeys(str(b) for b in bands if b is not None)
        yield Fault(("reference",), "is not the name of a band", nearest(reference, known), reference)


def repeat_faults(repeats: int, dates: int) -> Iterator[Fault]:
    """Repeats that would leave dates unequal."""
    if repeats % dates:
        below = repeats - repeats % dates
        choices = " or ".join(str(n) for n in (below, below + dates) if n)
        yield Fault(("repeats",), f"does not divide evenly over {dates} dates", f"use {choices}", repeats)


def truth_faults(
    success: Mapping[str, float],
    infra: Mapping[str, float],
    offsets: Mapping[str, float],
    bands: Sequence[Any],
    models: Sequence[Any],
) -> Iterator[Fault]:
    """Names in a stated truth that the sweep does not have, and bands about which it says nothing."""
    for key, rates in (("success", success), ("infra", infra)):
        for name in rates:
            if name != REST and name not in bands:
                remedy = nearest(name, [str(b) for b in bands])
                yield Fault(("sandbox", "truth", key, name), "is not the name of a band", remedy)
        missing = [str(b) for b in bands if b is not None and b not in rates]
        if missing and REST not in rates:
            remedy = f"add {', '.join(missing)}, or `*` for the rest"
            yield Fault(("sandbox", "truth", key), f"says nothing about {', '.join(missing)}", remedy)
    for name in offsets:
        if name not in models:
            remedy = nearest(name, [str(m) for m in models])
            yield Fault(("sandbox", "truth", "models", name), "is not the name of a model", remedy)
