#!/bin/sh
# Makes the input; the same bytes on every machine, within 16 MiB of memory.
set -eu
cd /app
python3 -I - <<'PY'
import os
import random

draw = random.Random(29)
os.mkdir("settings")
for number in range(20):
    with open(f"settings/service-{number:02d}.ini", "w") as out:
        for section in ("main", "legacy", "cache", "store", "web"):
            out.write(f"[{section}]\nhost = host-{draw.getrandbits(8)}\n")
            out.write(f"port = {2000 + draw.getrandbits(10)}\ntimeout = {draw.getrandbits(6)}\n")
            out.write(f"retries = {draw.getrandbits(2)}\n\n")
PY
rm -f /app/setup.sh /app/Dockerfile
