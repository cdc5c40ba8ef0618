"""What a sweep leaves behind: evidence and row schema (one place), ledger, lock, run directory, reader.

Belongs here: the shape of facts and how they are made durable. Does not: deciding what facts mean (trial.classify),
or any statistics.
"""
