"""Loads both tables as dictionaries and keeps every joined row, with indexes, before writing."""

import csv
import gc
import os

gc.disable()  # many records, no cycles: the collector would only cost time
seed = int(os.environ.get("RAYSWEEP_SEED", "2"))
high = seed % 2 == 1  # else mid

with open("/app/customers.csv") as rows:
    customers = {row["customer"]: row for row in csv.DictReader(rows)}
with open("/app/orders.csv") as rows:
    orders = list(csv.DictReader(rows))
joined = [{**order, **customers[order["customer"]], "key": (order["order"], order["cents"])} for order in orders]
by_city = {}
for row in joined:
    by_city.setdefault(row["city"], []).append(dict(row))
indexes = []
for column in list(joined[0]) * (2 if high else 1):
    if high or column in ("order", "city"):
        indexes.append({row["order"]: {**row, "by": column} for row in joined})
with open("/app/joined.csv", "w") as out:
    out.write("order,name,city,cents\n")
    for row in joined:
        out.write(f"{row['order']},{row['name']},{row['city']},{row['cents']}\n")
