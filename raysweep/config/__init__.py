"""The sweep as YAML: pydantic models, and one clear error for everything that is wrong with a file.

Belongs here: shapes and rules of the config. Does not: reading tasks, making plans, importing anything heavy.
"""

from raysweep.config.load import load, parse
from raysweep.config.model import ALWAYS, Sweep

__all__ = ["ALWAYS", "Sweep", "load", "parse"]
