"""YAML text to plain values; what safe loading passes over or trips on is refused, with its line.

Safe loading keeps the last of two equal keys, follows aliases however far they unfold, and fails in its own
ways at numbers and dates that are none.
"""

from typing import Any

import yaml
from yaml.events import CollectionEndEvent, CollectionStartEvent
from yaml.nodes import MappingNode, Node, ScalarNode

MOST_VALUES = 100_000
"""What one text may hold, aliases unfolded; a search space has hundreds of values."""
DEEPEST = 100


def plain(text: str) -> Any:
    """The values in YAML text. ValueError that names line and column of what is wrong."""
    try:
        _refuse_deep(text)
        loader = _Loader(text)
        root = loader.get_single_node()
        if root is None:
            return None
        _count(root, {})
        return loader.construct_document(root)
    except yaml.YAMLError as error:
        raise ValueError(f"not valid YAML: {_said(error)}") from None


class _Loader(yaml.SafeLoader):
    """Names the place of a value that cannot be what its form says: a 13th month, a number of 5000 digits."""

    def construct_object(self, node: Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except ValueError as error:
            raise yaml.YAMLError(f"{_shown(node)} cannot be read: {error}{_place(node)}") from None


def _refuse_deep(text: str) -> None:
    """Before anything descends into it."""
    depth = 0
    for event in yaml.parse(text, yaml.SafeLoader):
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        if depth > DEEPEST:
            raise yaml.YAMLError(f"nested more than {DEEPEST} deep{_at(event.start_mark)}")


def _count(node: Node, known: dict[Node, int]) -> int:
    """How many values a node holds, aliases unfolded. YAMLError for too many, a circle or a key twice.

    Args:
        known: counts of nodes that were seen; 0 while they are being counted.
    """
    if node in known:
        if known[node] == 0:
            raise yaml.YAMLError(f"an alias (*) stands inside what it names{_place(node)}; write it out")
        return known[node]
    known[node] = 0
    if isinstance(node, ScalarNode):
        if "\0" in node.value:
            raise yaml.YAMLError(f"a text with a zero byte{_place(node)}; take it out")
        inside = []
    elif isinstance(node, MappingNode):
        _refuse_twice(node)
        inside = [part for pair in node.value for part in pair]
    else:
        inside = node.value
    found = 1 + sum(_count(part, known) for part in inside)
    if found > MOST_VALUES:
        raise yaml.YAMLError(f"more than {MOST_VALUES:,} values{_place(node)}; aliases (*) unfold to so many")
    known[node] = found
    return found


def _refuse_twice(node: MappingNode) -> None:
    first: dict[tuple[str, str], Node] = {}
    for key, _ in node.value:
        if not isinstance(key, ScalarNode):
            continue
        before = first.setdefault((key.tag, key.value), key)
        if before is not key:
            raise yaml.YAMLError(
                f"the key {key.value!r} is there twice{_place(key)}, first in line "
                f"{before.start_mark.line + 1}; keep one"
            )


def _said(error: yaml.YAMLError) -> str:
    """An error of the parser in one line."""
    if not isinstance(error, yaml.MarkedYAMLError):
        return str(error).replace('\n  in "<unicode string>",', ",")
    begun = f"{error.context}{_at(error.context_mark)}: " if error.context else ""
    return f"{begun}{error.problem}{_at(error.problem_mark)}"


def _shown(node: Node) -> str:
    found = repr(node.value)
    return found if len(found) <= 40 else f"{found[:37]}..."


def _place(node: Node) -> str:
    return _at(node.start_mark)


def _at(mark: Any) -> str:
    return "" if mark is None else f" in line {mark.line + 1}, column {mark.column + 1}"
