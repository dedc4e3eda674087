"""Set values by dotted name in a nested tree, without touching the tree."""

from typing import Any


def merged(tree: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """A copy of the nested `tree` with `values` set by dotted name; `X.name` before other keys of X."""
    result = _copied(tree)
    for name, value in sorted(values.items(), key=lambda item: (not item[0].endswith(".name"), item[0])):
        *way, last = name.split(".")
        _place(result, way, last, value)
    return result


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_copied(item) for item in value]
    return value


def _place(tree: Any, way: list[str], last: str, value: Any) -> None:
    """Set one value; a missing branch is made, so that validation names the unknown key."""
    for step in way:
        if isinstance(tree, list) and step.isdigit() and int(step) < len(tree):
            tree = tree[int(step)]
            continue
        if not isinstance(tree, dict):
            name = ".".join([*way, last])
            raise ValueError(f"cannot set '{name}': there is no '{step}' yet; give the whole list instead")
        if not isinstance(tree.get(step), dict | list):
            tree[step] = {}
        tree = tree[step]
    if not isinstance(tree, dict):
        raise ValueError(f"cannot set '{'.'.join([*way, last])}': '{last}' must be a place in a list")
    if last == "name" and tree.get("name") != value:
        tree.clear()
    tree[last] = value
