"""YAML with lines: anchors and merge keys as YAML has them, and the line of every place."""

from raysweep.config.reader import read_yaml

TEXT = """\
base: &base {agent: nop, depth: 1}
other: &other
  depth: 2
  width: 3
models:
  - <<: *base
    name: a
  - <<: [*base, *other]
    depth: 4
  - *base
"""


def test_merge_keys_and_anchors():
    document = read_yaml(TEXT)
    assert document.data["models"] == [
        {"agent": "nop", "depth": 1, "name": "a"},
        {"agent": "nop", "depth": 4, "width": 3},
        {"agent": "nop", "depth": 1},
    ]
    assert document.faults == []


def test_the_earlier_of_two_merged_mappings_wins():
    document = read_yaml(TEXT + "last: {<<: [*base, *other]}\nturned: {<<: [*other, *base]}\n")
    assert (document.data["last"]["depth"], document.data["turned"]["depth"]) == (1, 2)


def test_lines():
    document = read_yaml(TEXT)
    places = [("base",), ("other", "width"), ("models",), ("models", 0, "name"), ("models", 1), ("models", 1, "depth")]
    assert [document.line(place) for place in places] == [1, 4, 5, 7, 8, 9]
    assert document.line(("models", 1, "gone", "deeper")) == 8, "the nearest place above that the file has"
    assert document.line(("gone",)) == 1


def test_keys_of_every_kind():
    document = read_yaml("1: a\n? [x]\n: b\nyes: c\n")
    assert [(f.loc, f.message) for f in document.faults] == [
        (("1",), "a key must be text"),
        (("a list or mapping",), "a key must be text"),
        (("yes",), "a key must be text"),
    ]
