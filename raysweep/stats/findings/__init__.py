"""From a cube to Findings and Checks, one module per question of the report.

Belongs here: which estimand is asked with which method, labels, cautions. Does not: the methods themselves
(`stats.methods`), sentences (`stats.verdict`), pictures (`report`).
"""
