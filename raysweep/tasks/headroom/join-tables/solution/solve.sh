#!/bin/sh
awk -F, -v OFS=, 'NR == FNR { name[$1] = $2 OFS $3; next } { print $1, name[$2], $3 }' \
    /app/customers.csv /app/orders.csv > /app/joined.csv
