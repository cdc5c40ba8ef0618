"""Single tests on studies in which there is nothing to find (group false-positives)."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.stats import chi2

from benchmarks.coverage import components, data
from benchmarks.coverage.cell import Params
from raysweep.stats.methods import stratified, trend
from raysweep.stats.methods.multiplicity import holm
from raysweep.stats.methods.permutation import bucket_label_p, platform_p, sign_flip

ALPHA = 0.05
Rng: TypeAlias = np.random.Generator
Found: TypeAlias = dict[str, list[bool]]
"""Per test: whether it rejected, study by study."""


def contrasts(rng: Rng, n: int, p: Params) -> Found:
    """Sign-flip on task contrasts of two equal arms; Holm over five of them that share their reference."""
    difficulty = rng.random((n, p["T"]))
    arms = rng.binomial(p["K"], difficulty[..., None], (n, p["T"], 6)) / p["K"]
    found: Found = {"sign-flip": [], "sign-flip, five arms, Holm": []}
    for study in arms:
        ps = [sign_flip(study[:, a] - study[:, 0], int(rng.integers(2**31)), draws=1999).p for a in range(1, 6)]
        found["sign-flip"].append(ps[0] is not None and ps[0] <= ALPHA)
        found["sign-flip, five arms, Holm"].append(min(q for q in holm(ps) if q is not None) <= ALPHA)
    return found


def cmh(rng: Rng, n: int, p: Params) -> Found:
    """Stratified by task, deaths clustered in few tasks, equal in both arms."""
    study = data.infra(rng, n, p["T"], p["K"], before=p["q"] / 100, after=p["q"] / 100, concentration=1.0)
    trials = np.full(p["T"], p["K"], dtype=np.int64)
    found: Found = {"CMH": [], "CMH without correction": []}
    for first, second in zip(study.arm.sum(axis=2), study.reference.sum(axis=2), strict=True):
        test = stratified.cmh(first, trials, second, trials)
        found["CMH"].append(test.p is not None and test.p <= ALPHA)
        found["CMH without correction"].append(test.p_plain is not None and test.p_plain <= ALPHA)
    return found


def mcnemar(rng: Rng, n: int, p: Params) -> Found:
    """One pair per task."""
    study = data.infra(rng, n, p["T"], 1, before=p["q"] / 100, after=p["q"] / 100, concentration=1.0)
    only_first = (study.arm & ~study.reference).sum(axis=(1, 2))
    only_second = (study.reference & ~study.arm).sum(axis=(1, 2))
    tests = [stratified.mcnemar(int(a), int(b)) for a, b in zip(only_first, only_second, strict=True)]
    return {"McNemar": [t.p <= ALPHA for t in tests], "McNemar mid-p": [t.p_mid <= ALPHA for t in tests]}


def page(rng: Rng, n: int, p: Params) -> Found:
    """Six ordered bands without a trend; 999 permutations (5 % of 1,000 is whole, so the test keeps its level)."""
    means = rng.binomial(p["K"], rng.random((n, p["T"]))[..., None], (n, p["T"], 6)) / p["K"]
    tests = [trend.page(m, int(rng.integers(2**31)), draws=999) for m in means]
    return {
        "Page": [t.p is not None and t.p <= ALPHA for t in tests],
        "Page, normal": [t.p_normal is not None and t.p_normal <= ALPHA for t in tests],
    }


def platform(rng: Rng, n: int, p: Params) -> Found:
    """Platform failures in bursts: a fifth of the occasions lose 10 % of their trials, the rest 0.5 %, arms alike.

    The last arm did not get round to most of its blocks in those occasions, as when a run is stopped in them.
    """
    occasion = np.repeat(np.arange(p["occasions"]), p["blocks"])
    found: Found = {"platform causes within occasions": [], "chi-square over arms": []}
    for _ in range(n):
        bad = np.asarray(rng.random((p["occasions"],)) < 0.2)[occasion]
        rate = np.where(bad, 0.1, 0.005)
        sizes = np.ones((len(occasion), 4), dtype=bool)
        sizes[bad, 3] = rng.random(int(bad.sum())) < 0.3
        events = (rng.random(sizes.shape) < rate[:, None]) & sizes
        p_value = platform_p(events, sizes, occasion, int(rng.integers(2**31)))
        found["platform causes within occasions"].append(p_value <= ALPHA)
        found["chi-square over arms"].append(_chi_square(events.sum(axis=0), sizes.sum(axis=0)) <= ALPHA)
    return found


def _chi_square(events: npt.NDArray[np.int64], trials: npt.NDArray[np.int64]) -> float:
    rate = events.sum() / trials.sum()
    if rate in {0.0, 1.0}:
        return 1.0
    statistic = np.sum((events - rate * trials) ** 2 / (rate * (1 - rate) * trials))
    return float(chi2.sf(statistic, len(events) - 1))


def buckets(rng: Rng, n: int, p: Params) -> Found:
    """No time-of-day effect, dates of sd 2 points, occasions of sd 1: labels within dates, and the F interval."""
    params = {"T": 20, "D": p["D"], "amplitude": 0, "occasion_sd": 1}
    grids, floors = components.grids(rng, n, params)
    found: Found = {"bucket labels within dates": [], "var_bucket interval above 0": []}
    for grid, floor in zip(grids, floors, strict=True):
        label = bucket_label_p(grid, int(rng.integers(2**31)), draws=1999)
        found["bucket labels within dates"].append(label is not None and label <= ALPHA)
        bucket = components.study(grid, float(floor), 20)["bucket"]
        found["var_bucket interval above 0"].append(bucket is not None and bucket.low > 0)
    return found
