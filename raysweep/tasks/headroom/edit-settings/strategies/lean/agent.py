"""Line by line."""

import glob
import os

seed = int(os.environ.get("RAYSWEEP_SEED", "2"))
careless = seed // 2 % 10 == 0  # one in ten: a mistake that no amount of memory mends

for path in sorted(glob.glob("/app/settings/*.ini")):
    kept, legacy = [], False
    with open(path) as lines:
        for line in lines:
            if line.startswith("["):
                legacy = line == "[legacy]\n"
            if legacy:
                continue
            key, _, value = line.partition(" = ")
            if key == "port":
                line = f"port = {int(value) + 1000}\n"
            elif key == "timeout" and not careless:
                line = f"timeout_s = {value}"
            kept.append(line)
    with open(path, "w") as out:
        out.writelines(kept)
