"""Copies of tasks on this machine: unpacked once, checked by digest, and made again where somebody changed them.

They lie in a cache of the user's, by digest, whatever run they belong to. Nothing of a task's source is read after a
run began.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from raysweep.tasks.archive import unpack_task
from raysweep.tasks.folder import folder_digest

Fetch = Callable[[str], bytes]
"""Gets the archive of the task with a digest."""

UNUSED_S = 30 * 86400.0
"""Copies that no attempt used for so long are removed when another one is made."""
TOUCH_S = 3600.0
"""How often the use of a copy is noted."""


_CHECKED: dict[Path, tuple[str, int]] = {}
"""Copies whose digest was taken in this process, and what the file system said of them then: a large task is hashed
once, whoever asks for it."""


class TaskCopies:
    """Copies by digest. fetch: where archives come from; root: where copies lie, by default the user's cache."""

    def __init__(self, fetch: Fetch, root: Path | None = None) -> None:
        self._fetch = fetch
        self._root = root
        self._locks: dict[str, threading.Lock] = {}
        self._guard = threading.Lock()

    def folder(self, digest: str) -> Path:
        """The folder of the task with that digest, as it was kept; blocking.

        Raises:
            InputError: the kept archive is damaged, or cannot be had.

        """
        with self._guard:
            lock = self._locks.setdefault(digest, threading.Lock())
        with lock:
            self._root = self._root or cache_root()
            folder = self._root / digest.removeprefix("sha256:")
            if self._is_sound(folder, digest):
                _note_use(folder)
            else:
                self._make(folder, digest)
            return folder

    @staticmethod
    def _is_sound(folder: Path, digest: str) -> bool:
        """Whether the copy is as it was made; its digest is taken again only where the file system saw a change."""
        try:
            now = _fingerprint(folder)
            if _CHECKED.get(folder) != (digest, now) and folder_digest(folder) == digest:
                _CHECKED[folder] = digest, now
        except OSError:
            return False
        return _CHECKED.get(folder) == (digest, now)

    def _make(self, folder: Path, digest: str) -> None:
        """Unpack beside `folder` and rename: whoever looks sees a whole copy or none."""
        archive = self._fetch(digest)
        folder.parent.mkdir(parents=True, exist_ok=True)
        _remove_unused(folder.parent)
        scratch = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".new-"))
        try:
            unpack_task(archive, digest, scratch / "task")
            while not self._is_sound(folder, digest):
                with contextlib.suppress(OSError):
                    folder.rename(scratch / f"changed-{time.monotonic_ns()}")
                with contextlib.suppress(OSError):  # another process was first
                    (scratch / "task").rename(folder)
                    _CHECKED[folder] = digest, _fingerprint(folder)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def cache_root() -> Path:
    """The user's folder for copies: below $RAYSWEEP_SCRATCH, else /var/tmp, else the temporary folder."""
    own = f"tasks-{os.getuid()}"
    for place in _places():
        folder = place / own
        with contextlib.suppress(OSError):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            about = folder.lstat()
            if about.st_uid == os.getuid() and not about.st_mode & 0o022 and os.access(folder, os.W_OK | os.X_OK):
                return folder
    return Path(tempfile.mkdtemp(prefix=f"raysweep-{own}-"))


def _places() -> Iterator[Path]:
    given = os.environ.get("RAYSWEEP_SCRATCH")
    if given:
        yield Path(given)
    for base in ("/var/tmp", tempfile.gettempdir()):
        yield Path(base) / f"raysweep-{os.getuid()}"


def _fingerprint(folder: Path) -> int:
    """What changes when anything below `folder` is written, renamed or given other rights."""
    seen = []
    for at, folders, files in os.walk(folder, onerror=_raise):
        for name in (*folders, *files):
            path = Path(at, name)
            s = path.lstat()
            seen.append((str(path), s.st_ino, s.st_mode, s.st_size, s.st_mtime_ns, s.st_ctime_ns))
    return hash(tuple(sorted(seen)))


def _raise(error: OSError) -> None:
    raise error


def _note_use(folder: Path) -> None:
    with contextlib.suppress(OSError):
        if time.time() - folder.stat().st_mtime > TOUCH_S:
            os.utime(folder)


def _remove_unused(root: Path) -> None:
    for folder in root.iterdir():
        with contextlib.suppress(OSError):
            if time.time() - folder.stat().st_mtime > UNUSED_S:
                shutil.rmtree(folder, ignore_errors=True)
