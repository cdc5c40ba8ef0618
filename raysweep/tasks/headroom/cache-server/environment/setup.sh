#!/bin/sh
# Makes the input; the same bytes on every machine, within 16 MiB of memory.
set -eu
cd /app
python3 -I - <<'PY'
import random

draw = random.Random(23)
with open("data.tsv", "w") as out:
    for entry in range(40000):
        out.write(f"key-{entry * 7:07d}\t{draw.getrandbits(96):024x}\n")
PY
rm -f /app/setup.sh /app/Dockerfile
