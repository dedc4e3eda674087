"""`python -m dirsweep.cli`: the command where only the package's files are, as in a job on a Ray cluster."""

from dirsweep.cli import main

main()
