"""Rules that say several things at once, or one thing several times, where they would be wrong (false-positives).

Belongs here: equivalence at the margin, simultaneous bands, the change-point set, sequential looks.
"""

from __future__ import annotations

import numpy as np

from benchmarks.coverage import product, resample
from benchmarks.coverage.cell import Params
from benchmarks.coverage.kinds import Found, Rng
from raysweep.stats.methods.calibration import within
from raysweep.stats.methods.changepoint import change_point
from raysweep.stats.methods.interval import tasks_fixed
from raysweep.stats.methods.sequential import look_dates
from raysweep.stats.methods.simultaneous import max_t
from raysweep.stats.simulate import STUDY, shift

DRAWS = 2000


def tost(rng: Rng, n: int, p: Params) -> Found:
    """The true contrast of the drawn tasks is the margin itself, 2 points: "equivalent" is then wrong."""
    difficulty = 0.02 + 0.96 * rng.random((n, p["T"]))
    counts = np.full(p["T"], p["K"], dtype=np.int64)
    inside = []
    for start in range(0, n, 50):
        base = difficulty[start : start + 50]
        moved = shift(base, 0.5, 0.02)
        moved = base + (moved - base) * (0.02 / (moved - base).mean(axis=1, keepdims=True))
        shape = (*base.shape, p["K"])
        block = (rng.random(shape) < moved[..., None]).astype(float) - (rng.random(shape) < base[..., None])
        for b in block:
            found = tasks_fixed(b.mean(axis=1), b.var(axis=1, ddof=1), counts, 0.9)
            inside.append(within(found, 0.02))
    return {"TOST at the margin, tasks fixed": inside}


def bands(rng: Rng, n: int, p: Params) -> Found:
    """Five arms equal to their reference: does any of five bands exclude 0, simultaneous ones and single ones."""
    arms = rng.binomial(p["K"], rng.random((n, p["T"]))[..., None], (n, p["T"], 6)) / p["K"]
    w = resample.task_counts(rng, DRAWS, p["T"])
    found: Found = {"max-t bands, five arms": [], "five single percentile intervals": []}
    for study in arms:
        values = study[:, 1:] - study[:, :1]
        draws = w @ values / p["T"]
        joint = max_t(values.mean(axis=0), draws, 0.95, units=p["T"])
        found["max-t bands, five arms"].append(bool(np.any((joint.low > 0) | (joint.high < 0))))
        low, high = np.quantile(draws, [0.025, 0.975], axis=0)
        found["five single percentile intervals"].append(bool(np.any((low > 0) | (high < 0))))
    return found


def peak(rng: Rng, n: int, p: Params) -> Found:
    """Study-like rates: the largest share of failed trials is at 3x. The set is wrong where it does not hold 3x."""
    top = [a.band for a in STUDY.arms].index("3x")
    w = resample.task_counts(rng, DRAWS, p["T"])
    wrong = []
    for _ in range(n):
        difficulty = rng.beta(0.9, 1.1, (p["T"],))
        success = np.stack([shift(difficulty, 0.45, a.success - 0.45) for a in STUDY.arms], axis=1)
        deaths = np.stack([a.infra * (1 - success[:, i]) / (1 - a.success) for i, a in enumerate(STUDY.arms)], axis=1)
        f = rng.binomial(p["K"], np.clip(1 - success - deaths, 0, 1)) / p["K"]
        wrong.append(top not in change_point(f.mean(axis=0), w @ f / p["T"], 0.95, units=p["T"]).members)
    return {"change-point set without the true one": wrong}


def peeking(rng: Rng, n: int, p: Params) -> Found:
    """Two equal arms, 14 dates, looks at the complete dates: does any look's repeated interval exclude 0."""
    found: Found = {"sequential looks": [], "t at every look": []}
    dates = 14
    for _ in range(n):
        difficulty = rng.random((p["T"], 1))
        daily = (rng.binomial(2, difficulty, (p["T"], dates)) - rng.binomial(2, difficulty, (p["T"], dates))) / 2
        intervals = product.looks(daily, p["looks"])
        found["sequential looks"].append(any(i is not None and (i[0] > 0 or i[1] < 0) for i in intervals))
        after = look_dates(dates, p["looks"])
        low, high = resample.paired_t(np.stack([daily[:, :d].mean(axis=1) for d in after]))
        found["t at every look"].append(bool(np.any((low > 0) | (high < 0))))
    return found
