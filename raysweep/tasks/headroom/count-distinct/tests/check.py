"""Counts with one byte per user and page and compares."""

import sys

USERS, PAGES = 500, 400
seen = bytearray(USERS * PAGES)
with open("/app/visits.txt") as visits:
    for visit in visits:
        _, user, page = visit.split()
        seen[int(user[1:]) * PAGES + int(page[1:])] = 1

expected = "".join(f"u{user:03d} {sum(seen[user * PAGES : (user + 1) * PAGES])}\n" for user in range(USERS))
try:
    with open("/app/distinct.txt") as answer:
        if answer.read() != expected:
            sys.exit("distinct.txt is wrong")
except OSError as error:
    sys.exit(f"cannot read distinct.txt: {error}")
