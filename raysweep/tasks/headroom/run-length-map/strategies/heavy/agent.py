"""Writes one object per cell, with its place (mid) and its surroundings (high): small to write, large to load."""

import gc
import os

gc.disable()  # many records, no cycles: the collector would only cost time
seed = int(os.environ.get("RAYSWEEP_SEED", "2"))
high = seed % 2 == 1  # else mid

import itertools

ROWS, COLUMNS = 400, 500
with open("/app/hills.txt") as lines:
    hills = [tuple(map(int, line.split())) for line in lines]


def row_of_heights(row):
    heights = [0] * COLUMNS
    for top, left, height, radius in hills:
        reach = radius - abs(row - top)
        for column in range(max(0, left - reach), min(COLUMNS, left + reach + 1)):
            value = height - (abs(row - top) + abs(column - left)) * height // radius
            heights[column] = max(heights[column], value)
    return heights


def runs():
    """(value, run) of the whole map, row after row."""
    cells = itertools.chain.from_iterable(row_of_heights(row) for row in range(ROWS))
    for value, group in itertools.groupby(cells):
        yield value, sum(1 for _ in group)


with open("/app/map.json", "w") as out:
    out.write("[")
    at = 0
    for value, run in runs():
        for cell in range(at, at + run):
            row, column = divmod(cell, COLUMNS)
            more = ""
            if high:
                more = f',"at":[{row}.0,{column}.0],"box":[{row}.5,{column}.5,{row}.1,{column}.1]'
                more += f',"of":{{"map":{cell}.0,"row":{row}.2}}'
            place = f'"cell":"{cell}","name":"map cell {cell}","row":{row}.0,"column":{column}.0'
            out.write(f'{"," if cell else ""}{{"value":{value},"run":1,{place}{more}}}')
        at += run
    out.write("]")
