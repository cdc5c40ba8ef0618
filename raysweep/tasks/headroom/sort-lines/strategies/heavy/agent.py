"""Sorts in memory, each line as a record with its parts."""

import gc
import os

gc.disable()  # many records, no cycles: the collector would only cost time
seed = int(os.environ.get("RAYSWEEP_SEED", "2"))
high = seed % 2 == 1  # else mid


def record(line):
    parts = {"line": line, "day": line[:4], "host": line[4:12], "event": line[12:20], "rest": line[20:]}
    parts["windows"] = [line[i : i + 8] for i in range(0, 33, 8)]
    parts["cell"] = line.ljust(4800 if high else 1100)  # fixed width, as a table would have it
    return parts


with open("/app/events.log") as log:
    records = [record(line) for line in log]
records.sort(key=lambda parts: parts["line"])
with open("/app/sorted.log", "w") as out:
    out.writelines(parts["line"] for parts in records)
