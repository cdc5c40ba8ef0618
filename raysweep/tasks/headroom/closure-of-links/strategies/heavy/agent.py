"""Reachability as an explicit table of pairs, with how each was found (mid) and the whole hop as a record (high)."""

import gc
import os

gc.disable()  # many records, no cycles: the collector would only cost time
seed = int(os.environ.get("RAYSWEEP_SEED", "2"))
high = seed % 2 == 1  # else mid

targets = {}
with open("/app/links.txt") as links:
    for link in links:
        page, target = map(int, link.split())
        targets.setdefault(page, []).append(target)
pages = max(targets) + 1
ways = {}
for page in range(pages):
    frontier = list(targets.get(page, ()))
    seen = set()
    while frontier:
        at = frontier.pop()
        if at not in seen:
            seen.add(at)
            ways[page, at] = (
                {"from": page, "to": at, "near": targets.get(at, [])[:], "seen": {at}} if high else (page, at)
            )
            frontier.extend(targets.get(at, ()))
counts = [0] * pages
for page, _ in ways:
    counts[page] += 1
with open("/app/reach.txt", "w") as out:
    for page, count in enumerate(counts):
        out.write(f"{page} {count}\n")
