"""Tries many settings for each chunk on two processes and keeps the smallest: the cpu limit decides, not memory."""

import os
import zlib
from multiprocessing import Pool

CHUNK = 128 * 1024
MEMORY_LEVELS = (9, 8, 7, 6, 5)


def best(number):
    with open("/app/data.bin", "rb") as data:
        data.seek(number * CHUNK)
        piece = data.read(CHUNK)
    packed = min((pack(piece, level, memory) for level in (9, 8, 7, 6) for memory in MEMORY_LEVELS), key=len)
    with open(f"/app/chunks/{number}.z", "wb") as out:
        out.write(packed)


def pack(piece, level, memory):
    packer = zlib.compressobj(level, zlib.DEFLATED, 15, memory)
    return packer.compress(piece) + packer.flush()


if __name__ == "__main__":
    os.makedirs("/app/chunks", exist_ok=True)
    with Pool(2) as pool:
        pool.map(best, range((os.path.getsize("/app/data.bin") + CHUNK - 1) // CHUNK), chunksize=1)
