"""Scheduling: which trial runs when. `calendar` and `queue` are pure; `driver` is the asyncio shell; executors run.

Belongs here: occasions, the order of blocks, retries, bounded concurrency, Ray. Does not: what happens inside an
attempt (trial) or how rows are stored (record).
"""
