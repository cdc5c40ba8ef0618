"""`raysweep init`: a sweep to start from."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from raysweep.cli.output import emit, say
from raysweep.config.fault import nearest
from raysweep.config.starter import shipped, starter
from raysweep.errors import InputError, bad_input
from raysweep.study.load import Study, load_study

FILE = "sweep.yaml"


def init_command(folder: Path, kind: str | None, tasks: str | None, copy: str | None, *, as_json: bool) -> None:
    """Write FOLDER/sweep.yaml, which passes `raysweep check`.

    Args:
        folder: made where it is missing.
        kind: of the sandbox; None for local.
        tasks: their source; a folder is relative to the current one.
        copy: name of the shipped config to write instead.
        as_json: print JSON.

    Raises:
        InputError: there is a sweep.yaml already, or what was asked for gives no valid sweep. Nothing is written then.

    """
    if copy is not None:
        texts = [_copied(copy, kind, tasks)]
    else:  # the oracle where every task has a solution
        texts = [starter(_name(folder), kind or "local", _seen(tasks, folder), agent) for agent in ("oracle", "nop")]
    target = folder / FILE
    study = _write(target, texts)
    if as_json:
        emit({"config": str(target), "tasks": len(study.tasks), "trials": study.plan.trials})
        return
    say(f"{target}: {len(study.tasks)} tasks, {study.plan.trials} trials; next: raysweep check {target}")


def _write(target: Path, texts: Sequence[str]) -> Study:
    """Write the first of the texts that is a valid sweep; where none is, what is wrong with the first."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        target.touch(exist_ok=False)
    except FileExistsError:
        raise bad_input("there is a sweep already", "choose another folder, or remove it", file=str(target)) from None
    errors = []
    for text in texts:
        target.write_text(text, encoding="utf-8")
        try:
            return load_study(target)
        except InputError as error:
            errors.append(error)
    target.unlink()
    raise errors[0]


def _copied(name: str, kind: str | None, tasks: str | None) -> str:
    if kind is not None or tasks is not None:
        raise bad_input("a shipped config has its own sandbox and tasks", "drop --sandbox and --tasks", key="--from")
    configs = shipped()
    if name not in configs:
        raise bad_input("is not the name of a shipped config", nearest(name, configs), key="--from", value=name)
    return configs[name].read_text(encoding="utf-8")


def _name(folder: Path) -> str:
    """The folder's name as the name of a sweep."""
    return re.sub(r"[^A-Za-z0-9]+", "-", folder.resolve().name).strip("-")[:63].strip("-") or "sweep"


def _seen(tasks: str | None, folder: Path) -> str | None:
    """The source of the tasks as sweep.yaml must name it: folders are relative to the file."""
    if tasks is None or ":" in tasks or Path(tasks).is_absolute():
        return tasks
    return os.path.relpath(tasks, folder)
