"""`raysweep` in a process that SIGKILLs itself before a file of its run directory is there: PATTERN N ARGUMENTS...

A file becomes visible by a hard link, which Python announces to audit hooks before it makes it. The N-th time that one
is announced whose name contains PATTERN, nothing more of the process runs: what is on the disk then is all that a
successor finds.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

PATTERN, LEFT = sys.argv[1], [int(sys.argv[2])]


def watch(event: str, told: tuple) -> None:
    if event == "os.link" and PATTERN in Path(told[1]).name:
        LEFT[0] -= 1
        if not LEFT[0]:
            os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    from raysweep.cli.main import main

    sys.argv = ["raysweep", *sys.argv[3:]]
    sys.addaudithook(watch)
    main()
