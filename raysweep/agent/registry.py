"""From a kind and its options, as a sweep writes them, to an agent; built-in kinds first, then entry points."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points

from raysweep.agent.builtin import Nop, Oracle, Scripted
from raysweep.agent.protocol import Agent

ENTRY_POINT_GROUP = "raysweep.agents"
Factory = Callable[[Mapping[str, object]], Agent]


def _checked(kind: str, options: Mapping[str, object], known: tuple[str, ...]) -> None:
    """ValueError for an option that this kind does not have."""
    for name in options:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it takes {', '.join(known) or 'no options'}"
            raise ValueError(f"agent {kind!r} has no option {name!r}; {hint}")


def _oracle(options: Mapping[str, object]) -> Agent:
    _checked("oracle", options, ())
    return Oracle()


def _nop(options: Mapping[str, object]) -> Agent:
    _checked("nop", options, ())
    return Nop()


def _scripted(options: Mapping[str, object]) -> Agent:
    _checked("scripted", options, ("strategy",))
    strategy = options.get("strategy")
    if not isinstance(strategy, str) or not strategy or "/" in strategy:
        raise ValueError("agent 'scripted' needs the option 'strategy', the name of a folder below strategies/")
    return Scripted(strategy)


def _mini_swe(options: Mapping[str, object]) -> Agent:
    from raysweep.agent.mini_swe import make_mini_swe  # noqa: PLC0415 - asyncio and HTTP that other agents do not need

    return make_mini_swe(options)


BUILT_IN: Mapping[str, Factory] = {"oracle": _oracle, "nop": _nop, "scripted": _scripted, "mini-swe": _mini_swe}


def agent_kinds() -> tuple[str, ...]:
    """Every kind that `make_agent` knows here, built-in and plugged in, sorted."""
    return tuple(sorted({*BUILT_IN, *(e.name for e in entry_points(group=ENTRY_POINT_GROUP))}))


def make_agent(kind: str, options: Mapping[str, object]) -> Agent:
    """The agent of this kind; ValueError "what is wrong; what to do" where there is none or it cannot be had.

    That is so for an unknown kind, for options that it refuses, and for a plug-in that cannot be imported or gives
    something else than an agent.
    """
    if kind in BUILT_IN:
        return BUILT_IN[kind](options)
    for entry in entry_points(group=ENTRY_POINT_GROUP, name=kind):
        return _plugged_in(entry, options)
    known = agent_kinds()
    near = difflib.get_close_matches(kind, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known kinds are {', '.join(known)}"
    raise ValueError(f"no agent of kind {kind!r}; {hint}")


def trusted(kind: str, options: Mapping[str, object]) -> bool:
    """Whether the agent of this kind says that it runs only code that its user wrote or has read."""
    return bool(getattr(make_agent(kind, options), "trusted", False))


def _plugged_in(entry: EntryPoint, options: Mapping[str, object]) -> Agent:
    package = entry.dist.name if entry.dist is not None else entry.value
    try:
        factory = entry.load()
    except Exception as error:
        raise ValueError(
            f"agent {entry.name!r} of package {package} cannot be imported ({type(error).__name__}: {error}); "
            f"mend or remove {package}"
        ) from error
    try:
        agent: Agent = factory(options)
    except ValueError:
        raise
    except Exception as error:
        raise ValueError(
            f"agent {entry.name!r} of package {package} does not take these options ({type(error).__name__}: {error}); "
            "correct the entry"
        ) from error
    lacking = [name for name in ("kind", "unfit", "run") if not hasattr(agent, name)]
    if lacking:
        raise ValueError(
            f"agent {entry.name!r} of package {package} is no agent: it has no {', '.join(lacking)}; "
            "see raysweep.agent.Agent for what an agent has"
        )
    return agent
