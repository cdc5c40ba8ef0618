"""Reads every file with configparser and compares with values made the same way as the input."""

import configparser
import random
import sys

draw = random.Random(29)
for number in range(20):
    want = {}
    for section in ("main", "legacy", "cache", "store", "web"):
        host, port = f"host-{draw.getrandbits(8)}", str(3000 + draw.getrandbits(10))
        timeout, retries = str(draw.getrandbits(6)), str(draw.getrandbits(2))
        if section != "legacy":
            want[section] = [("host", host), ("port", port), ("timeout_s", timeout), ("retries", retries)]
    path = f"/app/settings/service-{number:02d}.ini"
    found = configparser.ConfigParser()
    try:
        found.read(path)
    except configparser.Error as error:
        sys.exit(f"{path}: {error}")
    if [(name, found.items(name)) for name in found.sections()] != list(want.items()):
        sys.exit(f"{path} is not as asked")
