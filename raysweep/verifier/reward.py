"""Harbor's reward files to one number, or to the reason why there is none; pure."""

from __future__ import annotations

import io
import json
import math
import tarfile

_TYPES = {
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.LNKTYPE: "a hard link",
    tarfile.FIFOTYPE: "a named pipe",
    tarfile.DIRTYPE: "a folder",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
}


def read_archive(archive: bytes, name: str) -> bytes | None:
    """The bytes of the file `name` from a tar archive as `Sandbox.get` returns it; None for an empty archive.

    ValueError says so where it is no regular file: a link could lead to what the tests did not write.
    """
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as opened:
            entry = opened.next()
            if entry is None:
                return None
            if not entry.isreg():
                what = _TYPES.get(entry.type, "no regular file")
                raise ValueError(f"{name} is {what}; test.sh must write a regular file")
            stream = opened.extractfile(entry)
            return stream.read() if stream is not None else None
    except tarfile.TarError as error:
        raise ValueError(f"{name} arrived damaged: {error}") from error


def parse_reward(as_json: bytes | None, as_text: bytes | None) -> tuple[float | None, str | None]:
    """(reward, problem), exactly one of them set, from the bytes of reward.json and reward.txt (None = no such file).

    reward.json wins, also when it cannot be read: a broken file is not covered up by the other. It is a flat object of
    numbers; the reward is its key "reward", else its only value. Several values and none called "reward" are a problem:
    their scales are unknown, so a mean would be a number of our own making. reward.txt is one finite number.
    """
    if as_json is not None:
        return _from_json(as_json)
    if as_text is not None:
        return _from_text(as_text)
    return None, "the verifier wrote neither reward.json nor reward.txt"


def _from_json(data: bytes) -> tuple[float | None, str | None]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return None, "reward.json is empty" if not data.strip() else "reward.json is not JSON"
    if not isinstance(value, dict) or not value:
        return None, "reward.json is not an object with a reward"
    for name, item in value.items():
        if not _is_finite_number(item):
            return None, f"reward.json: {name} is not a finite number"
    if "reward" in value:
        return float(value["reward"]), None
    if len(value) == 1:
        return float(next(iter(value.values()))), None
    return None, f'reward.json has {len(value)} values and none is called "reward"'


def _is_finite_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer that no float can hold
        return False


def _from_text(data: bytes) -> tuple[float | None, str | None]:
    text = data.decode("utf-8", errors="replace").strip()
    if not text:
        return None, "reward.txt is empty"
    try:
        value = float(text)
    except ValueError:
        return None, f"reward.txt is not a number: {text[:40]!r}"
    if not math.isfinite(value):
        return None, f"reward.txt is not a finite number: {text[:40]!r}"
    return value, None
