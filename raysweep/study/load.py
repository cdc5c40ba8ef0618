"""A study: a sweep's config, its tasks and its plan, read and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from raysweep import config
from raysweep.errors import InputError, Problem

if TYPE_CHECKING:
    from raysweep.config import Sweep
    from raysweep.plan import Plan
    from raysweep.tasks.model import Task


@dataclass(frozen=True, slots=True)
class Study:
    """A sweep with its tasks and its plan."""

    sweep: Sweep
    tasks: Mapping[str, Task]
    plan: Plan


def load_study(path: Path) -> Study:
    """Everything a config file says, checked; InputError with all problems of the config, or all of its tasks."""
    from raysweep.plan import make_plan

    sweep = config.load(path)
    tasks = load_tasks(sweep)
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
