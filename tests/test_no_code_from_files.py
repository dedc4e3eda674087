"""No file that dirsweep reads can run code: what its own source calls, looked up in the syntax tree.

`tests/test_booby_traps.py` tries the same from the other side, with files that would run code.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted([*(ROOT / "dirsweep").rglob("*.py"), *(ROOT / "docs").rglob("*.py")])

MODULES = {
    "pickle",
    "cloudpickle",
    "dill",
    "joblib",
    "jsonpickle",
    "marshal",
    "shelve",
    "skops",
    "ray.cloudpickle",
}
"""They make objects of what a file says."""
ARCHIVES = {"tarfile", "zipfile", "shutil.unpack_archive"}
"""They unpack what may lie outside, link elsewhere, or grow without end: nothing here is an archive."""
HARMLESS = {"pickle.UnpicklingError"}
"""Names of those modules that read nothing: what `torch.load` raises."""
BUILTINS = {"eval", "exec", "compile", "__import__"}
CALLS = {
    *(
        "read_pickle",
        "read_hdf",
        "load_model",
        "load_checkpoint",
        "from_checkpoint",
        "unsafe_load",
        "full_load",
    ),
    *("load_all", "unpack_archive", "extract", "extractall", "system", "popen"),
}
"""Methods and functions that load objects, unpack archives or start a shell, whatever module they are of."""
ASKED = {"torch.load": ("weights_only", True), "np.load": ("allow_pickle", False)}
"""What these may be called with alone, said in the call."""
NEVER = {"allow_pickle": True, "weights_only": False, "trust_remote_code": True, "shell": True}
"""Arguments that no call has."""


def dangers(source: str) -> Iterator[str]:
    """What in a module could let a file run code, each with its line."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                found = [alias.name for alias in names]
            case ast.ImportFrom(module=str(module), names=names, level=0):
                found = [f"{module}.{alias.name}" for alias in names]
            case ast.Call():
                yield from (f"line {node.lineno}: {said}" for said in _in_call(node))
                continue
            case _:
                continue
        for name in set(found) - HARMLESS:
            parts = [name.rsplit(".", count)[0] for count in range(name.count(".") + 1)]
            if any(part in MODULES | ARCHIVES for part in parts):
                yield f"line {node.lineno}: import of {name}"


def _in_call(node: ast.Call) -> Iterator[str]:
    name = ast.unparse(node.func)
    last = name.rpartition(".")[2]
    given = {word.arg: word.value for word in node.keywords}
    said = {key: value.value for key, value in given.items() if isinstance(value, ast.Constant)}
    if name in BUILTINS or last in CALLS or name == "yaml.load" or name.endswith("Tuner.restore"):
        yield f"call of {name}"
    if name in ASKED and said.get(ASKED[name][0]) is not ASKED[name][1]:
        yield f"{name} without {ASKED[name][0]}={ASKED[name][1]}"
    yield from (f"{name} with {key}={value}" for key, value in NEVER.items() if said.get(key) is value)


def test_nothing_in_the_package_loads_objects_or_runs_text():
    assert len(SOURCES) > 200
    found = [f"{file.relative_to(ROOT)}, {said}" for file in SOURCES for said in dangers(file.read_text())]
    assert found == []


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "import ray.cloudpickle as cp",
        "from ray import cloudpickle",
        "from joblib import load",
        "import tarfile",
        "from shutil import unpack_archive",
        "eval(text)",
        "exec(compile(text, '', 'exec'))",
        "__import__(name)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
        "yaml.load(text, Loader=yaml.Loader)",
        "yaml.unsafe_load(text)",
        "pd.read_pickle(path)",
        "mlflow.pyfunc.load_model(uri)",
        "tune.Tuner.restore(path, trainable)",
        "shutil.unpack_archive(path)",
        "archive.extractall(folder)",
        "os.system(text)",
        "subprocess.run(text, shell=True)",
        "SentenceTransformer(name, trust_remote_code=True)",
    ],
)
def test_each_danger_would_be_found(line):
    assert list(dangers(f"def read():\n    {line}\n"))


def test_what_is_safe_is_not_taken_for_a_danger():
    safe = (
        "from pickle import UnpicklingError\n"
        "torch.load(path, weights_only=True)\n"
        "np.load(path, allow_pickle=False)\n"
        "yaml.safe_load(text)\n"
        "model.eval()\n"
        "re.compile(text)\n"
        "subprocess.run([text])\n"
    )
    assert list(dangers(safe)) == []
