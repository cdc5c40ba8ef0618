"""The task as the rest of raysweep sees it, whatever it was read from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from raysweep.units import Resources


@dataclass(frozen=True)  # no slots: it travels, and Python pickles slots slowly
class Task:
    """One task, normalised.

    spec: declared cpu (millicores), memory, storage (bytes); None where the task and the sweep's defaults say nothing.
    path: the task directory; None for a made-up task, which only the simulated sandbox can run.
    build_steps: "setup" when environment/setup.sh (or a Dockerfile of FROM / COPY / RUN /app/setup.sh only) makes the
    environment, so that a sandbox without images can run it; "image" when only an image can; "none" when nothing is
    to be made. needs_image says why an image is needed.
    ctrf: a command of tests/test.sh writes ctrf.json, so its absence means that the tests did not run.
    """

    name: str
    digest: str
    spec: Resources
    path: str | None = None
    instruction: str = ""
    agent_timeout_s: float = 900.0
    verifier_timeout_s: float = 600.0
    build_timeout_s: float = 600.0
    docker_image: str | None = None
    build_steps: str = "none"
    needs_image: str | None = None
    network: bool = False
    workdir: str = "/app"
    env: Mapping[str, str] = field(default_factory=dict)
    verifier_env: Mapping[str, str] = field(default_factory=dict)
    solution_env: Mapping[str, str] = field(default_factory=dict)
    strategies: tuple[str, ...] = ()
    ctrf: bool = False
    notes: tuple[str, ...] = ()

    @property
    def build_context(self) -> str | None:
        """The folder whose Dockerfile makes the task's image; None where no image is to be built."""
        if self.path is None or self.build_steps != "image" or self.docker_image is not None:
            return None
        return str(Path(self.path) / "environment")
