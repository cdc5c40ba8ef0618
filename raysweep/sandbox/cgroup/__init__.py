"""Linux control groups, v1 and v2: where ours may live, their bounds, their counters, and the kernel's OOM log.

Belongs here: everything that reads or writes a cgroup file. Not here: what a sandbox is (raysweep.sandbox.local), nor
what a counter means for an outcome (raysweep.trial.classify). All calls are blocking; callers use a thread.
"""
