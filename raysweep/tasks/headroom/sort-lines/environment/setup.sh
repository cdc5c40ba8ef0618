#!/bin/sh
# Makes the input; the same bytes on every machine, within 16 MiB of memory.
set -eu
cd /app
python3 -I - <<'PY'
import random

random_bytes = random.Random(20260205)
with open("events.log", "w") as out:
    for _ in range(50):
        out.write(random_bytes.randbytes(20 * 1000).hex("\n", 20) + "\n")
PY
rm -f /app/setup.sh /app/Dockerfile
