"""Builds the supervisor with the ziglang wheel; run by scripts/build-supervisor in an environment that has it.

Standard library only. The bytes depend on the source, the flags below and the compiler's version, on nothing else:
no paths, no dates, no host names. Exit 0, or 1 when --check finds a difference or the compiler fails.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
SOURCE = HERE / "source"
BIN = HERE / "bin"
SUMS = "SHA256SUMS"
TARGETS = {"amd64": "x86_64-linux-musl", "arm64": "aarch64-linux-musl"}
FLAGS = (
    *("-std=c11", "-Os", "-g0", "-static", "-s"),
    *("-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Wno-sign-conversion", "-Werror"),
    *("-fstack-protector-strong", "-ffunction-sections", "-fdata-sections"),
    *("-fno-unwind-tables", "-fno-asynchronous-unwind-tables"),
    *("-Wl,--gc-sections", "-Wl,--build-id=none", "-ffile-prefix-map=.=source"),
)


def build(folder: Path) -> None:
    """Make both binaries and their checksums in `folder`; CalledProcessError when the compiler refuses."""
    folder.mkdir(parents=True, exist_ok=True)
    sources = sorted(path.name for path in SOURCE.glob("*.c"))
    lines = []
    with tempfile.TemporaryDirectory() as cache:
        env = {"ZIG_GLOBAL_CACHE_DIR": cache, **os.environ, "ZIG_LOCAL_CACHE_DIR": cache}
        for machine, target in TARGETS.items():
            out = folder / f"raysweep-supervisor-{machine}"
            compiler = (sys.executable, "-m", "ziglang", "cc", "-target", target)
            subprocess.run((*compiler, *FLAGS, "-o", str(out), *sources), cwd=SOURCE, env=env, check=True)
            out.chmod(0o755)
            lines.append(f"{hashlib.sha256(out.read_bytes()).hexdigest()}  {out.name}\n")
    (folder / SUMS).write_text("".join(lines))


def differences(folder: Path) -> list[str]:
    """What differs between a fresh build in `folder`, the committed checksums, and the committed binaries."""
    committed = (BIN / SUMS).read_text().splitlines()
    problems = [
        f"built {new!r}, {SUMS} has {old!r}"
        for new, old in zip((folder / SUMS).read_text().splitlines(), committed, strict=True)
        if new != old
    ]
    for line in committed:
        digest, name = line.split()
        if hashlib.sha256((BIN / name).read_bytes()).hexdigest() != digest:
            problems.append(f"bin/{name} is not the one that {SUMS} names")
    return problems


def main(arguments: list[str]) -> int:
    """Build in place, or check."""
    if arguments not in ([], ["--check"]):
        sys.stderr.write("usage: build-supervisor [--check]\n")
        return 2
    try:
        if not arguments:
            build(BIN)
            return 0
        with tempfile.TemporaryDirectory() as folder:
            build(Path(folder))
            problems = differences(Path(folder))
    except subprocess.CalledProcessError as error:
        sys.stderr.write(f"error: the compiler ended with status {error.returncode}\n")
        return 1
    for line in problems:
        sys.stderr.write(f"error: {line}\n")
    if problems:
        sys.stderr.write("error: the committed binaries are not what the source gives; run scripts/build-supervisor\n")
        return 1
    sys.stdout.write("the committed binaries are what the source gives\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
