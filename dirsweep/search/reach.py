"""Try every value that a search can ask in a trial's configuration.

Each is set in a context where its conditions hold, so an impossible range, or a knob of a variant
that is not picked, is found here and not by the trial that would have met it after an hour.
"""

import itertools
import re
from collections.abc import Iterator
from typing import Any

from dirsweep import config
from dirsweep.search.distribution import Choice, Int, encoded
from dirsweep.search.model import SweepSpec

MOST_CONTEXTS = 256
"""Contexts in which one value is tried; more than any real space has."""

MAKING = re.compile(r"encoder\.(name|backbone|weights|vectors|vocabulary|model|path|options\.\w+)$")
"""Searched names that decide which network and which files an encoder is made of."""

Params = dict[str, Any]
Problems = dict[str, str]


def value_problems(spec: SweepSpec) -> list[str]:
    """Each value in each context that matters to it; then, if all is well, each pair of ends."""
    found: Problems = {}
    for name, distribution in spec.searched.items():
        reached = False
        for value in distribution.probes():
            for params in _contexts(spec, name, value):
                reached = True
                _try(spec, params, [name], found)
        if not reached:
            found[name] = f"'searched.{name}': its conditions never hold together, so it would never be asked"
    if not found:
        for one, other in itertools.combinations(spec.searched, 2):
            for forced in itertools.product(_ends(spec, one), _ends(spec, other)):
                wanted = dict(zip((one, other), forced, strict=True))
                for params in itertools.islice(_assignments(spec, wanted), 1):
                    _try(spec, params, [one, other], found)
    return list(found.values())


def encoders(spec: SweepSpec) -> list[tuple[Params, config.EncoderConfig]]:
    """Each encoder that a search may ask, as far as network and files go, and what is searched of it."""
    names = [name for name in spec.searched if MAKING.match(name)]
    found: dict[str, tuple[Params, config.EncoderConfig]] = {}
    for name in names:
        whole = itertools.product(*(_ends(spec, one) for one in names))
        every = ({name: value} for value in _ends(spec, name))  # first, for there may be too many of them all
        together = (dict(zip(names, picked, strict=True)) for picked in whole)
        for forced in itertools.chain(every, itertools.islice(together, MOST_CONTEXTS)):
            for params in itertools.islice(_assignments(spec, forced, must=[name]), 1):
                encoder = spec.config(params).encoder
                asked = {one: value for one, value in params.items() if one in names}
                found.setdefault(encoder.model_dump_json(), (asked, encoder))
    return list(found.values())


def _ends(spec: SweepSpec, name: str) -> list[Any]:
    distribution = spec.searched[name]
    return list(distribution.values) if isinstance(distribution, Choice) else list(distribution.ends)


def _try(spec: SweepSpec, params: Params, names: list[str], found: Problems) -> None:
    """Validate one assignment; note the first problem of each searched name."""
    try:
        spec.config(params)
    except ValueError as error:
        for line in config.explain(error, "").splitlines():
            named = (name for name in params if f"'{name}'" in line)
            culprit = next(named, names[0])
            found.setdefault(culprit, _told(spec, params, culprit, names, line.removeprefix(": ")))


def _told(spec: SweepSpec, params: Params, culprit: str, names: list[str], problem: str) -> str:
    switches = [name for name in _switches(spec, culprit) if name in params]
    partners = names if culprit in names else []
    others = [*switches, *(name for name in partners if name not in (culprit, *switches))]
    beside = "".join(f" with {name} = {params[name]!r}" for name in others)
    message = problem.removeprefix(f"'{culprit}': ")
    hint = " (a `when:` says where a name is asked)" if switches else ""
    return f"'searched.{culprit}' = {params[culprit]!r}{beside}: {message}{hint}"


def _contexts(spec: SweepSpec, name: str, value: Any) -> Iterator[Params]:
    """Assignments with `name` at `value`, over all values of the switches that decide whether it exists."""
    switches = _switches(spec, name)
    options = [_ends(spec, switch) for switch in switches]
    for picked in itertools.islice(itertools.product(*options), MOST_CONTEXTS):
        forced = {**dict(zip(switches, picked, strict=True)), name: value}
        # A switch that is not asked in this context does not decide anything.
        yield from itertools.islice(_assignments(spec, forced, must=[name]), 1)


def _switches(spec: SweepSpec, name: str) -> list[str]:
    """Searched names that pick the variants above `name`."""
    switches = [f"{place}.name" for place in above(name)]
    return [switch for switch in switches if switch in spec.searched and switch != name]


def _assignments(spec: SweepSpec, forced: Params, must: list[str] | None = None) -> Iterator[Params]:
    """Complete assignments with `forced` values in which all of `must` (default: all forced) are asked.

    Names that `must` depend on run over the values that conditions name, the others stand at their first.
    """
    must = list(forced) if must is None else must
    free = [name for name in _ancestors(spec, must) if name not in forced]
    options = [_spoken_of(spec, name) for name in free]
    for picked in itertools.product(*options):
        wanted = {**dict(zip(free, picked, strict=True)), **forced}
        params: Params = {}
        for name in spec.order():
            if spec.active(name, params):
                params[name] = wanted.get(name, spec.searched[name].probes()[0])
        if all(name in params for name in must):
            yield params


def _ancestors(spec: SweepSpec, names: list[str]) -> list[str]:
    """Names that decide whether `names` are asked, through all conditions."""
    found: list[str] = []
    waiting = [other for name in names for other in spec.searched[name].when]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.append(name)
            waiting += spec.searched[name].when
    return found


def takes(distribution: Choice | Int, value: Any) -> bool:
    """Whether a name of that distribution is ever asked at `value`."""
    if isinstance(distribution, Choice):
        return encoded(value) in map(encoded, distribution.values)
    return type(value) is int and value in every_whole(distribution)


def every_whole(distribution: Int) -> range:
    """All values of whole numbers; of a range as long as you like, since none of them is made."""
    low, high = distribution.ends
    return range(low, high + 1, distribution.step)


def _spoken_of(spec: SweepSpec, name: str) -> list[Any]:
    """The values of a name that some condition names, in the order in which the name takes them."""
    distribution = spec.searched[name]
    named = [value for other in spec.searched.values() for value in other.conditions().get(name, [])]
    if isinstance(distribution, Choice):
        return [value for value in distribution.values if encoded(value) in map(encoded, named)]
    return sorted(set(named))


def above(name: str) -> list[str]:
    """Dotted names of the branches that `name` hangs on, outermost first."""
    parts = name.split(".")
    return [".".join(parts[:length]) for length in range(1, len(parts))]


def below(tree: Any, name: str) -> Any:
    """What stands at a dotted name in nested dicts and lists; None where there is nothing."""
    for part in name.split("."):
        if isinstance(tree, list):
            tree = dict(enumerate(tree)).get(int(part)) if part.isdigit() else None
        else:
            tree = tree.get(part) if isinstance(tree, dict) else None
    return tree
