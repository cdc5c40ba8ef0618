#!/bin/sh
python3 - <<'PY'
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
    for number, (value, run) in enumerate(runs()):
        out.write(f'{"," if number else ""}{{"value":{value},"run":{run}}}')
    out.write("]")
PY
