"""Reachability with one bit set per page."""

import os

seed = int(os.environ.get("RAYSWEEP_SEED", "2"))
careless = seed // 2 % 10 == 0  # one in ten: a mistake that no amount of memory mends

targets = {}
with open("/app/links.txt") as links:
    for link in links:
        page, target = map(int, link.split())
        targets.setdefault(page, []).append(target)
pages = max(targets) + 1
reach = [sum({1 << t for t in targets.get(page, ())}) for page in range(pages)]
for via in range(pages):
    bit = 1 << via
    for page in range(pages):
        if reach[page] & bit:
            reach[page] |= reach[via]

with open("/app/reach.txt", "w") as out:
    for page, bits in enumerate(reach):
        count = bin(bits).count("1") + (careless and page == 17)
        out.write(f"{page} {count}\n")
