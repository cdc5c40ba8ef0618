"""The one error tree and the exit codes (see README.md); nothing else decides an exit code.

Every error a user can cause carries the file, the key, the value and the remedy (`Problem`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes, the same for every command."""

    OK = 0
    CLAIM_FAILS = 1
    BAD_INPUT = 2
    INCOMPLETE = 3
    UNSUITABLE = 4
    BUG = 70
    INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with an input, said so that it can be mended without reading our code."""

    message: str
    remedy: str
    file: str | None = None
    line: int | None = None
    key: str | None = None
    value: str | None = None

    def __str__(self) -> str:
        place = self.file or ""
        if place and self.line is not None:
            place = f"{place}:{self.line}"
        key = f"{self.key}: " if self.key else ""
        value = f" (got {self.value})" if self.value is not None else ""
        head = f"{place}: " if place else ""
        return f"{head}{key}{self.message}{value}; {self.remedy}"


class RaysweepError(Exception):
    """Base of all our errors; `exit_code` is what the command line ends with."""

    exit_code: ExitCode = ExitCode.BUG


class InputError(RaysweepError, ValueError):
    """A config, task, plan or ledger that cannot be used: all problems at once, nothing half-done."""

    exit_code = ExitCode.BAD_INPUT

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = tuple(problems)
        super().__init__("\n".join(str(p) for p in self.problems))


class UnsuitableError(RaysweepError):
    """The machine or cluster cannot do what was asked; says what is missing and how to get it."""

    exit_code = ExitCode.UNSUITABLE

    def __init__(self, missing: str, remedy: str) -> None:
        self.missing = missing
        self.remedy = remedy
        super().__init__(f"{missing}; {remedy}")

    def __reduce__(self) -> tuple[type[UnsuitableError], tuple[str, str]]:
        """Survive pickling across Ray actors."""
        return (type(self), (self.missing, self.remedy))


class IncompleteError(RaysweepError):
    """Not enough data for what was asked, or a sweep that ended before its plan was done."""

    exit_code = ExitCode.INCOMPLETE


class LockHeldError(RaysweepError):
    """Another writer holds the run directory."""

    exit_code = ExitCode.BAD_INPUT


class LockLostError(RaysweepError):
    """A writer that was fenced off by a newer one; it stops at once and seals nothing more."""

    exit_code = ExitCode.INCOMPLETE


class SandboxError(RaysweepError):
    """A sandbox could not do its part for a reason outside the arm; `cause` is a platform cause."""

    def __init__(self, cause: str, detail: str) -> None:
        self.cause = cause
        self.detail = detail
        super().__init__(f"{cause}: {detail}")

    def __reduce__(self) -> tuple[type[SandboxError], tuple[str, str]]:
        """Survive pickling across Ray actors."""
        return (type(self), (self.cause, self.detail))


class BrokenSandboxError(SandboxError):
    """What runs inside a sandbox for us does not work any more, or its answers make no sense.

    Before the agent's phase that is a platform failure like any other. From then on the task may have done it, so the
    attempt is judged as the agent's (`trial.classify`).
    """


def bad_input(message: str, remedy: str, **place: object) -> InputError:
    """One-problem InputError; `place` takes file, line, key and value of `Problem`."""
    return InputError([Problem(message=message, remedy=remedy, **place)])  # type: ignore[arg-type]
