#!/bin/sh
# Makes the input; the same bytes on every machine, within 16 MiB of memory.
set -eu
cd /app
python3 -I - <<'PY'
import random

draw = random.Random(37)
with open("hills.txt", "w") as out:
    for _ in range(6):
        out.write(f"{draw.randrange(400)} {draw.randrange(500)} {5 + draw.randrange(5)} {40 + draw.randrange(60)}\n")
PY
rm -f /app/setup.sh /app/Dockerfile
