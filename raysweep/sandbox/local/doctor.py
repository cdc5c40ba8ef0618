"""Checks of this machine for local sandboxes, each with its remedy; one by a sandbox that is really killed."""

from __future__ import annotations

import platform
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from raysweep.errors import RaysweepError, UnsuitableError
from raysweep.sandbox.local.area import create_area
from raysweep.sandbox.local.command import PYTHON, bwrap_command
from raysweep.sandbox.local.disk import remove_tree
from raysweep.sandbox.local.host import SCRATCH_VARIABLE, Host
from raysweep.sandbox.protocol import Check, Sandbox, SandboxSpec
from raysweep.sandbox.threads import in_thread
from raysweep.units import MIB, Resources, format_bytes

APPARMOR = Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
PROBE_LIMIT = 32 * MIB
PROBE_SCRIPT = "import sys; sys.stdout.write('alive'); sys.stdout.flush(); bytearray(96 << 20)"


class Examined(Protocol):
    """What the checks need of a provider."""

    def host(self) -> Host:
        """The machine, made ready; UnsuitableError where it cannot be."""
        ...

    def open(self, spec: SandboxSpec) -> Sandbox:
        """A sandbox that is not started yet."""
        ...


def run_checks(provider: Examined) -> Sequence[Check]:
    """All checks in the order in which they should be mended; later ones are left out where an earlier one fails."""
    linux = platform.system() == "Linux"
    checks = [Check("linux", linux, platform.system(), "" if linux else "use `sandbox: {kind: docker}`")]
    if not linux:
        return checks
    try:
        host = provider.host()
    except UnsuitableError as error:
        return [*checks, Check("cgroup", ok=False, found=error.missing, remedy=error.remedy)]
    checks.append(Check("cgroup", ok=True, found=f"v{host.version} at {host.parent.folders[0]}"))
    checks += [scratch_check(host), python_check(host), namespace_check(host)]
    if all(check.ok for check in checks):
        checks.append(in_thread(kill_probe(provider)))
    return [*checks, disk_check(host), swap_check(host), log_check(host)]


def scratch_check(host: Host) -> Check:
    """The scratch folder must be on a disk: on a tmpfs a task's files would be memory that is charged to it."""
    kind = file_system(host.scratch, Path("/proc/self/mountinfo").read_text())
    remedy = f"set {SCRATCH_VARIABLE} to a folder on a disk (in a container: on a volume)"
    ok = kind not in {"tmpfs", "ramfs", "overlay"}
    return Check(
        "scratch", ok, f"{host.scratch} is on {kind}" + ("" if ok else ", not on a disk"), "" if ok else remedy
    )


def file_system(path: Path, mountinfo: str) -> str:
    """Type of the file system that holds `path`, from the text of /proc/self/mountinfo."""
    best, kind = "", "unknown"
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        mount = before.split()[4]
        inside = path.resolve().is_relative_to(mount)
        if inside and len(mount) >= len(best):
            best, kind = mount, after.split()[0]
    return kind


def python_check(host: Host) -> Check:
    """The supervisor runs on the Python that the sandbox itself has."""
    path = Path(f"{host.view.rootfs or ''}{PYTHON}")
    ok = path.exists()
    return Check("python", ok, str(path), "" if ok else f"install Python 3 as {PYTHON} (apt-get install python3)")


def namespace_check(host: Host) -> Check:
    """Whether bubblewrap can make its namespaces and overlays here, and Python runs inside."""
    folder = Path(tempfile.mkdtemp(prefix="check-", dir=host.scratch))
    try:
        create_area(folder, host.view, "/app")
        inner = [PYTHON, "-I", "-S", "-c", "import ctypes, hashlib, json, selectors, tarfile"]
        argv = bwrap_command(host.bwrap, folder, host.view, network=False, inner=inner)
        done = subprocess.run(argv, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=120)
    finally:
        remove_tree(folder)
    if done.returncode == 0:
        return Check("namespaces", ok=True, found="bubblewrap, overlays and Python work")
    text = done.stderr.strip()
    return Check("namespaces", ok=False, found=f"bubblewrap cannot make a sandbox: {text}", remedy=_remedy(text))


def _remedy(text: str) -> str:
    if "overlay" in text.lower():
        return f"set {SCRATCH_VARIABLE} to a folder on ext4 or xfs; overlays without root need Linux 5.11 or newer"
    if APPARMOR.exists() and APPARMOR.read_text().strip() == "1":
        return (
            "this Ubuntu restricts user namespaces: `sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0`, "
            "or run as root"
        )
    if "python" in text.lower():
        return f"install Python 3 with its standard library as {PYTHON} (apt-get install python3)"
    return (
        "run as root, or allow user namespaces: `sudo sysctl user.max_user_namespaces=10000` and, on Debian, "
        "`kernel.unprivileged_userns_clone=1`; in a container: --privileged"
    )


async def kill_probe(provider: Examined) -> Check:
    """A process that wants thrice its limit must be killed by that limit, and the counters must say so."""
    limit = Resources(cpu=1000, memory=PROBE_LIMIT)
    sandbox = provider.open(SandboxSpec("doctor", "probe", request=limit, limit=limit, pids=64))
    try:
        await sandbox.start()
        result = await sandbox.exec("probe", [PYTHON, "-I", "-S", "-c", PROBE_SCRIPT], timeout_s=60)
        counters = await sandbox.counters()
    except (RaysweepError, OSError) as error:
        return Check("memory limit", ok=False, found=str(error), remedy="see the message")
    finally:
        await sandbox.stop()
    killed = result.facts.signal == 9 and result.stdout == b"alive" and bool(counters.oom_kills)
    limit_text = format_bytes(PROBE_LIMIT)
    found = f"killed at {limit_text}" if killed else f"not killed at {limit_text}: {result.facts}"
    return Check("memory limit", ok=killed, found=found, remedy="" if killed else "use another kernel or machine")


def disk_check(host: Host) -> Check:
    """Whether storage limits are enforced; a run goes on without."""
    found = "storage limits are enforced" if host.disk_problem is None else f"not enforced: {host.disk_problem}"
    remedy = "" if host.disk_problem is None else "run as root where storage limits matter"
    return Check("disk", host.disk_problem is None, found, remedy, required=False)


def swap_check(host: Host) -> Check:
    """Swap is bounded for every task, but other processes' swapping makes timings noisy."""
    remedy = "`sudo swapoff -a` for steadier timings; a task itself gets none" if host.swap else ""
    return Check("swap", not host.swap, "on" if host.swap else "off", remedy, required=False)


def log_check(host: Host) -> Check:
    """The kernel log tells whose limit was full; on v1 without it high-water marks must do."""
    ok = host.log.readable
    remedy = "" if ok else "run as root, or `sudo sysctl kernel.dmesg_restrict=0`; not needed with cgroup v2"
    return Check("kernel log", ok, "readable" if ok else "not readable", remedy, required=False)
