"""From an Analysis to something to read: terminal, one self-contained HTML file, JSON with the same numbers.

Belongs here: sentences' layout, plots, tables, formats. Does not: computing any statistic; every number comes from a
Finding of stats.
"""

from raysweep.report.terminal import print_report
from raysweep.report.write import document, render_html, write_report

__all__ = ["document", "print_report", "render_html", "write_report"]
