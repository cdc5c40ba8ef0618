"""The public Python API: load a sweep, run it, open a run, analyse, compare, calibrate. Import it as `raysweep`.

Belongs here: thin functions over what the commands use, values in and values out. They print nothing and never end the
process; errors are `raysweep.errors.RaysweepError` (InputError for bad input, UnsuitableError for a machine or cluster
that cannot enforce the bands, IncompleteError where there is nothing to look at yet).
"""

from raysweep.api.comparing import calibrate, compare
from raysweep.api.running import run, run_async
from raysweep.api.values import Progress, Run, Status, Study, load, open_run

__all__ = ["Progress", "Run", "Status", "Study", "calibrate", "compare", "load", "open_run", "run", "run_async"]
