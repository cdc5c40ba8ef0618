"""Joins the two tables line by line itself and compares."""

import itertools
import sys

with open("/app/customers.csv") as rows:
    customers = dict(row.rstrip("\n").split(",", 1) for row in rows)
try:
    with open("/app/orders.csv") as orders, open("/app/joined.csv") as joined:
        for number, (order, line) in enumerate(itertools.zip_longest(orders, joined), 1):
            if order is None or line is None:
                sys.exit(f"line {number}: one file ends before the other")
            key, customer, cents = order.rstrip("\n").split(",")
            if line != f"{key},{customers[customer]},{cents}\n":
                sys.exit(f"line {number} is wrong")
except OSError as error:
    sys.exit(f"cannot read joined.csv: {error}")
