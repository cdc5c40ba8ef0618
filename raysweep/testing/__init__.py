"""Shipped tests: the conformance suite that every kind of sandbox passes, ours and others' plug-ins.

Belongs here: test code that a backend's own test module subclasses (it needs pytest and pytest-asyncio, which are no
dependencies of raysweep), and a scripted model server, which needs neither. Not here: tests of one backend or of other
packages.
"""

import contextlib

with contextlib.suppress(ModuleNotFoundError):
    import pytest

    # Failures of the shipped cases show their values, as those of local test files do.
    pytest.register_assert_rewrite(
        *(
            f"raysweep.testing.conformance_{part}"
            for part in ("bench", "bounds", "commands", "files", "isolation", "life")
        ),
        "raysweep.testing.conformance_memory",
        "raysweep.testing.attacks",
    )
