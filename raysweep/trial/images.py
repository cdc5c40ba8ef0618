"""A tag that was not pinned must mean one image in the whole run: what was seen of it, and the refusal. No I/O."""

from __future__ import annotations

from collections.abc import Mapping

from raysweep.errors import SandboxError
from raysweep.trial.order import TrialOrder


def image_identity(node: Mapping[str, object]) -> str | None:
    """What tells the image of an attempt from others in its node facts: an id of the engine, else a digest."""
    told = node.get("image_id") or node.get("image_digest")
    return told if isinstance(told, str) else None


def is_moved(before: str, now: str) -> bool:
    """Whether two identities are of different images; an id and a registry's digest cannot be compared."""
    (name, at, digest), (name_now, at_now, digest_now) = before.rpartition("@"), now.rpartition("@")
    del name, name_now  # a mirror serves the same digest
    return at == at_now and digest != digest_now


class SeenImages:
    """The first identity of each image in a run, as far as one runner saw it or its orders told."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], str] = {}

    def refuse_moved(self, order: TrialOrder, node: Mapping[str, object]) -> None:
        """SandboxError("image") when the tag of `order` meant another image before; nothing for pinned names."""
        now = image_identity(node)
        if order.image is None or "@" in order.image or now is None:
            return
        key = (order.run_id, order.image)
        if order.image_seen is not None:
            self._seen.setdefault(key, order.image_seen)
        before = self._seen.setdefault(key, now)
        if is_moved(before, now):
            raise SandboxError("image", f"the tag {order.image} moved from {before} to {now}; put it back")
