#!/bin/sh
python3 - <<'PY'
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
        out.write(f"{page} {bin(bits).count('1')}\n")
PY
