"""Writing a report: report.json and one self-contained report.html from the same document."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from raysweep.report import plots, text
from raysweep.report.palette import heat_css, outcome_css
from raysweep.stats import Analysis, Finding
from raysweep.stats.facet import FacetKind
from raysweep.stats.levels import sides

SCHEMA_VERSION = 3
TEMPLATES = Path(__file__).parent / "templates"


def document(analysis: Analysis, provenance: Mapping[str, Any]) -> dict[str, Any]:
    """The content of report.json: {schema_version, runs, verdict, checks, findings, provenance}.

    verdict: a list of {text, claim, findings (ids of those below), registered, p}, as `stats.statement` says.
    """
    return {
        "schema_version": SCHEMA_VERSION,
        "runs": list(analysis.runs),
        "verdict": [s.document() for s in analysis.statements],
        "checks": [asdict(c) for c in analysis.checks],
        "findings": [f.document() for f in (*analysis.findings, *analysis.details)],
        "provenance": dict(provenance),
    }


def write_report(analysis: Analysis, out_dir: Path, provenance: Mapping[str, Any]) -> tuple[Path, Path]:
    """Write report.html and report.json into `out_dir` (made when missing); returns both paths.

    provenance: what to tell of the run, JSON values; "command" is shown as the command that reproduces the report.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    html_path, json_path = out_dir / "report.html", out_dir / "report.json"
    content = json.dumps(document(analysis, provenance), indent=1, ensure_ascii=False, allow_nan=False, default=str)
    json_path.write_text(content + "\n", encoding="utf-8")
    html_path.write_text(render_html(analysis, provenance), encoding="utf-8")
    return html_path, json_path


def render_html(analysis: Analysis, provenance: Mapping[str, Any]) -> str:
    """The HTML report; opens offline, refers to nothing outside itself."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["t"] = text
    return environment.get_template("report.html.j2").render(
        a=analysis,
        forests=plots.forests(analysis),
        tables=tables(analysis),
        bars=plots.bars(analysis),
        days=plots.day_plots(analysis),
        day_height=plots.HEIGHT,
        heat=heat_rows(analysis),
        temporal=[f for f in analysis.findings if f.unit == "points" and f.model is None],
        resources=resource_rows(analysis),
        outcome_css=outcome_css(_outcomes(analysis)),
        heat_css=heat_css(),
        outcomes=_outcomes(analysis),
        provenance={k: v for k, v in provenance.items() if k != "command"},
        command=str(provenance.get("command", "")),
    )


@dataclass(frozen=True, slots=True)
class TableSection:
    """A section of the report that is one table of findings."""

    id: str
    title: str
    lead: str
    rows: tuple[Finding, ...]


OTHER_DATES = ("dates", "tasks and dates")
PARTS = ("rescued", "other_successes", "decomposition_infra", "decomposition_clean")


def tables(a: Analysis) -> tuple[TableSection, ...]:
    """What a rise is made of and where it begins; other dates; tests. Sections without a finding are left out."""
    every = (
        TableSection(
            "limits",
            "Limits as measured",
            "Control sandboxes of every band, before and after the trials: they allocate just under and just past their"
            " memory limit and burn cpu. A busy machine gives less cpu than the limit; more would mean that it does not"
            " hold.",
            tuple(f for f in a.details if f.is_of(FacetKind.PROBE)),
        ),
        TableSection(
            "factors",
            "Other factors",
            "Levels of other infrastructure factors against their reference, one factor at a time at a stated band, all"
            " others at their reference. Contrasts of bands above are of the references alone.",
            tuple(f for f in a.findings if sides(f) and f.unit == "points" and not f.bucket),
        ),
        TableSection(
            "between",
            "Between any two bands",
            "Success of every band against every lower one but the reference, adjacent bands first. The intervals of a"
            " model hold together; all are exploratory.",
            tuple(f for f in a.findings if f.is_of(FacetKind.BETWEEN)),
        ),
        TableSection(
            "parts",
            "What a change is made of, and where it begins",
            "Bounds first: they need only that a higher limit does no harm. The accounting split credits rescued trials"
            " with average success; it is not causal. The change point is the multiplier up to which higher limits only"
            " turn deaths into failures.",
            tuple(f for f in a.findings if f.estimand in (*PARTS, "change_point")),
        ),
        TableSection(
            "by-run",
            "Run by run",
            "Models that ran in several runs: each run's own contrasts, then what other such runs might show, and the"
            " spread between runs beyond that of their dates.",
            tuple(
                f
                for f in a.findings
                if f.is_of(FacetKind.RUN)
                or f.is_of(FacetKind.RUN_BY_BUCKET)
                or f.resampled_over in ("runs", "tasks and runs")
            ),
        ),
        TableSection(
            "dates",
            "On other dates",
            "The same success contrasts when dates are resampled too: what another week might show.",
            tuple(f for f in a.findings if f.resampled_over in OTHER_DATES and f.arm and f.reference and not sides(f)),
        ),
        TableSection(
            "tests",
            "Tests",
            "Adjusted by Holm over the arms of a model. A large p is no sign of equality.",
            tuple(f for f in a.findings if f.unit == "p"),
        ),
    )
    return tuple(s for s in every if s.rows)


def _outcomes(a: Analysis) -> list[str]:
    seen = [f.facet_name for f in a.details if f.estimand == "composition"]
    return list(dict.fromkeys([*(o for o in ("pass", "partial", "fail") if o in seen), *sorted(seen)]))


def heat_rows(a: Analysis) -> list[tuple[str, list[Finding]]]:
    """Task name and its cell per arm, in the order of `a.arms`."""
    cells: dict[str, dict[tuple[str | None, str | None], Finding]] = {task: {} for task in a.tasks}
    for f in a.details:
        if f.estimand == "success" and not f.reference and f.is_of(FacetKind.TASK):
            cells[f.facet_name][f.model, f.arm] = f
    return [(task, [found[arm] for arm in a.arms if arm in found]) for task, found in cells.items() if found]


def resource_rows(a: Analysis) -> list[tuple[str, list[str]]]:
    """Descriptive resources: name, and text per arm."""
    known = [f for f in a.details if f.facet is None]
    names = list(dict.fromkeys(f.estimand for f in known))
    by = {(f.estimand, f.model, f.arm): f for f in known}
    return [
        (text.name(n), [text.value_text(by[n, m, b]) if (n, m, b) in by else text.NONE for m, b in a.arms])
        for n in names
    ]
