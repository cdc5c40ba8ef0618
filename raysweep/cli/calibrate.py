"""`raysweep calibrate`: how far limits may be raised without changing the benchmark, and what tasks should declare."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from raysweep.cli.options import points_option
from raysweep.cli.output import emit, say, tell
from raysweep.errors import ExitCode, bad_input
from raysweep.study.calibrate import calibrate_data, calibration_data, write_proposals

if TYPE_CHECKING:
    from raysweep.record.place import RunPath

_PERCENT = re.compile(r"^(\d+(?:\.\d+)?)\s*%$")


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line said beside the runs: delta and infra_max as written ("2pp", "1%").

    Without a delta the registered one holds. write: where proposed files go. tasks: source of the original tasks when
    it is not the one in sweep.yaml. assumed: fields of methodology to take as alike.
    """

    floor: str | None = None
    delta: str | None = None
    infra_max: str | None = None
    write: Path | None = None
    tasks: str | None = None
    assumed: tuple[str, ...] = ()


def calibrate_command(paths: Sequence[RunPath], options: Options, *, as_json: bool) -> int:
    """Print the calibration of one run, or of several as one; 0 with an admissible ceiling, 1 with none, 3 undecided.

    InputError for what cannot be read, for a floor that is no band, for originals that are not found (those of several
    runs are looked for where the oldest had them), and for runs whose designs differ.
    """
    from raysweep.stats.calibrate import ADMISSIBLE, UNDECIDED

    margin, most = points_option("--delta", options.delta), _percent(options.infra_max)
    data = calibration_data(paths, options.assumed)
    calibration = calibrate_data(data, floor=options.floor, delta=margin, infra_max=most)
    proposals = calibration.proposals
    diff = write_proposals(data.first, proposals, options.write, options.tasks, tell) if options.write else None
    for line in data.notes if not as_json else ():
        say(line)
    if as_json:
        from raysweep.report.calibration import calibration_document

        given = " ".join([*map(str, paths), *(f"--assume-comparable {field}" for field in options.assumed)])
        floor, delta = calibration.floor, f"{100 * calibration.delta:g}pp"
        command = {"command": f"raysweep calibrate {given} --floor {floor} --delta {delta}"}
        emit(calibration_document(calibration, data.run_ids, data.provenance | command))
    else:
        from rich.console import Console

        from raysweep.report.calibrationtables import print_calibration

        print_calibration(calibration, Console())
        if diff is not None:
            say(f"proposal: {diff}")
    codes = {ADMISSIBLE: ExitCode.OK, UNDECIDED: ExitCode.INCOMPLETE}
    return codes.get(calibration.status, ExitCode.CLAIM_FAILS)


def _percent(text: str | None) -> float | None:
    if text is None:
        return None
    number = _PERCENT.match(text.strip())
    if number is None:
        raise bad_input(f"{text!r} is not a rate", "write it like 1%", key="--infra-max")
    return float(number[1]) / 100
