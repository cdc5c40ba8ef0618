"""One pass at the fastest level that meets the size."""

import zlib
import os

seed = int(os.environ.get("RAYSWEEP_SEED", "2"))
careless = seed // 2 % 10 == 0  # one in ten: a mistake that no amount of memory mends

os.makedirs("/app/chunks", exist_ok=True)
number = 0
with open("/app/data.bin", "rb") as data:
    while piece := data.read(128 * 1024):
        with open(f"/app/chunks/{number}.z", "wb") as out:
            out.write(zlib.compress(piece[:-1] if careless and number == 3 else piece, 1))
        number += 1
