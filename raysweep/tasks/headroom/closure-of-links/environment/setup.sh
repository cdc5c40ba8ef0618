#!/bin/sh
# Makes the input; the same bytes on every machine, within 16 MiB of memory.
set -eu
cd /app
python3 -I - <<'PY'
import random

draw = random.Random(11)
with open("links.txt", "w") as out:
    for page in range(800):
        for _ in range(2):
            out.write(f"{page} {draw.randrange(800)}\n")
PY
rm -f /app/setup.sh /app/Dockerfile
