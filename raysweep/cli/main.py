"""`raysweep`: the commands and their options."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from raysweep import __version__
from raysweep.cli.cluster import app as cluster_app
from raysweep.cli.faults import complain, explain, reader_gone, usage_or_bug
from raysweep.cli.options import LogForm, MetricsPort
from raysweep.errors import ExitCode, InputError, RaysweepError

if TYPE_CHECKING:
    from raysweep.record.place import RunPath

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="How much of an agentic-coding score is infrastructure? Resource bands and time of day, with intervals.",
)


def _run_path(text: str) -> RunPath:
    from raysweep.record.place import run_path

    try:
        return run_path(text)
    except InputError as error:
        raise typer.BadParameter(str(error)) from None


app.add_typer(cluster_app, name="cluster")

Config = Annotated[Path, typer.Argument(metavar="CONFIG", help="the sweep's YAML file")]
# Of runs the annotations say Path because typer knows no unions: `_run_path` may also give a Remote.
Run = Annotated[
    Path, typer.Argument(metavar="RUN", parser=_run_path, help="a run directory, or its s3:// or gs:// URL")
]
Runs = Annotated[list[Path], typer.Argument(metavar="RUN...", parser=_run_path, help="run directories, or their URLs")]
Assume = Annotated[
    list[str] | None, typer.Option("--assume-comparable", metavar="FIELD", help="methodology to take as alike")
]
Json = Annotated[bool, typer.Option("--json", help="JSON on standard output")]


def _version(wanted: bool) -> None:
    if wanted:
        print(f"raysweep {__version__}")  # noqa: T201 - the command's output
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[  # noqa: ARG001 - its callback has acted on it
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version and end")
    ] = False,
    verbose: Annotated[
        bool,
        typer.Option("-v", "--verbose", envvar="RAYSWEEP_VERBOSE", help="show the log on standard error, with details"),
    ] = False,
) -> None:
    """Options that every command shares."""
    from raysweep.log import show_on_terminal

    show_on_terminal(verbose=verbose, as_json=False)


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="folder for sweep.yaml")] = Path(),
    sandbox: Annotated[
        str | None, typer.Option("--sandbox", metavar="KIND", help="local (default), docker, kubernetes or simulated")
    ] = None,
    tasks: Annotated[
        str | None, typer.Option("--tasks", metavar="SOURCE", help="a folder of tasks, or another source of tasks")
    ] = None,
    copy: Annotated[
        str | None, typer.Option("--from", metavar="NAME", help="copy a shipped sweep, such as quickstart")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a commented sweep to start from; an existing one is not overwritten."""
    from raysweep.cli.init import init_command

    init_command(folder, sandbox, tasks, copy, as_json=as_json)


@app.command()
def check(config: Config, as_json: Json = False) -> None:
    """Check a sweep and its tasks: every problem at once, nothing is run."""
    from raysweep.cli.check import check_command

    check_command(config, as_json=as_json)


@app.command()
def plan(
    config: Config,
    out: Annotated[Path, typer.Option("--out", help="where to write the plan")] = Path("plan.parquet"),
    pilot: Annotated[
        Path | None,
        typer.Option("--pilot", parser=_run_path, help="run directory whose durations, rates and variances to expect"),
    ] = None,
    rate: Annotated[float | None, typer.Option("--rate", help="mean success to assume, a fraction")] = None,
    infra_rate: Annotated[
        float | None, typer.Option("--infra-rate", help="deaths at the reference to assume, a fraction")
    ] = None,
    images: Annotated[
        bool, typer.Option("--images", help="ask registries for the digests of images, as run does")
    ] = False,
    calendar: Annotated[
        bool, typer.Option("--calendar", help="which window runs what, what is done, and when it will be finished")
    ] = False,
    run_dir: Annotated[
        Path | None,
        typer.Option(
            "--run-dir",
            metavar="RUN",
            parser=_run_path,
            help="run that the calendar is of; default runs/NAME, if it is there",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Print the design, its cost and what it can detect; write plan.parquet."""
    from raysweep.cli.plan import plan_command

    plan_command(
        config,
        out,
        pilot,
        rate=rate,
        infra_rate=infra_rate,
        images=images,
        calendar=calendar,
        run_dir=run_dir,
        as_json=as_json,
    )


@app.command()
def run(
    config: Config,
    run_dir: Annotated[
        Path | None,
        typer.Option(
            "--run-dir",
            metavar="RUN",
            parser=_run_path,
            help="run directory, or s3://BUCKET/PREFIX, gs://BUCKET/PREFIX; default runs/NAME",
        ),
    ] = None,
    blocks: Annotated[int | None, typer.Option("--blocks", min=1, help="a pilot: only the first N blocks")] = None,
    until_window_end: Annotated[
        bool,
        typer.Option("--until-window-end", help="run what the open window holds, then end (3: more windows to come)"),
    ] = False,
    stop_when_decided: Annotated[
        bool, typer.Option("--stop-when-decided", help="end at a registered look where the registered rule decides")
    ] = False,
    go_on: Annotated[
        bool, typer.Option("--go-on", help="run the rest of a sweep that the registered rule has stopped")
    ] = False,
    metrics_port: MetricsPort = None,
    logs: LogForm = "plain",
    as_json: Json = False,
) -> None:
    """Run a sweep, or resume it: the same command does both."""
    from raysweep.cli.run import run_command

    code = run_command(
        config,
        run_dir,
        blocks,
        as_json=as_json,
        until_window_end=until_window_end,
        stop_when_decided=stop_when_decided,
        go_on=go_on,
        metrics_port=metrics_port,
        logs=logs,
    )
    raise typer.Exit(code)


@app.command("try")
def try_(
    config: Config,
    task: Annotated[str, typer.Option("--task", help="task name")],
    band: Annotated[str, typer.Option("--band", help="band name")],
    model: Annotated[str, typer.Option("--model", help="model name")],
    factor: Annotated[
        list[str] | None,
        typer.Option("--factor", metavar="NAME=LEVEL", help="level of a swept factor, the reference where not said"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Run one trial here and now: live transcript, evidence and classification; no ledger."""
    from raysweep.cli.try_one import try_command

    raise typer.Exit(try_command(config, task, band, model, factor or (), as_json=as_json))


@app.command()
def status(run: Run, as_json: Json = False) -> None:
    """Say how far a run is."""
    from raysweep.cli.status import status_command

    status_command(run, as_json=as_json)


@app.command()
def watch(
    run: Run,
    every: Annotated[str, typer.Option("--every", metavar="2s", help="least time between two looks")] = "2s",
    patience: Annotated[
        str, typer.Option("--patience", metavar="60s", help="how long to wait for a driver to come back, or `forever`")
    ] = "60s",
    as_json: Annotated[bool, typer.Option("--json", help="one line of JSON per look")] = False,
) -> None:
    """Show the main intervals while a sweep goes on, labelled as looks at unfinished data (0 done, 3 incomplete)."""
    from raysweep.cli.options import duration_option
    from raysweep.cli.watch import watch_command

    patience_s = None if patience == "forever" else duration_option("--patience", patience)
    raise typer.Exit(watch_command(run, duration_option("--every", every), patience_s, as_json=as_json))


@app.command()
def report(
    runs: Runs,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", parser=_run_path, help="folder for the report; default RUN/report"),
    ] = None,
    assume: Assume = None,
    as_json: Json = False,
) -> None:
    """Print the verdict on one run, or on several as one analysis, and write report.html and report.json."""
    from raysweep.cli.report import report_command

    report_command(runs, out, assume or (), as_json=as_json)


@app.command()
def compare(
    run_a: Annotated[Path, typer.Argument(metavar="RUN_A", parser=_run_path, help="a run directory")],
    run_b: Annotated[
        Path | None, typer.Argument(metavar="[RUN_B]", parser=_run_path, help="another; else two models of RUN_A")
    ] = None,
    models: Annotated[
        tuple[str, str] | None, typer.Option("--models", metavar="A B", help="the models to compare")
    ] = None,
    temporal_sd: Annotated[
        str | None, typer.Option("--temporal-sd", metavar="2pp", help="spread between dates, where dates are too few")
    ] = None,
    assume: Assume = None,
    floor: Annotated[str | None, typer.Option("--floor", metavar="BAND", help="lowest band of a mismatch")] = None,
    ceiling: Annotated[str | None, typer.Option("--ceiling", metavar="BAND", help="highest band of a mismatch")] = None,
    as_json: Json = False,
) -> None:
    """Say whether A is better than B beyond sampling and infrastructure noise (0 yes, 1 no, 3 not enough data)."""
    from raysweep.cli.compare import compare_command
    from raysweep.cli.options import points_option
    from raysweep.study.compare import CompareOptions

    spread = points_option("--temporal-sd", temporal_sd)
    options = CompareOptions(temporal_sd=spread, assumed=tuple(assume or ()), floor=floor, ceiling=ceiling)
    raise typer.Exit(compare_command(run_a, run_b, models, options, as_json=as_json))


@app.command()
def calibrate(
    runs: Runs,
    floor: Annotated[str | None, typer.Option("--floor", help="band to start from; default the reference")] = None,
    delta: Annotated[str | None, typer.Option("--delta", help="largest difference that counts as none (2pp)")] = None,
    infra_max: Annotated[
        str | None, typer.Option("--infra-max", help="maximum share of attempts the limits may kill (1%)")
    ] = None,
    write: Annotated[Path | None, typer.Option("--write", help="new folder for proposed task.toml files")] = None,
    tasks: Annotated[
        str | None, typer.Option("--tasks", help="where the original tasks are; default: the run's")
    ] = None,
    assume: Assume = None,
    as_json: Json = False,
) -> None:
    """Say how far limits may be raised without changing the benchmark, and what tasks should declare."""
    from raysweep.cli.calibrate import Options, calibrate_command

    options = Options(floor, delta, infra_max, write, tasks, tuple(assume or ()))
    raise typer.Exit(calibrate_command(runs, options, as_json=as_json))


@app.command()
def doctor(
    config: Annotated[Path | None, typer.Option("--config", help="check for this sweep")] = None,
    as_json: Json = False,
) -> None:
    """Say what this machine can enforce, what is missing and how to get it."""
    from raysweep.cli.doctor import doctor_command

    raise typer.Exit(doctor_command(config, as_json=as_json))


@app.command()
def gc(
    run: Annotated[
        Path | None, typer.Argument(metavar="[RUN]", parser=_run_path, help="only what this run left")
    ] = None,
    cluster: Annotated[bool, typer.Option("--cluster", help="pods and Leases of the Kubernetes cluster")] = False,
    namespace: Annotated[str, typer.Option(help="with --cluster: namespace of the sandboxes")] = "raysweep-sandboxes",
    context: Annotated[str | None, typer.Option(help="with --cluster: context of the kubeconfig")] = None,
    as_json: Json = False,
) -> None:
    """Remove sandboxes, cgroups and mounts (with --cluster: pods and Leases) that dead runs left behind."""
    from raysweep.cli.gc import gc_command

    gc_command(run, (namespace, context) if cluster else None, as_json=as_json)


def main() -> None:
    """Entry point: run the command, turn errors into one message and an exit code."""
    try:
        code = app(standalone_mode=False)
        sys.stdout.flush()
    except RaysweepError as error:
        explain(error)
        code = error.exit_code
    except BrokenPipeError:
        code = reader_gone()
    except SystemExit as end:  # the command-line library ends with 1 where it meets a broken pipe first
        if not isinstance(end.__context__, BrokenPipeError):
            raise
        code = reader_gone()
    except (KeyboardInterrupt, typer.Abort):
        complain("interrupted")
        code = ExitCode.INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the last resort: told as our own bug
        code = usage_or_bug(error)
    sys.exit(code or ExitCode.OK)
