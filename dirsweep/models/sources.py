"""The code that a module of the user's own consists of.

That is its file, and the files of the modules that it imports from where it lies, at any depth: beside it
for a lone module, in and beside its package otherwise. Import statements are followed wherever they stand.
What is imported by a call (`importlib`) is not seen, nor are files that the code reads. Of an installed
module (in site-packages) only its own file counts.
"""

import ast
import importlib.util
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import ModuleType

INSTALLED = ("site-packages", "dist-packages")
"""Folders of packages that are installed, and not written beside the class."""


def sources(module: ModuleType) -> list[Path]:
    """The files of an imported module: its own, then the others in the order of their names.

    Raises:
        ValueError: it has no Python file, or one of the files cannot be read as Python.
    """
    own = Path(module.__file__ or "")
    if own.suffix != ".py":
        raise ValueError(f"{module.__name__} has no Python file, by which other code could be told from it")
    home = own.parents[module.__name__.count(".") + (own.name == "__init__.py")]
    found: dict[str, Path] = {}
    waiting = [] if home.name in INSTALLED else [module.__name__]
    while waiting:
        name = waiting.pop()
        file = _file(home, name)
        if file is not None and name not in found:
            found[name] = file
            waiting += _imported(name, file)
    return [own, *(found[name] for name in sorted(found) if found[name] != own)]


def _file(home: Path, name: str) -> Path | None:
    """The file of a module or package, if it lies below `home`."""
    place = home.joinpath(*name.split("."))
    files = (place / "__init__.py", place.with_name(f"{place.name}.py"))
    return next((file for file in files if file.is_file()), None)


def _imported(name: str, file: Path) -> Iterator[str]:
    """Names of modules that import statements of a module may load; some are of what is in a module."""
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    try:
        tree = ast.parse(file.read_bytes(), str(file))
    except (SyntaxError, ValueError) as error:
        raise ValueError(f"{file}: cannot be read as Python: {error}") from None
    yield from _with_parents(name)
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                for alias in names:
                    yield from _with_parents(alias.name)
            case ast.ImportFrom(module=module, names=names, level=level):
                with suppress(ImportError):  # beyond the outermost package: would fail if it ever ran
                    base = importlib.util.resolve_name("." * level + (module or ""), package)
                    yield from _with_parents(base)
                    yield from (f"{base}.{alias.name}" for alias in names)


def _with_parents(name: str) -> list[str]:
    """a.b.c to a, a.b, a.b.c: importing the last one loads all."""
    parts = name.split(".")
    return [".".join(parts[:length]) for length in range(1, len(parts) + 1)]
