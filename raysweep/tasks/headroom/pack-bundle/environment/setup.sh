#!/bin/sh
# Makes the input; the same bytes on every machine, within 16 MiB of memory.
set -eu
cd /app
python3 -I - <<'PY'
import os
import random

draw = random.Random(13)
os.mkdir("parts")
for number in range(12):
    with open(f"parts/{number:02d}.bin", "wb") as out:
        out.write(draw.randbytes(1000 + draw.getrandbits(15)))
PY
rm -f /app/setup.sh /app/Dockerfile
