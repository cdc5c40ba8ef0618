"""A scratch folder on a machine that can make containers of namespaces and cgroups."""

from __future__ import annotations

import os

import pytest

from raysweep.errors import UnsuitableError
from support.supervised_process import ground


@pytest.fixture
def needs_process(scratch_folder, tmp_path_factory):
    reason = "" if os.geteuid() == 0 else "root is needed"
    try:
        ground()
    except UnsuitableError as error:
        reason = str(error)
    if reason:
        pytest.skip(f"no containers here: {reason}")
    folder = scratch_folder / tmp_path_factory.mktemp("process").name
    folder.mkdir()
    return folder
