"""Loads everything and renders every answer before it starts to serve."""

import socket
import gc
import os

gc.disable()  # many records, no cycles: the collector would only cost time
seed = int(os.environ.get("RAYSWEEP_SEED", "2"))
high = seed % 2 == 1  # else mid


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


entries = {}
with open("/app/data.tsv", "rb") as data:
    for line in data:
        key, value = line.rstrip(b"\n").split(b"\t")
        entries[key] = {"key": key, "value": value, "replies": [value.ljust(6000 if high else 1900)]}
serve(lambda key: entries[key]["replies"][0].rstrip() if key in entries else b"-")
