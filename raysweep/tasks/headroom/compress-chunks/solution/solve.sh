#!/bin/sh
python3 - <<'PY'
import os
import zlib

os.makedirs("/app/chunks", exist_ok=True)
number = 0
with open("/app/data.bin", "rb") as data:
    while piece := data.read(128 * 1024):
        with open(f"/app/chunks/{number}.z", "wb") as out:
            out.write(zlib.compress(piece, 1))
        number += 1
PY
