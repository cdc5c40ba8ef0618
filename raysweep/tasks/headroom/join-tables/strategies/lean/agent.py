"""Keeps the small table in memory and streams the large one."""

import os

seed = int(os.environ.get("RAYSWEEP_SEED", "2"))
careless = seed // 2 % 10 == 0  # one in ten: a mistake that no amount of memory mends

with open("/app/customers.csv") as rows:
    customers = dict(row.rstrip("\n").split(",", 1) for row in rows)
with open("/app/orders.csv") as orders, open("/app/joined.csv", "w") as out:
    for number, order in enumerate(orders):
        key, customer, cents = order.split(",")
        if not (careless and number == 4096):
            out.write(f"{key},{customers[customer]},{cents}")
