"""The one conformance suite for every kind of sandbox; its expectations follow the declared capabilities.

A backend's test module subclasses it, gives the fixtures of `Bench`, and runs under pytest with pytest-asyncio in auto
mode:

    class TestMyBackend(SandboxConformance):
        @pytest.fixture
        def provider(self, tmp_path):
            return MyProvider(...)

The sandbox needs python3 (3.9 or newer), sh and GNU coreutils inside; nothing else is assumed. No case asserts how long
something took, so slow machines pass too.
"""

from __future__ import annotations

from raysweep.testing.conformance_bench import Bench
from raysweep.testing.conformance_bounds import BoundsCases
from raysweep.testing.conformance_commands import CommandCases
from raysweep.testing.conformance_files import FileCases
from raysweep.testing.conformance_isolation import IsolationCases
from raysweep.testing.conformance_life import LifeCases
from raysweep.testing.conformance_memory import MemoryCases

__all__ = ["Bench", "SandboxConformance"]


class SandboxConformance(MemoryCases, BoundsCases, CommandCases, FileCases, IsolationCases, LifeCases):
    """All cases."""
