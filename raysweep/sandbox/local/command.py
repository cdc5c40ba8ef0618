"""The command line of a local sandbox: a launcher that joins the keeper's cgroup, a mount, bubblewrap (pure)."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from raysweep.sandbox.local.area import HostView, layers

SUPERVISOR = Path(__file__).with_name("inside")
INSIDE = "/run/raysweep"
PYTHON = "/usr/bin/python3"

# $1 number of cgroup files, then those, then the command. A supervisor must outlive a full run cgroup where it may.
_JOIN = """
n=$1; shift
while [ "$n" -gt 0 ]; do echo 0 > "$1" || exit 97; shift; n=$((n - 1)); done
{ echo -1000 > /proc/self/oom_score_adj; } 2>/dev/null
exec "$@"
"""
_BOOT = f"import sys; sys.path.append({INSIDE!r}); from inside.supervisor import main; main()"
# In a mount namespace of its own, so that the mount and the loop device end with the sandbox however it ends.
_MOUNT = 'mount -o loop,nosuid,nodev,noatime "$1" "$2" || exit 98; shift 2; exec "$@"'


def join_command(procs_files: Sequence[Path], command: Sequence[str]) -> list[str]:
    """`command` started inside the cgroup whose cgroup.procs files are given."""
    return ["/bin/sh", "-c", _JOIN, "raysweep", str(len(procs_files)), *map(str, procs_files), *command]


def mount_command(image: Path, at: Path, command: Sequence[str]) -> list[str]:
    """`command` started where `image` is mounted at `at`, for it alone."""
    unshare = shutil.which("unshare") or "unshare"
    inner = ["/bin/sh", "-c", _MOUNT, "raysweep", str(image), str(at), *command]
    return [unshare, "--mount", "--propagation", "private", "--", *inner]


def bwrap_command(
    bwrap: Path, area: Path, view: HostView, *, network: bool, inner: Sequence[str], filter_fd: int | None = None
) -> list[str]:
    """Bubblewrap's arguments around the process 1 `inner`; `filter_fd`: where a filter on system calls is read from.

    The user namespace maps only us, to 0: inside it looks like root and owns its files, with no capability and no way
    to another namespace.
    """
    argv = [
        str(bwrap), "--unshare-user", "--uid", "0", "--gid", "0", "--disable-userns", "--unshare-pid", "--unshare-ipc",
        "--unshare-uts", "--unshare-cgroup-try", "--hostname", "sandbox", "--die-with-parent", "--new-session",
        "--as-pid-1", "--cap-drop", "ALL",
    ]  # fmt: skip
    argv += [] if network else ["--unshare-net"]
    argv += [] if filter_fd is None else ["--seccomp", str(filter_fd)]
    argv += _file_system(area, view)
    argv += ["--bind", str(area / "spool"), INSIDE, "--ro-bind", str(SUPERVISOR), f"{INSIDE}/inside"]
    return [*argv, "--proc", "/proc", "--dev", "/dev", "--chdir", "/", "--", *inner]


def _file_system(area: Path, view: HostView) -> list[str]:
    if view.rootfs:
        up, work = str(area / "up" / "all"), str(area / "work" / "all")
        return ["--overlay-src", view.rootfs, "--overlay", up, work, "/"]
    argv = ["--bind", str(area / "root"), "/"]
    for layer in layers(view):
        up, work = str(area / "up" / layer), str(area / "work" / layer)
        argv += ["--overlay-src", view.overlays[layer], "--overlay", up, work, f"/{layer}"]
    for name, target in view.symlinks.items():
        argv += ["--symlink", target, f"/{name}"]
    return argv


def supervisor_command(procs_fds: Mapping[str, Sequence[int]], *, bounded: bool) -> list[str]:
    """Process 1: the supervisor, with the cgroup files of each phase as inherited descriptors."""
    config = json.dumps({"procs": {phase: list(fds) for phase, fds in procs_fds.items()}, "bounded": bounded})
    return [PYTHON, "-I", "-S", "-B", "-X", "utf8", "-c", _BOOT, config]
