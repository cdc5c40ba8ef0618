"""The sandbox protocol that every kind implements and `raysweep.testing.conformance` checks.

All methods are coroutines and never block the event loop; a runner keeps hundreds of sandboxes open at once.
Platform failures are `SandboxError(cause, detail)`; everything else that goes wrong inside is a value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from raysweep.record.evidence import CommandFacts, Evicted, PhaseCounters, Sample
from raysweep.units import Resources
from raysweep.vocabulary import Enforcement, OomScope

ARCHIVE_LIMIT = 64 << 20
"""Bytes of an archive that comes out of a sandbox, where the caller names no other bound."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a kind of sandbox enforces on this machine; tests and reports choose their expectations by it.

    memory, cpu: "enforced" or "none". pids: "enforced", "node_setting" or "none". disk: "enospc", "evict" or "none".
    oom: "process" (one victim) or "group" (the whole sandbox). network_isolation: no network unless asked for.
    cgroup: 1, 2, or None when counters are not read from a cgroup. egress: a bound on what is sent is "enforced",
    "requested" (of a platform that may not act on it) or "none".
    """

    memory: Enforcement = Enforcement.NONE
    cpu: Enforcement = Enforcement.NONE
    pids: Enforcement = Enforcement.NONE
    disk: Enforcement = Enforcement.NONE
    oom: OomScope = OomScope.PROCESS
    network_isolation: bool = False
    cgroup: int | None = None
    egress: Enforcement = Enforcement.NONE


@dataclass(frozen=True, slots=True)
class SandboxSpec:
    """What to create. `name` is deterministic (the attempt id) and unique within `run_id`.

    labels: facts of the trial (task, model, band, bucket, occasion, attempt ...), strings, for pods and simulation.
    pids: upper bound on tasks inside. `network`: the task asked for network access. image: what the task names, if it
    does. build_context: folder whose Dockerfile makes the image, where the task has one that only an image can hold.
    lifetime_s: seconds after which the platform may end it if nobody else did; None leaves that to the kind.
    egress: bytes a second that it may send, None for no bound; whether that holds, Capabilities say. node_selector:
    labels of the nodes that may take it, beside what holds for the whole run (kubernetes).
    """

    run_id: str
    name: str
    request: Resources
    limit: Resources
    network: bool = False
    env: Mapping[str, str] = field(default_factory=dict)
    workdir: str = "/app"
    pids: int = 1024
    image: str | None = None
    build_context: str | None = None
    build_timeout_s: float = 600.0
    lifetime_s: float | None = None
    seed: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    egress: int | None = None
    node_selector: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Admitted:
    """The spec as it really is, read back after creation: bounds, and facts of the node that serves it."""

    request: Resources
    limit: Resources
    node: Mapping[str, str | int | float | bool | None] = field(default_factory=dict)
    image_pulled: bool | None = None


@dataclass(frozen=True, slots=True)
class ExecResult:
    """How a command ended, and its output: at most the asked number of bytes of each stream, with the full counts."""

    facts: CommandFacts
    stdout: bytes = b""
    stderr: bytes = b""
    stdout_bytes: int = 0
    stderr_bytes: int = 0

    def ending(self) -> str:
        """How the command ended and the last lines that it printed, in one line for a person."""
        return f"{self.facts.ending()}{_printed(self.stderr.strip() or self.stdout.strip())}"


LAST_LINES, LAST_CHARACTERS = 5, 400
"""Of what a command printed, what is repeated where its failure is told."""


def last_lines(output: bytes) -> str:
    """The last lines of an output as one line of text; control characters become spaces."""
    lines = [line.strip() for line in output.decode(errors="replace").splitlines() if line.strip()]
    text = " | ".join(lines[-LAST_LINES:])[-LAST_CHARACTERS:]
    return "".join(c if c.isprintable() else " " for c in text)


def _printed(output: bytes) -> str:
    text = last_lines(output)
    return f": {text}" if text else ""


@dataclass(frozen=True, slots=True)
class FinalFacts:
    """What was read just before the sandbox was removed.

    actual_*: the bounds read at the end (a difference to Admitted is an altered arm). died_in: the phase in which the
    sandbox ended by itself. platform: a platform cause seen at the end, if any. broken: as in Evidence, seen at the
    end. node: facts of the node at the end, by names that differ from Admitted's where both are wanted.
    transport_down_s: seconds without a stream to it.
    """

    actual_request: Resources
    actual_limit: Resources
    counters: Mapping[str, PhaseCounters] = field(default_factory=dict)
    samples: Sequence[Sample] = ()
    died_in: str | None = None
    evicted: Evicted | None = None
    platform: str | None = None
    platform_detail: str | None = None
    broken: str | None = None
    transport_down_s: float | None = None
    node: Mapping[str, str | int | float | bool | None] = field(default_factory=dict)


class Sandbox(Protocol):
    """One isolated place. Order of calls: start, then any of the others, then stop (always, and idempotent)."""

    async def start(self) -> Admitted:
        """Create it; SandboxError when the platform cannot. Counters belong to phase "setup" from here on."""
        ...

    async def begin_phase(self, phase: str) -> None:
        """From here on counters belong to `phase` ("setup", "agent" or "verifier"); the one before is closed."""
        ...

    async def exec(
        self,
        command_id: str,
        argv: Sequence[str],
        *,
        timeout_s: float | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        output_limit: int = 1 << 20,
    ) -> ExecResult:
        """Run `argv` to its end exactly once per `command_id` (a repeated id returns the first result).

        Its standard output and error go to files: a background process that holds them hangs nobody. At the time-out
        the command's whole process tree is killed inside (SIGTERM ignored or not). SandboxError when the sandbox is
        gone for a platform reason; a sandbox that died by its own doing gives facts with exit and signal None.
        """
        ...

    async def put(self, archive: bytes, dest: str) -> None:
        """Unpack a tar archive below the folder `dest`; byte count and sha256 are checked inside.

        OSError when it cannot be written there: the task filled its disk, closed the folder, or ended the sandbox.
        """
        ...

    async def get(self, path: str, *, limit: int = ARCHIVE_LIMIT) -> bytes:
        """The file or folder at `path` as a tar archive whose names begin with the last part of `path`.

        FileNotFoundError when it is not there, OSError(EFBIG) when the archive has more than `limit` bytes (neither end
        holds more), another OSError when it cannot be read.
        """
        ...

    async def counters(self) -> PhaseCounters:
        """Counters of the phase under way."""
        ...

    async def stop(self) -> FinalFacts:
        """Read the last facts, then remove every trace; a second call returns the same FinalFacts."""
        ...


@dataclass(frozen=True, slots=True)
class Planned:
    """What a sweep is going to open, for `doctor` to look at before anything is.

    specs: one for each different set of bounds, image and network. untrusted: models whose agents run code that we do
    not ship. concurrency: sandboxes at once.
    """

    specs: Sequence[SandboxSpec] = ()
    untrusted: Sequence[str] = ()
    concurrency: int = 1


@dataclass(frozen=True, slots=True)
class Check:
    """One line of `raysweep doctor`: what was looked at, whether it holds, and how to get it where it does not."""

    name: str
    ok: bool
    found: str
    remedy: str = ""
    required: bool = True


@runtime_checkable
class TellsChecks(Protocol):
    """A provider whose `doctor` takes long: it calls `checked` with each check as soon as it is known."""

    checked: Callable[[Check], None]


@runtime_checkable
class BringsImages(Protocol):
    """A provider that can build or pull images before the first trial needs them."""

    async def bring_images(self, specs: Sequence[SandboxSpec]) -> None:
        """Bring what these sandboxes start from, each image once.

        InputError: a build failed, or an image cannot run tasks; UnsuitableError: an image cannot be had here.
        """
        ...


@dataclass(frozen=True, slots=True)
class ProbeCommands:
    """Commands by which `raysweep.probe` puts limits to the test inside a sandbox, as argument lists to be completed.

    alloc: takes BYTES HOLD_MS; touches every page of so much memory, prints `held`, holds it, exits 0. burn: takes MS;
    keeps one thread busy for that wall time, prints the cpu time it used and, where it measures that too, the wall
    time that really passed, in microseconds.
    """

    alloc: tuple[str, ...]
    burn: tuple[str, ...]


SUPERVISOR_PROBES = ProbeCommands(alloc=("/.raysweep/supervisor", "alloc"), burn=("/.raysweep/supervisor", "burn"))
"""The helpers of the static supervisor, for every kind of sandbox that has it: no program of the image is needed."""


class SandboxProvider(Protocol):
    """A kind of sandbox on this machine or cluster; one per runner."""

    kind: str

    def capabilities(self) -> Capabilities:
        """What is enforced here."""
        ...

    def probe_commands(self) -> ProbeCommands | None:
        """What probes run inside; None where there are no real limits to probe."""
        ...

    def doctor(self, planned: Planned | None = None) -> Sequence[Check]:
        """What is missing here, for what is planned, and how to get it; every `required` check must hold for a run."""
        ...

    async def prepare(self, run_id: str) -> Mapping[str, str | int | float | bool | None]:
        """Make what all sandboxes of a run share (UnsuitableError when it cannot be enforced); returns node facts."""
        ...

    def open(self, spec: SandboxSpec) -> Sandbox:
        """A sandbox that is not started yet."""
        ...

    async def gc(self, run_id: str | None, *, keep: frozenset[str] = frozenset()) -> Sequence[str]:
        """Remove what dead runners left behind (of one run, or of all whose owner is dead); returns what was removed.

        Sandboxes named in `keep` are left alone. Never touches what a live process owns, except `run_id`'s own.
        """
        ...
