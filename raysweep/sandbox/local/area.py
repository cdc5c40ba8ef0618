"""The writable area of one sandbox on the host's disk, and what of the host it shows (pure but for `create_area`).

`root` becomes the sandbox's /, `up` and `work` are the upper sides of overlays over the host's folders, `spool` holds
the output of commands. All of it is on disk: a tmpfs would be charged to the task as memory that nobody can reclaim.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

HOST_FOLDERS = ("usr", "etc", "bin", "sbin", "lib", "lib32", "lib64", "libx32")
ROOT_FOLDERS = (
    "app", "logs", "logs/agent", "logs/verifier", "tests", "solution", "root", "home", "opt", "srv", "mnt", "media",
    "var", "var/tmp", "var/log", "var/cache", "var/lib", "run", "run/raysweep", "tmp", "usr", "etc", "proc", "dev",
)  # fmt: skip
STICKY = ("tmp", "var/tmp")
# An ordinary user owns only folders made in the upper layer; these merge with the host's and so can be written.
UPPER_FOLDERS = {"usr": ("local", *(f"local/{name}" for name in ("bin", "etc", "include", "lib", "sbin", "share")))}


@dataclass(frozen=True, slots=True)
class HostView:
    """What every sandbox shows of the host.

    overlays: host folder by name below /; symlinks: target by name; hidden: paths below an overlay that get a
    whiteout; rootfs: one folder in place of all that.
    """

    overlays: Mapping[str, str] = field(default_factory=dict)
    symlinks: Mapping[str, str] = field(default_factory=dict)
    hidden: Sequence[tuple[str, str]] = ()
    rootfs: str | None = None


def look_at_host(rootfs: Path | None) -> HostView:
    """The view of this host, or of `rootfs` in its place."""
    if rootfs is not None:
        return HostView(rootfs=str(rootfs))
    overlays, symlinks = {}, {}
    for name in HOST_FOLDERS:
        path = Path("/", name)
        if path.is_symlink():
            symlinks[name] = str(path.readlink())
        elif path.is_dir():
            overlays[name] = str(path)
    return HostView(overlays, symlinks, tuple(("etc", path) for path in private_paths(Path("/etc"))))


def private_paths(folder: Path) -> list[str]:
    """Entries below `folder` that not every user of the host may read (shadow, host keys), topmost only.

    As root the sandbox could read them; it shall see no more of the host than an ordinary user does.
    """
    found = []
    for at, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            path = Path(at, name)
            with contextlib.suppress(OSError):
                status = path.lstat()
                needed = stat.S_IROTH | (stat.S_IXOTH if stat.S_ISDIR(status.st_mode) else 0)
                if not stat.S_ISLNK(status.st_mode) and status.st_mode & needed != needed:
                    found.append(str(path.relative_to(folder)))
                    if name in folders:
                        folders.remove(name)
    return found


def create_area(area: Path, view: HostView, workdir: str, *, resolv: str | None = None) -> None:
    """Make the folders of one sandbox's area; `resolv` is the text of /etc/resolv.conf where it has network."""
    root = area / "up" / "all" if view.rootfs else area / "root"
    for name in (*ROOT_FOLDERS, workdir.strip("/")):
        if not (view.rootfs and Path(view.rootfs, name).is_symlink()):  # a folder would hide the link
            (root / name).mkdir(parents=True, exist_ok=True)
    for name in STICKY:
        with contextlib.suppress(FileNotFoundError):
            (root / name).chmod(0o1777)
    (root / "root").chmod(0o700)
    for name in ("spool", *(f"{side}/{layer}" for side in ("up", "work") for layer in layers(view))):
        (area / name).mkdir(parents=True, exist_ok=True)
    for layer in layers(view):
        for name in UPPER_FOLDERS.get(layer, ()):
            (area / "up" / layer / name).mkdir(exist_ok=True)
    for layer, name in view.hidden:
        _hide(area / "up" / layer, name)
    if resolv is not None:
        etc = root / "etc" if view.rootfs else area / "up" / "etc"
        (etc / "resolv.conf").write_text(resolv)


def layers(view: HostView) -> tuple[str, ...]:
    """Names of the overlays; a rootfs is one overlay called "all"."""
    return ("all",) if view.rootfs else tuple(view.overlays)


def _hide(upper: Path, name: str) -> None:
    """An overlay whiteout: a character device 0:0, which any user may make."""
    place = upper / name
    for parent in reversed(place.relative_to(upper).parents[:-1]):
        (upper / parent).mkdir(exist_ok=True)
    with contextlib.suppress(FileExistsError, PermissionError):
        os.mknod(place, stat.S_IFCHR | 0o600, os.makedev(0, 0))
