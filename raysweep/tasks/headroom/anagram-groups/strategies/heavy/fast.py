"""Groups in memory, with every word's rotations kept beside it."""

import gc
import os

gc.disable()  # many records, no cycles: the collector would only cost time
seed = int(os.environ.get("RAYSWEEP_SEED", "2"))
high = seed % 2 == 1  # else mid

groups = {}
with open("/app/words.txt") as words:
    for line in words:
        word = line.strip()
        record = {"word": word, "padded": [word[i:].ljust(400) + word[:i] for i in range(28 if high else 9)]}
        groups.setdefault("".join(sorted(word)), []).append(record)
with open("/app/groups.txt", "w") as out:
    for group in groups.values():
        if len(group) >= 4:
            out.write(" ".join(sorted(record["word"] for record in group)) + "\n")
