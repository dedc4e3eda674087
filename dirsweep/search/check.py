"""Every problem of a search space, found before anything starts.

Structure (pydantic), then names, conditions, the fixed part, and last (`reach`) the values.
"""

import re
from typing import Any

from pydantic import ValidationError

from dirsweep import config
from dirsweep.config.errors import no_such, shown
from dirsweep.search.distribution import Choice, Int, encoded, kind
from dirsweep.search.model import SweepSpec
from dirsweep.search.parts import Budget
from dirsweep.search.reach import above, below, every_whole, takes, value_problems

NEVER_SEARCHED = {
    "dataset": "bins, shots and the split belong to the data; a search that redefines 'few-shot' wins by "
    "renaming samples",
    "seed": "a search over seeds finds luck",
    "device": "it is one for the whole sweep; set it in `fixed`",
    "precision": "it is one for the whole sweep; set it in `fixed`",
    "compiled": "it is one for the whole sweep; set it in `fixed`",
    "threads": "it is one for the whole sweep; set it in `fixed`",
    "processes": "it is one for the whole sweep; set it in `fixed`",
    "batch_norm": "it is one for the whole sweep; set it in `fixed`",
}


OWN = re.compile(r"encoder\.options\.\w+$")
"""Options of an encoder of the user's own: only its class knows which there are."""


def searchable(name: str) -> bool:
    """Whether a knob may be searched at all."""
    return name.split(".")[0] not in NEVER_SEARCHED


def name_problems(searched: dict[Any, Any]) -> list[str]:
    """Searched names that are no knob or may not be searched."""
    known = {knob.name for knob in config.knobs()}
    allowed = sorted(name for name in known if searchable(name))
    found = []
    for name in map(str, searched):
        if not searchable(name):
            found.append(f"'searched.{name}' may not be searched: {NEVER_SEARCHED[name.split('.')[0]]}")
        elif not OWN.match(name) and re.sub(r"\.then\.\d+\.", ".then.0.", name) not in known:
            guess = config.nearest(name, allowed)
            hint = f"; did you mean 'searched.{guess}'?" if guess else "."
            found.append(f"unknown parameter 'searched.{name}'{hint} `dirsweep params` lists them all.")
    return found


def explain(error: ValidationError) -> list[str]:
    """One line per problem of the file's structure."""
    problems = error.errors()
    places = [problem["loc"] for problem in problems]
    return [  # a list whose items are wrong is also "too short": its items say it better
        _structural(problem)
        for problem in problems
        if not any(place != problem["loc"] == place[: len(problem["loc"])] for place in places)
    ]


def _structural(problem: Any) -> str:
    place = list(problem["loc"])
    if len(place) > 2 and place[0] == "searched":
        del place[2]  # pydantic names the distribution that it tried, then the key
    if len(place) > 1 and place[0] in ("mode", "sampler", "scheduler"):
        del place[1]
    key = ".".join(map(str, place))
    if problem["type"] == "extra_forbidden":
        return f"unknown key '{key}'; allowed here: {', '.join(_allowed(place))}"
    if problem["type"] == "missing":
        return f"'{key}' is missing"
    if problem["type"] == "union_tag_invalid":
        return no_such(
            key, problem["ctx"]["tag"], problem["ctx"]["expected_tags"].replace("'", "").split(", ")
        )
    if problem["type"] == "model_attributes_type" and isinstance(problem["input"], str):
        return f"'{key}': found {shown(problem['input'])}; write {{name: {problem['input']}}}"
    message = problem["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    if problem["type"] == "value_error":
        return f"'{key}': {message}" if key else message
    return f"'{key}': {message}; found {shown(problem['input'])}{_text_hint(problem['input'])}"


def _allowed(place: list[Any]) -> list[str]:
    """Keys that may stand where an unknown one stood."""
    if len(place) == 1:
        return sorted(SweepSpec.model_fields)
    match place[0]:
        case "searched":
            return ["uniform | log | int | choice", "step (uniform, int)", "log: true (int)", "when"]
        case "constraints":
            return ["metric", "at_most", "of"]
        case "budget":
            return list(Budget.model_fields)
        case "repeats":
            return ["seeds", "top"]
        case "mode":
            return ["name", "new_parents (staged)", "parents, best (staged_simple)"]
        case "sampler":
            return ["name", "startup (tpe, gp)", "population (nsga2)"]
        case _:
            return ["name", "metric (asha, median)", "rungs, reduction (asha)", "startup, warmup (median)"]


def _text_hint(found: Any) -> str:
    is_exponent = isinstance(found, str) and re.fullmatch(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+", found)
    return " (YAML reads 1e-3 as text; write 1.0e-3)" if is_exponent else ""


def problems(spec: SweepSpec) -> list[str]:
    """What is wrong with a space of known names: first the conditions, then `fixed`, then the values."""
    return _condition_problems(spec) or _fixed_problems(spec) or value_problems(spec)


def _condition_problems(spec: SweepSpec) -> list[str]:
    found = []
    for name, distribution in spec.searched.items():
        for other, allowed in distribution.conditions().items():
            key = f"'searched.{name}.when.{other}'"
            if other not in spec.searched:
                guess = config.nearest(other, sorted(spec.searched))
                hint = f" (did you mean '{guess}'?)" if guess and guess != name else ""
                found.append(
                    f"{key}: a condition on '{other}', which is not searched{hint}; search it or drop this"
                )
                continue
            taken = spec.searched[other]
            if not isinstance(taken, Choice | Int):
                found.append(
                    f"{key}: a condition needs a name with choice or int; '{other}' has {kind(taken)}"
                )
                continue
            never = [value for value in allowed if not takes(taken, value)]
            if never or not allowed:
                found.append(
                    f"{key}: found {never or allowed}, which '{other}' never takes; it takes {_shown(taken)}"
                )
    if not found:
        try:
            spec.order()
        except ValueError as error:
            found.append(f"'searched': {error}; break the circle")
    return found


def _shown(taken: Choice | Int) -> str:
    values = taken.values if isinstance(taken, Choice) else every_whole(taken)
    few = [encoded(value) for value in (values if len(values) <= 8 else (*values[:3], values[-1]))]
    return ", ".join(few if len(values) <= 8 else [*few[:3], "...", few[3]])


def _fixed_problems(spec: SweepSpec) -> list[str]:
    try:
        spec.default_config()
    except ValueError as error:
        return config.explain(error, "fixed").splitlines()
    found = []
    for name in spec.searched:
        parent = name.rpartition(".")[0]
        dropped = _leaves(below(spec.fixed, parent), parent) if name.endswith(".name") and parent else {}
        for leaf in dropped:
            if leaf not in spec.searched:
                found.append(
                    f"'fixed.{leaf}' would be lost where 'searched.{name}' picks another variant; "
                    f"move it to `searched` as a choice of one, {{choice: [{dropped[leaf]}]}}"
                )
        off = next((place for place in above(name) if _is_null(spec.fixed, place)), None)
        if off:
            found.append(
                f"'searched.{name}': 'fixed.{off}' is null, so this would switch it on; drop one of the two"
            )
    return found


def _is_null(tree: Any, name: str) -> bool:
    parent, _, last = name.rpartition(".")
    holder = below(tree, parent) if parent else tree
    return isinstance(holder, dict) and last in holder and holder[last] is None


def _leaves(tree: Any, prefix: str) -> dict[str, Any]:
    if not isinstance(tree, dict):
        return {} if tree is None else {prefix: tree}
    return {
        name: value for key, item in tree.items() for name, value in _leaves(item, f"{prefix}.{key}").items()
    }
