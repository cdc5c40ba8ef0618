"""Names and labels of a study's objects: deterministic, so that the same window can not be begun twice."""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from typing import Any
from zoneinfo import ZoneInfo

from raysweep.config.buckets import Buckets, Window

Json = dict[str, Any]

STUDY_LENGTH = 25
WINDOW_LENGTH = 10
"""With these a study's every name is short enough: RayJob 25 + 1 + 8 + 1 + 10 of 47, RayCronJob 25 + 1 + 10 of 36."""

PART_OF = "app.kubernetes.io/part-of"
STUDY = "raysweep.dev/study"
ROLE = "raysweep.dev/role"
"""head, runner or submitter: what cluster/base's NetworkPolicies and PodDisruptionBudget select."""
WINDOW = "raysweep.dev/window"


def object_name(text: str, length: int) -> str:
    """A name that begins with a letter (DNS-1035), of at most `length` characters; texts that differ stay different."""
    plain = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    named = plain if plain[:1].isalpha() else f"s-{plain}"
    if named == text and len(named) <= length:
        return named
    mark = hashlib.sha256(text.encode()).hexdigest()[:4]
    return f"{named[: length - 5].rstrip('-')}-{mark}"


def study_name(sweep_name: str) -> str:
    """Name of the study's ConfigMap, value of its label, first part of all its other names."""
    return object_name(sweep_name, STUDY_LENGTH)


def window_name(study: str, window: str) -> str:
    """Name of the CronJob of one window."""
    return f"{study}-{object_name(window, WINDOW_LENGTH)}"


def window_job_name(study: str, window: str, date: dt.date) -> str:
    """Name of the job of one window on one date (that on which it opened)."""
    return f"{study}-{date:%Y%m%d}-{object_name(window, WINDOW_LENGTH)}"


def job_name(study: str, now: dt.datetime) -> str:
    """Name of a job that was submitted by hand."""
    return f"{study}-{now:%Y%m%d-%H%M%S}"


def labels(study: str, **more: str) -> Json:
    """Labels of everything that belongs to a study."""
    return {PART_OF: "raysweep", STUDY: study, **more}


def open_date(buckets: Buckets, window: Window, now: dt.datetime) -> dt.date | None:
    """Date on which the window that is open at `now` opened; None when it is closed then. For `period: 24h`."""
    local = now.astimezone(ZoneInfo(buckets.timezone))
    second = local.hour * 3600 + local.minute * 60 + local.second
    for days in (0, 1):
        if window.start <= second + days * 86400 < window.end:
            date = local.date() - dt.timedelta(days=days)
            return date if date.weekday() in buckets.weekdays else None
    return None
