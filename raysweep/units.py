"""Quantities as integers: bytes, millicores, and seconds as float; parsing and printing of their spellings.

Kubernetes spellings ("2Gi", "500m"), Harbor's ("2G" meaning GiB is handled by tasks, not here) and durations
("90s", "1h30m"). A `Resources` value is one cpu/memory/storage triple; None means "no bound".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal

KIB, MIB, GIB, TIB = 1024, 1024**2, 1024**3, 1024**4

_BYTE_UNITS = {
    "": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12,
    "Ki": KIB, "Mi": MIB, "Gi": GIB, "Ti": TIB,
}  # fmt: skip
_QUANTITY = re.compile(r"^(\d+(?:\.\d+)?)\s*([A-Za-z]*)$")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass(frozen=True)  # no slots: it travels, and Python pickles slots slowly
class Resources:
    """Cpu in millicores, memory and storage in bytes; None is unbounded (a limit) or not stated (a request)."""

    cpu: int | None = None
    memory: int | None = None
    storage: int | None = None


def parse_bytes(text: str | int) -> int:
    """Bytes of a Kubernetes quantity such as "2Gi", "512Mi", "1G" or a plain integer; ValueError otherwise."""
    found = _QUANTITY.match(str(text).strip())
    if not found or found[2] not in _BYTE_UNITS:
        raise ValueError(f"{text!r} is not a size in bytes; write it like 2Gi, 512Mi or 1073741824")
    return int(Decimal(found[1]) * _BYTE_UNITS[found[2]])


def parse_millicores(text: str | float) -> int:
    """Millicores of "500m", "0.5", 2 or 1.5; ValueError otherwise."""
    found = _QUANTITY.match(str(text).strip())
    if not found or found[2] not in {"", "m"}:
        raise ValueError(f"{text!r} is not a cpu quantity; write it like 2, 0.5 or 500m")
    value = Decimal(found[1])
    return int(value if found[2] == "m" else value * 1000)


def parse_duration(text: str | float) -> float:
    """Seconds of "90s", "1h30m", "24h" or a number of seconds; ValueError otherwise."""
    stripped = str(text).strip()
    if re.fullmatch(r"\d+(\.\d+)?", stripped):
        return float(stripped)
    parts = _DURATION.findall(stripped)
    if not parts or "".join(n + u for n, u in parts) != stripped.replace(" ", ""):
        raise ValueError(f"{text!r} is not a duration; write it like 90s, 15m or 1h30m")
    return sum(float(n) * _SECONDS[u] for n, u in parts)


def parse_points(text: str | float) -> float:
    """A difference of rates as a fraction: "2pp" (percentage points) is 0.02; a bare number is refused."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*pp", str(text).strip())
    if not found:
        raise ValueError(f"{text!r} is not a difference in percentage points; write it like 2pp")
    return float(found[1]) / 100


def format_bytes(value: int | None) -> str:
    """Shortest exact-looking spelling ("64Mi", "1.5Gi"); "none" for None."""
    if value is None:
        return "none"
    for unit, size in (("Ti", TIB), ("Gi", GIB), ("Mi", MIB), ("Ki", KIB)):
        if value >= size:
            return f"{value / size:.4g}{unit}"
    return f"{value}"


def format_millicores(value: int | None) -> str:
    """Kubernetes spelling of millicores ("250m", "2"); "none" for None."""
    if value is None:
        return "none"
    return f"{value // 1000}" if value % 1000 == 0 else f"{value}m"


def format_duration(seconds: float) -> str:
    """Human spelling with two units at most ("0.6 s", "4 m 10 s", "3 h 20 m", "2 d 4 h")."""
    if seconds < 60:
        return f"{seconds:.3g} s"
    whole = round(seconds)
    for big, small, names in ((86400, 3600, "dh"), (3600, 60, "hm"), (60, 1, "ms")):
        if whole >= big:
            return f"{whole // big} {names[0]} {whole % big // small} {names[1]}"
    return f"{whole} s"
