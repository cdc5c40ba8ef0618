"""One invocation of `run` as a value: what its ledger says, the window it ends with, its queue and its executor."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from raysweep.clock import Clock, SystemClock, VirtualClock
from raysweep.study import compose
from raysweep.study.directory import first_clock, in_virtual_time, sweep_facts

if TYPE_CHECKING:
    from raysweep.record.kept import KeptTasks
    from raysweep.record.place import RunPath
    from raysweep.record.resume import SweepState
    from raysweep.record.run_facts import RunFacts
    from raysweep.record.store import Store
    from raysweep.sandbox.protocol import SandboxProvider
    from raysweep.schedule.driver import Result
    from raysweep.schedule.executor import Executor
    from raysweep.schedule.queue import Queue
    from raysweep.study.images import Images
    from raysweep.study.load import Study
    from raysweep.study.notes import Note
    from raysweep.study.rule import Rule
    from raysweep.study.window import Invocation


@dataclass(frozen=True, slots=True)
class Session:
    """One invocation of `run` on one run directory, with what the ledger says at its beginning.

    invocation: its window, if it ends with one. rule: what may stop the sweep at a look, if that is asked for.
    kept: the run's own tasks; None where it keeps none.
    """

    study: Study
    path: RunPath
    store: Store
    facts: RunFacts
    state: SweepState
    images: Images
    clock: Clock
    blocks: int | None
    invocation: Invocation | None = None
    rule: Rule | None = None
    kept: KeptTasks | None = None

    @property
    def virtual(self) -> bool:
        """Whether time is simulated too."""
        return isinstance(self.clock, VirtualClock)


def open_session(study: Study, path: RunPath, store: Store, facts: RunFacts, blocks: int | None) -> Session:
    """The session of a run that is there; InputError where its ledger is damaged."""
    from raysweep.plan.table import IMAGE_COLUMNS, images_from_table
    from raysweep.record.reader import read_attempts, read_plan
    from raysweep.record.resume import COLUMNS, sweep_state
    from raysweep.study.frozen import kept_tasks, with_copies
    from raysweep.study.images import Images, first_seen, unresolved

    kept = kept_tasks(path)
    study = replace(study, tasks=with_copies(study.sweep, study.tasks, kept))
    images = Images(images_from_table(read_plan(store, str(path), IMAGE_COLUMNS)))
    facts_of_nodes = ("task", "node") if unresolved(images) else ()
    attempts = read_attempts(store, ("attempt_id", *facts_of_nodes, *COLUMNS))
    state = sweep_state(attempts, len(study.plan.blocks[0].trials))
    first_seen(attempts, images)
    virtual = in_virtual_time(study.sweep)
    clock: Clock = VirtualClock(max(facts.created, state.last)) if virtual else SystemClock()
    return Session(study, path, store, facts, state, images, clock, blocks, kept=kept)


def new_session(study: Study, path: RunPath, blocks: int | None) -> Session:
    """The session of a run that would begin now; nothing is written."""
    from raysweep.record.place import store_at
    from raysweep.record.resume import SweepState
    from raysweep.record.run_facts import RunFacts, RunIdentity
    from raysweep.study.images import Images

    created = first_clock(study.sweep).now()
    clock: Clock = VirtualClock(created) if in_virtual_time(study.sweep) else SystemClock()
    identity = RunIdentity(run_id="run-new", plan_id=study.plan.plan_id, created=created)
    facts = RunFacts.begin(identity, sweep_facts(study.sweep))
    return Session(study, path, store_at(path), facts, SweepState(), Images(), clock, blocks)


def for_one_window(session: Session) -> Session:
    """The session, to end with the window that is open now; in virtual time it waits for one first."""
    from raysweep.study.window import arrival, invocation_at, last_date

    calendar, clock = compose.calendar(session.study.sweep, session.facts.created), session.clock
    if session.virtual:
        clock = VirtualClock(arrival(calendar, clock.now(), session.state.last))
    return replace(
        session, clock=clock, invocation=invocation_at(calendar, clock.now(), last_date(session.study.sweep))
    )


def queue_of(session: Session) -> Queue:
    """A queue of what is left, as the ledger said at the beginning of the session."""
    from raysweep.schedule.backoff import Backoff
    from raysweep.schedule.calendar import Until
    from raysweep.schedule.queue import Queue

    sweep, plan = session.study.sweep, session.study.plan
    calendar = compose.calendar(sweep, session.facts.created)
    return Queue(
        plan.blocks[: session.blocks] if session.blocks else plan.blocks,
        calendar if session.invocation is None else Until(calendar, session.invocation.end),
        capacity=sweep.runner.concurrency,
        caps=sweep.platform_retries,
        reruns=sweep.block_reruns,
        now=session.clock.now(),
        last_planned_date=sweep.dates,
        makeup_dates=sweep.buckets.makeup_dates if sweep.buckets else 0,
        restored=session.state,
        slots=compose.slots(sweep),
        probes=compose.probe_book(sweep, session.store),
        backoff=Backoff(),
    )


def nothing_begun(session: Session) -> bool:
    """Whether nothing can begin or go on now, so that no runner is needed; a queue of its own is asked."""
    from raysweep.schedule.messages import Finish, Tick

    return all(isinstance(i, Finish) for i in queue_of(session).handle(Tick(), session.clock.now()))


def result_of_nothing(session: Session) -> Result:
    """How an invocation ends that begins nothing."""
    from raysweep.schedule.driver import Result

    queue = queue_of(session)
    return Result(queue.missing, for_good=queue.for_good)


def executor_of(session: Session, provider: SandboxProvider, note: Note) -> Executor:
    """What runs the attempts. provider: removes what resting runners leave; note: hears where it cannot."""
    recipe = compose.recipe(session.study.sweep)
    runner = session.study.sweep.runner
    if runner.executor == "inprocess":
        from raysweep.schedule.executor import InProcessExecutor
        from raysweep.tasks.copies import TaskCopies

        copies = None if session.kept is None else TaskCopies(session.kept)
        return InProcessExecutor(recipe("driver", session.clock), session.clock, copies=copies)
    from raysweep.record.logs import run_log
    from raysweep.schedule.ray_executor import RayExecutor
    from raysweep.study.window import resting

    log = run_log(session.path, session.facts.run_id)
    inner = RayExecutor(recipe, runner.concurrency, runner.actors, log, session.kept)
    return resting(inner, session.clock, provider, session.facts.run_id, note)
