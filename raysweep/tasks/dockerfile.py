"""What environment/ takes to build: nothing, its setup.sh, or a container image.

A Dockerfile that only copies environment/ to /app and runs /app/setup.sh can be replayed in a sandbox without images.
Anything else needs an image; the answer then says which line.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

APP = "/app"
NOT_COPIED = ("Dockerfile", ".dockerignore")
_RUN_SETUP = re.compile(r"^(?:(?:/bin/|/usr/bin/)?(?:ba)?sh\s+)?(/app/setup\.sh|(?:\./)?setup\.sh)$")


def instructions(text: str) -> list[tuple[int, str, str]]:
    """(line number, INSTRUCTION, rest) of a Dockerfile, continuation lines joined, comments left out."""
    found: list[tuple[int, str, str]] = []
    start, pending = 0, ""
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        start = start if pending else number
        pending = f"{pending} {line}".strip()
        if pending.endswith("\\"):
            pending = pending[:-1].rstrip()
            continue
        word, _, rest = pending.partition(" ")
        found.append((start, word.upper(), rest.strip()))
        pending = ""
    return found


def build_need(environment: Path, docker_image: str | None) -> tuple[str, str | None, str | None]:
    """(build_steps, needs_image, workdir) as `tasks.model.Task` documents them; workdir where the Dockerfile says."""
    if docker_image is not None:
        return "image", f"its task.toml names the image {docker_image}", None
    dockerfile = environment / "Dockerfile"
    if not dockerfile.is_file():
        return ("setup" if (environment / "setup.sh").is_file() else "none"), None, None
    lines = instructions(dockerfile.read_text(errors="replace"))
    workdir, reading = last_workdir(lines), _Reading(environment)
    for number, word, rest in lines:
        if not reading.takes(word, rest):
            return "image", f"environment/Dockerfile:{number}: {word} {rest}"[:160], workdir
    return (*reading.end(), workdir)


def last_workdir(lines: list[tuple[int, str, str]]) -> str | None:
    """The working directory in which the last stage ends; None where it says none, or one that only a build knows."""
    at: str | None = None
    stage = ""
    stages: dict[str, str | None] = {}
    for _, word, rest in lines:
        if word == "FROM":
            names = [name.lower() for name in rest.split() if not name.startswith("--")]
            at = stages.get(names[0]) if names else None
            stage = names[-1] if len(names) > 2 and names[-2] == "as" else ""
        elif word == "WORKDIR":
            at = posixpath.normpath(posixpath.join(at or "/", rest.strip("\"'")))
        else:
            continue
        stages[stage] = at
    return None if at is None or "$" in at else at


class _Reading:
    """Walks a Dockerfile as long as setup.sh alone can stand in for it."""

    def __init__(self, environment: Path) -> None:
        paths = [p for p in environment.iterdir() if p.name not in {*NOT_COPIED, "__pycache__"}]
        self._entries = {p.name for p in paths}
        self._folders = {p.name for p in paths if p.is_dir()}
        self._workdir = "/"
        self._stages = 0
        self.copied: set[str] = set()
        self.runs_setup = False

    def end(self) -> tuple[str, str | None]:
        """(build_steps, needs_image) once every instruction was taken."""
        if not self.copied:
            return "none", None
        missing = sorted(self._entries - self.copied)
        if missing:
            return "image", f"environment/Dockerfile does not copy {', '.join(missing)} to {APP}"
        if "setup.sh" in self.copied and not self.runs_setup:
            return "image", "environment/Dockerfile copies setup.sh but does not run it"
        return "setup", None

    def takes(self, word: str, rest: str) -> bool:
        """Whether this instruction can be replayed without an image."""
        if word == "FROM":
            self._stages += 1
            return self._stages == 1
        if word == "WORKDIR":
            self._workdir = rest.rstrip("/") or "/"
            return rest.startswith("/")
        if word == "COPY":
            return not self.runs_setup and self._copy(rest.split())
        if word == "RUN":
            return self._run(rest)
        return False

    def _copy(self, words: list[str]) -> bool:
        if len(words) < 2 or words[0].startswith(("-", "[")):
            return False
        *sources, dest = words
        target = posixpath.normpath(posixpath.join(self._workdir, dest))
        if sources in (["."], ["./"]):
            self.copied |= self._entries
            return target == APP
        names = [s.removeprefix("./").rstrip("/") for s in sources]
        self.copied |= set(names)
        if target == APP:  # COPY of a folder copies what is in it, not the folder itself
            return set(names) <= self._entries - self._folders
        return set(names) <= self._entries and len(names) == 1 and target == f"{APP}/{names[0]}"

    def _run(self, command: str) -> bool:
        found = _RUN_SETUP.match(command)
        at_app = found is not None and (found[1].startswith(APP) or self._workdir == APP)
        self.runs_setup = self.runs_setup or at_app
        return at_app and "setup.sh" in self.copied
