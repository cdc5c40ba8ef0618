#!/bin/sh
# Makes the input; the same bytes on every machine, within 16 MiB of memory.
set -eu
cd /app
python3 -I - <<'PY'
import random

draw = random.Random(19)
words = [draw.randbytes(5 + i % 9).hex() for i in range(900)]
with open("data.bin", "w") as out:
    for _ in range(512):
        line = " ".join(words[draw.getrandbits(20) % 900] for _ in range(112))
        out.write(line[:2047].ljust(2047) + "\n")
PY
rm -f /app/setup.sh /app/Dockerfile
