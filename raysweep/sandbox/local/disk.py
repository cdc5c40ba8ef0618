"""The disk bound: a sparse ext4 image of the storage limit that only its sandbox mounts (root); nothing otherwise."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from raysweep.units import MIB

OVERHEAD = 0.025
"""Share of an image that ext4 keeps for its own tables, so that the limit itself can be filled with data."""


def can_mount_images() -> str | None:
    """Why loop-mounted images are not possible here, or None when they are."""
    if os.geteuid() != 0:
        return "only root may mount a disk image"
    for tool in ("mkfs.ext4", "mount", "unshare"):
        if which(tool) is None:
            return f"{tool} is not installed"
    if not Path("/dev/loop-control").exists():
        return "/dev/loop-control is missing (modprobe loop)"
    return None


def which(tool: str) -> str | None:
    """Path of a system tool; an ordinary PATH lacks the sbin folders."""
    return shutil.which(tool, path=os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin")


def make_image(image: Path, limit: int, content: Path) -> None:
    """Make a sparse ext4 image that holds `limit` bytes of data besides `content`; OSError when mkfs fails."""
    size = int(limit * (1 + OVERHEAD)) + 4 * MIB
    with image.open("wb") as file:
        file.truncate(size)
    options = ["-q", "-F", "-m", "0", "-O", "^has_journal", "-E", "lazy_itable_init=1,nodiscard,root_owner=0:0"]
    command = [which("mkfs.ext4") or "mkfs.ext4", *options, "-d", str(content), str(image)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise OSError(f"mkfs.ext4 failed: {done.stderr.strip()}")


def _unless_gone(_: object, __: str, error: BaseException) -> None:
    """What another remover (a dying runner, a second start) took first is removed all the same."""
    if not isinstance(error, FileNotFoundError):
        raise error


def remove_tree(path: Path) -> None:
    """Remove a sandbox's files, also those whose folders it had made unreadable; absent is fine."""
    for _ in range(2):
        with contextlib.suppress(FileNotFoundError):
            try:
                shutil.rmtree(path)
            except PermissionError:
                _open_folders(path)
            else:
                return
    if sys.version_info >= (3, 12):
        shutil.rmtree(path, onexc=_unless_gone)
    else:
        shutil.rmtree(path, onerror=lambda function, at, info: _unless_gone(function, at, info[1]))


def _open_folders(path: Path) -> None:
    path.chmod(0o700)
    for at, folders, _ in os.walk(path):
        for name in folders:
            folder = Path(at, name)
            if not folder.is_symlink():
                folder.chmod(0o700)
