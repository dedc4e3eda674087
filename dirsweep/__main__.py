"""`python -m dirsweep`: the command where only the package's files are, as in a job on a Ray cluster.

The Python that is found there may be another than the one that Ray runs with, so it is looked at first.
"""

import sys
from importlib.util import find_spec

NEEDS = ("mlflow", "optuna", "pydantic", "ray", "torch", "typer")

lacks = [name for name in NEEDS if find_spec(name) is None]
if lacks:
    sys.exit(
        f"error: {sys.executable} lacks {', '.join(lacks)}; install what dirsweep requires there. On a Ray "
        "cluster that environment must be first on the PATH where Ray is started"
    )

from dirsweep.cli import main  # noqa: E402 (typer may be among what is lacking)

main()
