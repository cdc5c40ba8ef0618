"""Names of images: which registry and repository one means, its tag and digest, and the name that pins it. Pure.

The rules are those that docker, containerd and podman share; asking a registry is done in `sandbox.registry`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

HUB = "docker.io"
"""The registry of names that name none."""
DEFAULT_TAG = "latest"

_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:]+\])(?::[0-9]+)?")
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_PART}(?:/{_PART})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")


@dataclass(frozen=True, slots=True)
class ImageName:
    """A name of an image, taken apart.

    written: the repository as it was written, without tag and digest. host: its registry ("docker.io", with a port
    where one is told). path: the repository there ("library/python"). digest: where the name itself carries one.
    """

    written: str
    host: str
    path: str
    tag: str = DEFAULT_TAG
    digest: str | None = None

    @property
    def repository(self) -> str:
        """The same for all spellings of one repository."""
        return f"{self.host}/{self.path}"

    def pinned(self, digest: str) -> str:
        """The name that means `digest` wherever the tag points to."""
        return f"{self.written}@{digest}"


def parse_name(text: str) -> ImageName:
    """`text` taken apart; ValueError when it is not the name of an image."""
    rest, at, digest = text.partition("@")
    folder, slash, last = rest.rpartition("/")
    last, colon, tag = last.partition(":")
    written = f"{folder}{slash}{last}"
    host, path = _registry(written)
    if (
        not _HOST.fullmatch(host)
        or not _PATH.fullmatch(path)
        or (colon and not _TAG.fullmatch(tag))
        or (at and not is_digest(digest))
    ):
        raise ValueError(f"{text!r} is not the name of an image")
    return ImageName(written, host, path, tag or DEFAULT_TAG, digest or None)


def mirrored(text: str, mirror: str) -> str:
    """The name of the copy of image `text` below `mirror` (REGISTRY/PATH): its full name there, tag and digest kept.

    What is not the name of an image stays as it is, for those to refuse who run it.
    """
    try:
        name = parse_name(text)
    except ValueError:
        return text
    digest = f"@{name.digest}" if name.digest else ""
    return f"{mirror.rstrip('/')}/{name.repository}:{name.tag}{digest}"


def _registry(written: str) -> tuple[str, str]:
    """(host, path): the first part is a host where only a host can look like it."""
    first, slash, path = written.partition("/")
    if not slash or not ({".", ":"} & set(first) or first == "localhost" or first != first.lower()):
        first, path = HUB, written
    if first in {HUB, f"index.{HUB}"}:
        return HUB, path if "/" in path else f"library/{path}"
    return first, path


def is_digest(text: str) -> bool:
    """Whether `text` is a digest such as sha256:<64 hex digits>."""
    return _DIGEST.fullmatch(text) is not None
