#!/bin/sh
python3 - <<'PY'
USERS, PAGES = 500, 400
seen = bytearray(USERS * PAGES)
with open("/app/visits.txt") as visits:
    for visit in visits:
        _, user, page = visit.split()
        seen[int(user[1:]) * PAGES + int(page[1:])] = 1
with open("/app/distinct.txt", "w") as out:
    for user in range(USERS):
        out.write(f"u{user:03d} {sum(seen[user * PAGES : (user + 1) * PAGES])}\n")
PY
