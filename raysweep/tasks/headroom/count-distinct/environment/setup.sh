#!/bin/sh
# Makes the input; the same bytes on every machine, within 16 MiB of memory.
set -eu
cd /app
python3 -I - <<'PY'
import random

draw = random.Random(17)
with open("visits.txt", "w") as out:
    for second in range(90000):
        bits = draw.getrandbits(32)
        out.write(f"{second:06d} u{bits % 499:03d} p{(bits >> 16) % 397:03d}\n")
PY
rm -f /app/setup.sh /app/Dockerfile
