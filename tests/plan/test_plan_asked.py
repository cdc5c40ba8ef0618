"""What arms ask for, and which tasks a sandbox cannot run."""

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from raysweep.config.bands import Band, Multipliers
from raysweep.plan import make_plan
from raysweep.plan.asked import asked, multiply
from raysweep.plan.runnable import check_runnable
from raysweep.units import MIB, Resources
from support.plan_samples import make_sweep, make_tasks

SPEC = Resources(250, 64 * MIB, None)


def band(request, limit):
    return Band.model_validate({"name": "b", "request": request, "limit": limit})


@pytest.mark.parametrize(
    ("request_", "limit", "want_request", "want_limit"),
    [
        (1.0, 1.0, Resources(249, 64 * MIB), Resources(250, 64 * MIB)),
        (1.0, 3.0, Resources(250, 64 * MIB), Resources(750, 192 * MIB)),
        (1.0, "none", Resources(250, 64 * MIB), Resources(None, None)),
        (3.0, 3.0, Resources(749, 192 * MIB), Resources(750, 192 * MIB)),
        (1.0, {"memory": 5}, Resources(250, 64 * MIB), Resources(250, 320 * MIB)),
        (1.0, {"cpu": 5}, Resources(250, 64 * MIB), Resources(1250, 64 * MIB)),
        ({"cpu": 0.5}, 1.0, Resources(125, 64 * MIB), Resources(250, 64 * MIB)),
    ],
)
def test_bands_ask_for_multiples_and_no_arm_is_guaranteed(request_, limit, want_request, want_limit):
    assert asked(SPEC, band(request_, limit)) == (want_request, want_limit)


def test_native_qos_leaves_the_request_as_it_is():
    assert asked(SPEC, band(1, 1), uniform=False) == (SPEC, SPEC)
    native, uniform = ({"kind": "kubernetes", "qos": qos} for qos in ("native", "uniform"))
    plans = [make_plan(make_sweep(n_bands=1, sandbox=s), make_tasks(1)) for s in (native, uniform)]
    assert [plan.blocks[0].trials[0].request.cpu for plan in plans] == [1000, 999]
    assert plans[0].plan_id != plans[1].plan_id


def test_storage_follows_its_spec():
    spec = replace(SPEC, storage=1000)
    assert asked(spec, band(1, "none"))[1] == Resources(None, None, 1000)
    assert asked(spec, band(1, {"storage": "none"}))[1].storage is None


def test_a_band_that_leaves_a_task_nothing_is_refused_by_name():
    assert multiply(Resources(1, 1, 1), Multipliers.model_validate(0.001)) == Resources(0, 0, 1)
    sweep = make_sweep(n_bands=1)
    tiny = sweep.bands[0].model_copy(update={"limit": Multipliers.model_validate({"cpu": 0.0001, "memory": 1.0})})
    found = check_runnable(sweep.model_copy(update={"bands": (tiny,)}), make_tasks(3))
    assert [p.key for p in found] == [f"bands.{tiny.name}.limit.cpu"]
    assert found[0].message == f"band {tiny.name} leaves task task0 and 2 more tasks less than one millicore"


@given(
    st.integers(1, 64_000), st.integers(MIB, 2**40), st.floats(0.01, 20), st.floats(1, 20), st.floats(1, 20)
)  # fmt: skip
def test_a_request_is_never_above_its_limit_and_never_guaranteed(cpu, memory, request, cpu_more, memory_more):
    assume(round(cpu * request) >= 1)  # less is refused before anything is planned
    limit = {"cpu": request * cpu_more, "memory": request * memory_more}
    got, bound = asked(Resources(cpu, memory), band({"cpu": request, "memory": request}, limit))
    assert 0 <= got.cpu <= bound.cpu
    assert 0 < got.memory <= bound.memory
    assert (got.cpu, got.memory) != (bound.cpu, bound.memory)


def test_what_a_sandbox_cannot_run_is_refused_by_name():
    local = make_sweep(sandbox={"kind": "local"})
    good, image, made_up, bare = make_tasks(4)
    image, made_up = replace(image, needs_image="RUN apt-get"), replace(made_up, path=None)
    tasks = [good, image, made_up, replace(bare, spec=Resources(1000))]
    found = check_runnable(local, tasks)
    assert [(p.key, p.message.split(" (")[0]) for p in found] == [
        ("tasks.task1", "needs a container image"),
        ("tasks.task2", "a made-up task can only be simulated"),
        ("tasks.task3", "the task declares no memory, so a band has nothing to multiply"),
    ]
    assert all(p.remedy for p in found)
    docker, pods = (make_sweep(sandbox={"kind": kind}) for kind in ("docker", "kubernetes"))
    built = replace(image, docker_image="registry.example/task1", needs_image="its task.toml names the image")
    assert [p.key for p in check_runnable(docker, [image, built])] == []
    assert [(p.key, "push" in p.remedy) for p in check_runnable(pods, [image])] == [("tasks.task1", True)]
    assert check_runnable(pods, [built]) == []
    assert [p.key for p in check_runnable(make_sweep(), tasks)] == ["tasks.task3"]
