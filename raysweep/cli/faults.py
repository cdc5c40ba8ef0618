"""The one place where errors become messages and exit codes."""

from __future__ import annotations

import contextlib
import errno
import os
import sys

import typer

from raysweep import __version__
from raysweep.errors import ExitCode, InputError, RaysweepError, bad_input
from raysweep.packages import missing_package

UNUSABLE = frozenset(
    {
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EROFS,
        errno.EACCES,
        errno.EPERM,
        errno.EIO,
        errno.ENAMETOOLONG,
        errno.ENOTDIR,
        errno.EEXIST,
        errno.EISDIR,
    }
)
"""Errors of the operating system that say something about the user's files and folders, not about our code."""
PIPE_CLOSED = 128 + 13
"""What a shell reports for a command that SIGPIPE ended."""


def _unusable(error: OSError) -> InputError:
    place = error.filename if isinstance(error.filename, str) else "standard output"
    return bad_input(
        error.strerror or str(error), "free space there, change its permissions, or give another place", file=place
    )


def reader_gone() -> int:
    """Whoever read our output has gone (`| head`): what is still to be written goes nowhere."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return PIPE_CLOSED


def complain(line: str) -> None:
    """Print a line on standard error."""
    with contextlib.suppress(OSError):  # nobody reads it
        print(line, file=sys.stderr)  # noqa: T201 - the command's message


def explain(error: RaysweepError) -> None:
    """Say what is wrong and what to do."""
    if isinstance(error, InputError):
        for problem in error.problems:
            complain(f"error: {problem}")
        if len(error.problems) > 1:
            complain(f"{len(error.problems)} problems")
    else:
        complain(f"error: {error}")


def usage_or_bug(error: Exception) -> int:
    """A wrong use of the command line says so itself; an unusable file or package is named; all else is ours."""
    missing = missing_package(error)
    if missing is not None:
        explain(missing)
        return missing.exit_code
    if isinstance(error, typer.TyperException) and hasattr(error, "show"):
        error.show()
        return ExitCode.BAD_INPUT
    if isinstance(error, OSError) and error.errno in UNUSABLE:
        explain(_unusable(error))
        return ExitCode.BAD_INPUT
    import traceback

    traceback.print_exception(error)
    complain(f"error: this is a bug in raysweep {__version__}; please report it with the lines above")
    return ExitCode.BUG
