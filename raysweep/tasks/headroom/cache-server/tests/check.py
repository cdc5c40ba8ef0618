"""Asks the server for known and unknown keys and compares with the file."""

import random
import socket
import sys

wanted = {}
pick = random.Random(1)
with open("/app/data.tsv") as data:
    for number, line in enumerate(data):
        if pick.random() < 0.005 or number in (0, 31415, 39999):
            key, value = line.rstrip("\n").split("\t")
            wanted[key] = value
wanted |= {"key-0000001": "-", "zebra": "-", "a": "-"}
try:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect("/app/cache.sock")
        with client.makefile("rw") as stream:
            for key, value in wanted.items():
                stream.write(f"GET {key}\n")
                stream.flush()
                got = stream.readline().rstrip("\n")
                if got != value:
                    sys.exit(f"{key}: {got!r} instead of {value!r}")
except OSError as error:
    sys.exit(f"no answer from the server: {error}")
