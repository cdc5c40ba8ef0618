from raysweep.api import Progress as Progress
from raysweep.api import Run as Run
from raysweep.api import Status as Status
from raysweep.api import Study as Study
from raysweep.api import calibrate as calibrate
from raysweep.api import compare as compare
from raysweep.api import load as load
from raysweep.api import open_run as open_run
from raysweep.api import run as run
from raysweep.api import run_async as run_async

__version__: str
