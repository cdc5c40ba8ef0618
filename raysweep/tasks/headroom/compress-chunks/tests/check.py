"""Unpacks every chunk, compares it with its part of the input, and adds up the sizes."""

import os
import sys
import zlib

CHUNK = 128 * 1024
total = 0
try:
    with open("/app/data.bin", "rb") as data:
        number = 0
        while piece := data.read(CHUNK):
            with open(f"/app/chunks/{number}.z", "rb") as chunk:
                packed = chunk.read()
            if zlib.decompress(packed) != piece:
                sys.exit(f"chunk {number} holds something else")
            total += len(packed)
            number += 1
except (OSError, zlib.error) as error:
    sys.exit(f"chunk {number}: {error}")
if os.path.exists(f"/app/chunks/{number}.z"):
    sys.exit("more chunks than the input has")
if total > 0.45 * os.path.getsize("/app/data.bin"):
    sys.exit(f"{total} bytes are too many")
