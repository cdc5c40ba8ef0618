"""A study: a sweep's config, its tasks and its plan, read and checked."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from raysweep.errors import InputError, Problem
from raysweep.study.notes import Note, silent

if TYPE_CHECKING:
    from raysweep.config import Sweep
    from raysweep.config.model import Model
    from raysweep.plan import Plan
    from raysweep.record.place import RunPath
    from raysweep.tasks.model import Task


@dataclass(frozen=True, slots=True)
class Study:
    """A sweep with its tasks and its plan."""

    sweep: Sweep
    tasks: Mapping[str, Task]
    plan: Plan


def load_study(path: Path, run_dir: RunPath | None = None, *, for_run: bool = False, note: Note = silent) -> Study:
    """Everything a config file says, checked.

    Args:
        path: the file; the sweep.yaml of a run directory stands for the tasks that the run keeps, too.
        run_dir: where the sweep runs; None for the default place.
        for_run: whether it is to run there, with the tasks that a run that is there keeps.
        note: hears where tasks are read from another place than the sweep says.

    Raises:
        InputError: with all problems of the config, or all of its tasks; or its tasks are not those of the run.

    """
    from raysweep.plan import make_plan
    from raysweep.study.frozen import kept_or_none, read_sweep

    sweep, origin = read_sweep(path)
    target = (run_dir or Path("runs") / sweep.name) if for_run else None
    tasks = kept_or_none(sweep, origin, target, note) or load_tasks(sweep)
    problems = [*_agent_problems(sweep, tasks), *_unrunnable(sweep, tasks)]
    if problems:
        raise InputError(problems)
    return Study(sweep, {t.name: t for t in tasks}, make_plan(sweep, tasks))


def load_tasks(sweep: Sweep) -> tuple[Task, ...]:
    """The tasks of a sweep; InputError with all that is wrong with them."""
    from raysweep.tasks.load import load_tasks as load

    source, spec = sweep.tasks, sweep.tasks.defaults.resources
    return load(
        source.source,
        include=source.include,
        exclude=source.exclude,
        default_cpu=spec.cpu,
        default_memory=spec.memory,
        default_storage=spec.storage,
        base=sweep.source_path.parent if sweep.source_path else Path(),
    )


def _unrunnable(sweep: Sweep, tasks: tuple[Task, ...]) -> list[Problem]:
    from raysweep.plan import check_runnable

    return check_runnable(sweep, tasks)


def _agent_problems(sweep: Sweep, tasks: tuple[Task, ...]) -> list[Problem]:
    from raysweep.agent import make_agent

    file = str(sweep.source_path) if sweep.source_path else None
    problems = []
    for model in sweep.models:
        key = f"models.{model.name}"
        try:
            agent = make_agent(model.agent, model.options)
        except ValueError as error:
            message, _, remedy = str(error).partition("; ")
            problems.append(Problem(message, remedy or "correct the entry", file, key=key))
            continue
        fault = _api_problem(model, calls_model=bool(getattr(agent, "calls_model", False)))
        if fault is not None:
            problems.append(Problem(*fault, file, key=key))
        try:
            unfit = [(t.name, reason) for t in tasks if (reason := agent.unfit(t)) is not None]
        except Exception as error:  # noqa: BLE001 - a plug-in's code
            said = f"agent {model.agent!r} cannot say which tasks it fits ({type(error).__name__}: {error})"
            problems.append(Problem(said, "mend the agent's method unfit", file, key=key))
            continue
        problems += [
            Problem(f"task {name}: {reason}", "exclude the task, or choose another agent", file, key=key)
            for name, reason in unfit
        ]
    return problems


def _api_problem(model: Model, *, calls_model: bool) -> tuple[str, str] | None:
    """What is wrong between an agent and the API of its entry, and the remedy."""
    if calls_model and model.api is None:
        return f"agent {model.agent!r} calls a model, and the entry names no API", "add `api: NAME`, one of `apis`"
    if not calls_model and model.api is not None:
        return f"agent {model.agent!r} calls no model through raysweep", "remove `api` from the entry"
    return None


def refuse_missing_keys(study: Study, environment: Mapping[str, str] = os.environ) -> None:
    """InputError where the key of an API that the sweep calls is not to be had here.

    On a Ray cluster (RAY_ADDRESS) runners have the keys and the driver need not: nothing is looked at.
    """
    from raysweep.gateway.keys import read_key

    if study.sweep.runner.executor == "ray" and environment.get("RAY_ADDRESS"):
        return
    for name in dict.fromkeys(m.api for m in study.sweep.models if m.api is not None):
        read_key(name, study.sweep.apis[name], environment)
