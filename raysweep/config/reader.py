"""YAML with line numbers: the data of a file, the line of every key and list entry, duplicate keys refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from raysweep.config.fault import Fault, Loc

MERGE = "tag:yaml.org,2002:merge"


@dataclass(slots=True)
class Document:
    """`data`: plain dicts, lists and scalars. `lines`: 1-based line of each loc. `faults`: duplicate or odd keys."""

    data: Any = None
    lines: dict[Loc, int] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    def line(self, loc: Loc) -> int | None:
        """Line of `loc`, else of the nearest place above it that the file has."""
        for length in range(len(loc), -1, -1):
            if loc[:length] in self.lines:
                return self.lines[loc[:length]]
        return None


class _Reader:
    """Walks the node graph of one document; `open_nodes` are those above the current one (a loop of anchors)."""

    def __init__(self, loader: yaml.SafeLoader) -> None:
        self.loader = loader
        self.document = Document()
        self.open_nodes: set[int] = set()

    def read(self, node: yaml.Node, loc: Loc) -> Any:
        self.document.lines.setdefault(loc, node.start_mark.line + 1)
        if id(node) in self.open_nodes:
            self.document.faults.append(Fault(loc, "an anchor contains itself", "write the value out"))
            return None
        self.open_nodes.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                return self.mapping(node, loc)
            if isinstance(node, yaml.SequenceNode):
                return [self.read(child, (*loc, i)) for i, child in enumerate(node.value)]
            return self.scalar(node, loc)
        finally:
            self.open_nodes.discard(id(node))

    def scalar(self, node: yaml.Node, loc: Loc) -> Any:
        try:
            return self.loader.construct_object(node, deep=True)
        except (yaml.constructor.ConstructorError, ValueError) as error:
            text = getattr(error, "problem", None) or str(error)
            self.document.faults.append(Fault(loc, f"cannot be read: {text}", "write plain text, or quote it"))
            return None

    def mapping(self, node: yaml.MappingNode, loc: Loc) -> dict[str, Any]:
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if key_node.tag == MERGE:
                merged = {**self.merged(value_node, loc), **merged}
                continue
            key = self.key(key_node, loc)
            line = key_node.start_mark.line + 1
            if key in own:
                first = self.document.lines[(*loc, key)]
                remedy = "keep one of the two"
                self.document.lines[(*loc, key, "")] = line  # a place of its own, so that the second line is named
                self.document.faults.append(
                    Fault((*loc, key, ""), f"duplicate key, first defined on line {first}", remedy)
                )
                continue
            self.document.lines[(*loc, key)] = line
            own[key] = self.read(value_node, (*loc, key))
        return {**merged, **own}

    def merged(self, node: yaml.Node, loc: Loc) -> dict[str, Any]:
        nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
        merged: dict[str, Any] = {}
        for one in nodes:
            value = self.read(one, loc)
            merged = {**value, **merged} if isinstance(value, Mapping) else merged
        return merged

    def key(self, node: yaml.Node, loc: Loc) -> str:
        value = self.scalar(node, loc) if isinstance(node, yaml.ScalarNode) else None
        if not isinstance(value, str):
            text = str(getattr(node, "value", "")) if isinstance(node, yaml.ScalarNode) else "a list or mapping"
            self.document.lines[(*loc, text)] = node.start_mark.line + 1
            self.document.faults.append(Fault((*loc, text), "a key must be text", "quote it"))
            return text
        return value


def read_yaml(text: str) -> Document:
    """The one document of a YAML text; what cannot be parsed at all is one fault, with its line."""
    try:
        loader = yaml.SafeLoader(text)
        reader = _Reader(loader)
        node = loader.get_single_node()
        if node is not None:
            reader.document.data = reader.read(node, ())
    except yaml.YAMLError as error:
        return _unreadable(error, text)
    return reader.document


def _unreadable(error: yaml.YAMLError, text: str) -> Document:
    mark, place = getattr(error, "problem_mark", None), getattr(error, "position", None)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    line = mark.line + 1 if mark is not None else text.count("\n", 0, place) + 1 if isinstance(place, int) else 1
    return Document(lines={(): line}, faults=[Fault((), f"is not YAML: {problem}", "mend the syntax near this line")])
