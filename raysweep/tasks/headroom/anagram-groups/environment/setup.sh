#!/bin/sh
# Makes the input; the same bytes on every machine, within 16 MiB of memory.
set -eu
cd /app
python3 -I - <<'PY'
import random

draw = random.Random(31)
seen = set()
with open("words.txt", "w") as out:
    while len(seen) < 20000:
        bits = draw.getrandbits(32)
        word = "".join("etaoinsr"[bits >> 3 * i & 7] for i in range(6))
        if word not in seen:
            seen.add(word)
            out.write(word + "\n")
PY
rm -f /app/setup.sh /app/Dockerfile
