"""Makes a task's environment inside a sandbox that no image was built for: environment/ to /app, then setup.sh."""

from __future__ import annotations

from pathlib import Path

from raysweep.sandbox.protocol import ExecResult, Sandbox
from raysweep.tasks.dockerfile import APP, NOT_COPIED
from raysweep.tasks.folder import tar_folder
from raysweep.tasks.model import Task

COMMAND_ID = "setup"
# setup.sh goes when it is done: what generated an input often tells the answer.
_SETUP = "cd /app && chmod +x setup.sh && ./setup.sh; code=$?; rm -f /app/setup.sh; exit $code"


async def prepare_environment(sandbox: Sandbox, task: Task, timeout_s: float) -> ExecResult | None:
    """How setup.sh ended, or None where the task has none to run (an image made its environment, or it is made up).

    Belongs to phase "setup". The Dockerfile is left out. SandboxError when the sandbox is gone for a platform reason.
    """
    if task.path is None or task.build_steps != "setup":
        return None
    folder = Path(task.path) / "environment"
    await sandbox.put(tar_folder(folder, leave_out=NOT_COPIED), APP)
    if not (folder / "setup.sh").is_file():
        return None
    return await sandbox.exec(COMMAND_ID, ["/bin/sh", "-c", _SETUP], timeout_s=timeout_s, cwd=APP)
