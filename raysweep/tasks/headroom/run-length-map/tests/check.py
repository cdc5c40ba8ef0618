"""Loads the map as one JSON value and takes a checksum of its cells, run by run.

This is the part that needs memory: a map with one verbose object per cell is as large here as it is wasteful.
"""

import gc
import json
import sys
import zlib

gc.disable()
EXPECTED = "751755e6 200000"
try:
    with open("/app/map.json") as answer:
        cells = json.load(answer)
    checksum = count = 0
    for cell in cells:
        value, run = (cell, 1) if isinstance(cell, int) else (cell["value"], cell["run"])
        checksum = zlib.crc32(bytes([value]) * run, checksum)
        count += run
except (OSError, ValueError, KeyError, TypeError) as error:
    sys.exit(f"cannot read map.json: {error!r}")
if f"{checksum:08x} {count}" != EXPECTED:
    sys.exit("map.json shows another map")
