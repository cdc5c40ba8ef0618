"""The installed command as a process: what stands around `main` so that the exit code is the one that it gave."""

from __future__ import annotations

import atexit
import io
import os
import sys

from raysweep.packages import missing_package

try:
    from raysweep.cli.main import main
except ModuleNotFoundError as _error:
    _missing = missing_package(_error)
    if _missing is None:
        raise
    print(f"error: {_missing}", file=sys.stderr)  # noqa: T201 - the command's message; main says all others
    sys.exit(_missing.exit_code)


def run() -> None:
    """Run the command line and end the process with its code."""
    _mend_streams()
    codes: list[int] = []
    atexit.register(_end, codes)  # the first of ours and so the last to be called: threads have ended, Ray is shut down
    try:
        main()
    except SystemExit as end:
        codes += [end.code] if isinstance(end.code, int) else []
        raise


def _mend_streams() -> None:
    """Make the standard streams usable whatever the caller left: closed ones discard, and no character is an error.

    A closed descriptor must be taken before anything else is opened: the next file would get its number, and with it
    whatever a library writes to standard error.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r+" if name == "stdin" else "w"))  # noqa: SIM115, PTH123 - stays open
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _end(codes: list[int]) -> None:
    """Leave before the interpreter is taken apart.

    A thread of a library that still runs then and asks for the interpreter's lock is ended in the middle of C++, which
    can abort the process (apache/arrow#34314): all is done and recorded, and the exit code would say SIGABRT.
    """
    if not codes:
        return
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    except (OSError, ValueError):
        return  # nobody reads any more: Python says so itself
    os._exit(codes[0])
