#!/bin/sh
LC_ALL=C sort -S 4M -o /app/sorted.log /app/events.log
