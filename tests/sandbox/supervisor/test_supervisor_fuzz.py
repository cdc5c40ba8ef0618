"""The supervisor under ASAN and UBSAN: two fuzz targets, frames and archives, for a short while, and its own tests.

To fuzz longer: RAYSWEEP_FUZZ=N multiplies the inputs, RAYSWEEP_FUZZ_SEED begins elsewhere.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
SOURCE = ROOT / "raysweep/sandbox/supervisor/source"
FLAGS = (
    *("-std=c11", "-g", "-O1", "-Wall", "-Wextra", "-Werror"),
    *("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"),
    *(f"-I{SOURCE}", f"-I{HERE / 'fuzz'}"),
)
NO_PLACE = 77
TIMES = int(os.environ.get("RAYSWEEP_FUZZ", "1"))
SEED = os.environ.get("RAYSWEEP_FUZZ_SEED", "20261201")


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """Compiles sources to a program with both sanitizers; skips where there is no gcc with their libraries."""
    if shutil.which("gcc") is None:
        pytest.skip("no gcc here")
    folder = tmp_path_factory.mktemp("sanitized")
    empty = folder / "empty.c"
    empty.write_text("int main(void) { return 0; }\n")
    if (tried := _compile(folder / "empty", [empty])).returncode:
        pytest.skip(f"gcc cannot link the sanitizers: {tried.stderr[-300:]}")

    def make(name: str, sources: list[Path], *flags: str) -> Path:
        done = _compile(folder / name, sources, *flags)
        assert done.returncode == 0, done.stderr
        return folder / name

    return make


def _compile(target: Path, sources: list[Path], *flags: str) -> subprocess.CompletedProcess[str]:
    command = ["gcc", *FLAGS, *flags, "-o", target, *sources]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def sources(*names: str) -> list[Path]:
    return [SOURCE / f"{name}.c" for name in names]


def test_fuzzed_frames_find_nothing(build, tmp_path):
    parts = ("connection", "request", "command", "transfer", "spool", "samples", "cgroup", "text", "sha256")
    stand_ins = ("-Dfork=fuzz_fork", "-Dkill=fuzz_kill")
    program = build("frames", [HERE / "fuzz/frames.c", *sources(*parts)], *stand_ins)
    env = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}
    command = [program, str(100_000 * TIMES), SEED, tmp_path / "spool"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]


def test_fuzzed_archives_find_nothing(build, tmp_path):
    program = build("archives", [HERE / "fuzz/archives.c", *sources("unpack", "pack", "text", "sha256")])
    seeds = []
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        seeds.append(tmp_path / f"{form}.tar")
        seeds[-1].write_bytes(seed_archive(form))
    root = tmp_path / "root"
    root.mkdir()
    env = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}
    command = [program, str(1000 * TIMES), SEED, root, *seeds]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode == NO_PLACE:
        pytest.skip("changing the root of a process needs root or user namespaces")
    assert done.returncode == 0, f"its input is {root}.input\n{done.stderr[-4000:]}"


UNLIKE = ("memory", "does_not_read", "at_rest", "nowhere", "trace")
"""Parts of names of tests that a sanitized build cannot pass: they look at its memory, its system calls or its path."""


def test_its_own_tests_pass_on_a_sanitized_build(build, needs_unshare):
    program = build("supervisor", [HERE / "fuzz/options.c", *sorted(SOURCE.glob("*.c"))])
    files = [HERE / f"test_supervisor_{name}.py" for name in ("archives", "commands", "frames")]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *files]
    chosen = " and ".join(f"not {part}" for part in UNLIKE)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    environment["RAYSWEEP_TEST_SUPERVISOR"] = str(program)
    done = subprocess.run(
        [*command, "-k", chosen], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:]


def seed_archive(form: int) -> bytes:
    """Every kind of member, names and links that are too long for a header, times before 1970 and with fractions."""
    sink = io.BytesIO()
    links = {"link": "d", "far": "t" * 150}
    with tarfile.open(fileobj=sink, mode="w", format=form) as tar:
        for name, kind, content in (
            ("d", tarfile.DIRTYPE, b""),
            ("d/f", tarfile.REGTYPE, b"x" * 700),
            ("d/" + "n" * 120, tarfile.REGTYPE, b"y"),
            ("link", tarfile.SYMTYPE, b""),
            ("link/through", tarfile.REGTYPE, b"z"),
            ("far", tarfile.SYMTYPE, b""),
            ("pipe", tarfile.FIFOTYPE, b""),
            ("d/./e/", tarfile.DIRTYPE, b""),
            ("old", tarfile.REGTYPE, b"o"),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.size, info.linkname = kind, len(content), links.get(name, "")
            info.mtime = -1.5 if name == "old" and form == tarfile.PAX_FORMAT else 1_600_000_000
            tar.addfile(info, io.BytesIO(content))
        hard = tarfile.TarInfo("hard")
        hard.type, hard.linkname = tarfile.LNKTYPE, "d/f"
        tar.addfile(hard)
    return sink.getvalue()
