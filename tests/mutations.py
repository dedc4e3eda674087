"""Good files made bad: one thing in a tree of plain values is changed, or the text itself.

What is drawn depends on the generator alone, so a seed stands for its mutations.
"""

import copy
import datetime
import math
import random
from collections.abc import Iterator
from typing import Any

Way = tuple[Any, ...]
WRONG: tuple[Any, ...] = (
    *(
        None,
        True,
        "",
        "banana",
        "a\0b",
        "é",
        -1,
        0,
        0.5,
        10**30,
        -(10**400),
        1e300,
        5e-324,
        math.nan,
        math.inf,
    ),
    *(
        [],
        [None],
        [[]],
        {},
        {"a": 1},
        {None: None},
        {"name": []},
        datetime.date(2020, 1, 1),
        b"\xff",
        {"x", "y"},
    ),
)
"""What is put in the place of a value."""


def generator(seed: int | str) -> random.Random:
    """What mutations are drawn from."""
    return random.Random(seed)  # noqa: S311 (it keeps no secret, and must give the same again)


def places(tree: Any, way: Way = ()) -> Iterator[Way]:
    """The way to every value of a tree, keys and numbers of list items."""
    inside = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in inside:
        yield (*way, key)
        yield from places(value, (*way, key))


def mutated(tree: Any, rng: random.Random) -> tuple[Any, str]:
    """A copy of a tree with one thing changed, and what was changed, in words; JSON and YAML can hold it."""
    tree = copy.deepcopy(tree)
    ways = list(places(tree))
    if not ways:
        return tree, "nothing left to change"
    *way, key = rng.choice(ways)
    holder = tree
    for part in way:
        holder = holder[part]
    named = ".".join(map(str, (*way, key)))
    match rng.choice(("delete", "rename", "add", "copy", "replace", "replace", "replace")):
        case "delete":
            del holder[key]
            return tree, f"without {named}"
        case "rename" if isinstance(holder, dict):
            holder[rng.choice((f"{key}s", str(key)[:-1], "name", 7))] = holder.pop(key)
            return tree, f"{named} renamed"
        case "add" if isinstance(holder, dict):
            holder[rng.choice(("extra", 7, None, "name", "trial"))] = copy.deepcopy(rng.choice(WRONG))
            return tree, f"a key beside {named}"
        case "copy":
            other = tree
            for part in rng.choice(ways):
                other = other[part] if _has(other, part) else other
            holder[key] = copy.deepcopy(other)
            return tree, f"{named} is another part"
    holder[key] = copy.deepcopy(rng.choice(WRONG))
    return tree, f"{named} = {type(holder[key]).__name__!s}"


def texts(good: str) -> dict[str, bytes]:
    """Contents in place of a good YAML file, by what is wrong with each."""
    lines, last = good.splitlines(), good.rstrip("\n").encode()
    twice = next(number for number, line in enumerate(lines) if ":" in line and not line.startswith(" "))
    return {
        "empty": b"",
        "a comment alone": b"# nothing\n",
        "half of it": good[: len(good) // 2].encode(),
        "latin-1": good.encode() + b"\n# caf\xe9\n",
        "utf-16": good.encode("utf-16"),
        "binary": bytes(range(256)) * 4,
        "a zero byte": good.encode() + b"\0",
        "tabs": "\n".join(["\t" + line for line in lines]).encode(),
        "a key twice": "\n".join([*lines, lines[twice]]).encode(),
        "two documents": last + b"\n---\na: 1\n",
        "brackets": b"[" * 500,
        "a tag that runs code": last + b"\nseed: !!python/object/apply:os.getpid []\n",
        "a number that is none": last + b"\nextra: !!int banana\n",
        "a number of 5000 digits": last + b"\nextra: " + b"1" * 5000,
        "a month that is none": last + b"\nextra: 2020-13-45\n",
        "a circle": last + b"\nextra: &a [*a]\n",
        "a list as a key": last + b"\n? [a, b]\n: 1\n",
    }


def _has(holder: Any, part: Any) -> bool:
    return (isinstance(holder, dict) and part in holder) or (
        isinstance(holder, list) and isinstance(part, int) and part < len(holder)
    )
