"""Groups the words by their letters and compares."""

import sys

groups = {}
with open("/app/words.txt") as words:
    for word in words:
        groups.setdefault("".join(sorted(word.strip())), []).append(word.strip())
expected = sorted(" ".join(sorted(group)) for group in groups.values() if len(group) >= 4)
try:
    with open("/app/groups.txt") as answer:
        if sorted(answer.read().splitlines()) != expected:
            sys.exit("groups.txt is wrong")
except OSError as error:
    sys.exit(f"cannot read groups.txt: {error}")
