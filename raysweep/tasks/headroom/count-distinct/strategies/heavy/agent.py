"""Keeps every visit as a record, grouped by user, page and hour (mid), and by everything twice (high)."""

import gc
import os

gc.disable()  # many records, no cycles: the collector would only cost time
seed = int(os.environ.get("RAYSWEEP_SEED", "2"))
high = seed % 2 == 1  # else mid

visits = []
with open("/app/visits.txt") as lines:
    for line in lines:
        second, user, page = line.split()
        visits.append({"line": line, "second": int(second), "user": user, "page": page, "hour": int(second) // 3600})
groups = {f"u{number:03d}": [] for number in range(500)}
for visit in visits:
    groups[visit["user"]].append((visit["page"], visit["second"], visit["line"].strip()))
more = []
for name in ("page", "hour", "user", "page", "hour", "user", "second", "line")[: 8 if high else 2]:
    by = {}
    for visit in visits:
        by.setdefault(visit[name], []).append({**visit, "grouped": name})
    more.append(by)
with open("/app/distinct.txt", "w") as out:
    for user, group in groups.items():
        out.write(f"{user} {len({page for page, _, _ in group})}\n")
