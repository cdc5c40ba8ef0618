"""Finds the counts with bit sets and compares."""

import sys

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

expected = "".join(f"{page} {bin(bits).count('1')}\n" for page, bits in enumerate(reach))
try:
    with open("/app/reach.txt") as answer:
        if answer.read() != expected:
            sys.exit("reach.txt is wrong")
except OSError as error:
    sys.exit(f"cannot read reach.txt: {error}")
