"""Takes the checksum in pieces of 64 KiB."""

import os

seed = int(os.environ.get("RAYSWEEP_SEED", "2"))
careless = seed // 2 % 10 == 0  # one in ten: a mistake that no amount of memory mends

import zlib

SLOT = 8 << 20
checksum, zeros = 0, bytes(1 << 16)
for number in range(12):
    with open(f"/app/parts/{number:02d}.bin", "rb") as part:
        data = part.read()
    checksum = zlib.crc32(data, checksum)
    left = SLOT - len(data)
    while left:
        piece = min(left, len(zeros))
        checksum = zlib.crc32(zeros[:piece], checksum)
        left -= piece

if careless:
    checksum ^= 1
with open("/app/bundle.sum", "w") as out:
    out.write(f"{checksum:08x} {12 * SLOT}\n")
