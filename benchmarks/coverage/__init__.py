"""Whether the intervals and tests of raysweep.stats hold what they promise, by simulation.

Belongs here: drawing thousands of studies whose truth is known, asking the product (and common alternatives, which
exist here only) for intervals, p-values and verdicts, and counting how often they are right. Does not: any method that
the product itself needs.

    python -m benchmarks.coverage                     # short form: a few minutes, nothing is written to the repository
    python -m benchmarks.coverage --form full         # the committed one; resumable, done cells are skipped
    python -m benchmarks.coverage --form full --page  # tables of docs/validity.md from the results, no simulation
"""
