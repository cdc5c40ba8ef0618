"""A script for ModelServer that plays the strategies of the bundled tasks, as a model would: commands, then the end.

The model's name says which strategy: "lean", "heavy" or whatever a task has below strategies/.

    python -m raysweep.testing.headroom_model [PORT]

serves it on a loopback port, 8000 where none is given, until it is interrupted. `configs/models.yaml` calls it there.
"""

from __future__ import annotations

import contextlib
import signal
import sys
from importlib.resources import files
from importlib.resources.abc import Traversable

from raysweep.testing.model_server import ModelServer, Prompt
from raysweep.testing.model_wire import Reply

SUBMIT = "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"
TASKS = "tasks/headroom"
PORT = 8000


def play(prompt: Prompt) -> Reply:
    """First the strategy's program, then the command with which mini-swe-agent hands its work in."""
    task = _task_of(prompt.first)
    if task is None:
        return Reply(text="I do not know this task.", command=SUBMIT)
    if prompt.turn > 0:
        return Reply(text="That is all.", command=SUBMIT)
    program = (task / "strategies" / prompt.model / "agent.py").read_text(encoding="utf-8")
    return Reply(
        text="I write a program and run it.",
        command=f"cat > /tmp/agent.py <<'END_OF_PROGRAM'\n{program}\nEND_OF_PROGRAM\npython3 -I /tmp/agent.py",
    )


def _task_of(asked: str) -> Traversable | None:
    """The bundled task whose instruction a prompt holds."""
    tasks = files("raysweep").joinpath(TASKS)
    return next((t for t in tasks.iterdir() if t.is_dir() and _title(t) and _title(t) in asked), None)


def _title(task: Traversable) -> str:
    """First line of the task's instruction."""
    instruction = task / "instruction.md"
    return instruction.read_text(encoding="utf-8").splitlines()[0] if instruction.is_file() else ""


def main() -> None:
    """Serve until interrupted; the address on standard output once it is ready."""
    port = int(sys.argv[1]) if len(sys.argv) > 1 else PORT
    try:
        with ModelServer(play, port=port) as server, contextlib.suppress(KeyboardInterrupt):
            sys.stdout.write(f"{server.url}\n")
            sys.stdout.flush()
            signal.pause()
    except OSError as error:
        sys.exit(f"error: port {port} of 127.0.0.1 cannot be had ({error.strerror}); give another: PORT")


if __name__ == "__main__":
    main()
