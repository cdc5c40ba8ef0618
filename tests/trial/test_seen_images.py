"""A tag without a pinned digest means one image in the whole run; an attempt that saw another is void."""

from __future__ import annotations

from dataclasses import replace

import pytest

from raysweep import config
from raysweep.clock import SystemClock
from raysweep.errors import SandboxError
from raysweep.plan import make_plan
from raysweep.sandbox.simulated.faults import Faults
from raysweep.sandbox.simulated.provider import SimulatedProvider, SimulatedSandbox
from raysweep.sandbox.simulated.truth import Truth
from raysweep.schedule.executor import InProcessExecutor
from raysweep.schedule.messages import Launch
from raysweep.study import compose, load
from raysweep.study.compose import Orders
from raysweep.study.load import Study
from raysweep.trial.attempt import sandbox_spec
from raysweep.trial.images import SeenImages, image_identity, is_moved
from support.plans import sweep_text

A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64
TAG = "registry.example/task:1"


@pytest.fixture
def order():
    sweep = config.parse(sweep_text())
    tasks = load.load_tasks(sweep)
    study = Study(sweep, {t.name: t for t in tasks}, make_plan(sweep, tasks))
    block = study.plan.blocks[0]
    made = Orders(study, "run-x", compose.calendar(sweep, 0.0), None)(Launch(block, block.trials[0], 1, 1), 0.0)
    return replace(made, image=TAG)


@pytest.mark.parametrize(
    ("before", "now", "moved"),
    [
        (A, A, False),
        (A, B, True),
        (f"registry/x@{A}", f"registry/x@{B}", True),
        (f"registry/x@{A}", f"mirror/x@{A}", False),
        (A, f"registry/x@{B}", False),
        (f"registry/x@{A}", B, False),
    ],
)
def test_only_identities_of_one_form_can_tell_a_move(before, now, moved):
    assert is_moved(before, now) is moved


@pytest.mark.parametrize(
    ("node", "identity"),
    [({}, None), ({"image_digest": None}, None), ({"image_digest": A}, A), ({"image_digest": A, "image_id": B}, B)],
)
def test_the_engines_own_id_comes_before_a_digest_which_a_push_can_add(node, identity):
    assert image_identity(node) == identity


def test_the_first_image_of_a_run_stands(order):
    seen = SeenImages()
    for digest in (A, A, None):
        seen.refuse_moved(order, {"image_digest": digest})
    with pytest.raises(SandboxError, match=f"{TAG} moved from {A} to {B}") as caught:
        seen.refuse_moved(order, {"image_digest": B})
    assert caught.value.cause == "image"
    seen.refuse_moved(order, {"image_digest": A})
    seen.refuse_moved(replace(order, run_id="run-y"), {"image_digest": B})
    seen.refuse_moved(replace(order, image="registry.example/other:1"), {"image_digest": B})


def test_what_the_driver_knows_counts_in_a_new_runner(order):
    with pytest.raises(SandboxError, match="moved"):
        SeenImages().refuse_moved(replace(order, image_seen=A), {"image_digest": B})
    SeenImages().refuse_moved(replace(order, image_seen=B), {"image_digest": B})


@pytest.mark.parametrize("image", [None, f"registry.example/task@{A}"])
def test_pinned_names_and_images_of_the_kind_itself_are_not_judged(order, image):
    seen = SeenImages()
    for digest in (A, B):
        seen.refuse_moved(replace(order, image=image), {"image_digest": digest})
    seen.refuse_moved(order, {"image_digest": A})  # nothing was remembered under a tag
    with pytest.raises(SandboxError, match="moved"):
        seen.refuse_moved(order, {"image_digest": B})


def test_the_sandbox_starts_from_the_orders_image_else_from_the_tasks(order):
    assert sandbox_spec(order).image == TAG
    task = replace(order.task, docker_image="own:1")
    assert sandbox_spec(replace(order, image=None, task=task)).image == "own:1"
    assert sandbox_spec(replace(order, image=f"own@{A}", task=task)).image == f"own@{A}"


class Imaged(SimulatedSandbox):
    """Says which image it started from."""

    digest = A

    async def start(self):
        admitted = await super().start()
        return replace(admitted, node={**admitted.node, "image_digest": self.digest})


async def test_an_attempt_of_a_moved_tag_is_void_and_the_next_of_the_first_image_counts(order):
    provider = SimulatedProvider(Truth())
    digests = iter((A, B, A))

    def open_one(spec):
        sandbox = Imaged(spec, Truth(duration=(0.0, 0.0)), Faults(), SystemClock())
        sandbox.digest = next(digests)
        return sandbox

    provider.open = open_one
    executor = InProcessExecutor(provider, SystemClock())
    first, moved, again = [await executor.run(replace(order, attempt=n)) for n in (1, 2, 3)]
    assert (moved["outcome"], moved["cause"], moved["cause_class"]) == ("infra", "image", "platform")
    assert "moved" in moved["detail"]
    assert moved["node"]["image_digest"] == B
    assert moved.get("reward") is None
    assert first["outcome"] == again["outcome"] == "scored"
