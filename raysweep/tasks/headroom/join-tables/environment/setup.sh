#!/bin/sh
# Makes the input; the same bytes on every machine, within 16 MiB of memory.
set -eu
cd /app
python3 -I - <<'PY'
import random

CITIES = ["Lagos", "Quito", "Turin", "Osaka", "Perth", "Minsk", "Accra", "Delhi"]
draw = random.Random(7)
with open("customers.csv", "w") as out:
    out.write("customer,name,city\n")
    for i in range(3000):
        out.write(f"c{i:05d},name-{draw.getrandbits(24):06x},{CITIES[draw.getrandbits(3)]}\n")
with open("orders.csv", "w") as out:
    out.write("order,customer,cents\n")
    for i in range(60000):
        bits = draw.getrandbits(40)
        out.write(f"o{i:06d},c{bits % 3000:05d},{bits >> 24}\n")
PY
rm -f /app/setup.sh /app/Dockerfile
