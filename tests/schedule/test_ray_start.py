"""Runners that die before they are ready: the command ends, and says so."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

import pytest

from raysweep.errors import ExitCode, IncompleteError
from raysweep.schedule.ray_executor import RayExecutor

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("embedded_ray")]


@pytest.fixture(autouse=True)
def by_value():
    """The workers cannot import this folder."""
    from ray import cloudpickle

    module = sys.modules[__name__]
    cloudpickle.register_pickle_by_value(module)
    yield
    cloudpickle.unregister_pickle_by_value(module)


def dies(_name):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_runner_that_dies_while_it_starts_ends_the_command_resumable():
    async def main():
        executor = RayExecutor(dies, 2)
        try:
            await executor.start("run-x")
        finally:
            await executor.close()

    with pytest.raises(IncompleteError, match="died while it started") as raised:
        asyncio.run(main())
    assert raised.value.exit_code is ExitCode.INCOMPLETE
