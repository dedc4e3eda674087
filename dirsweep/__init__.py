"""Hyperparameter sweeps for two-stage deep imbalanced regression.

Read `pipeline.run_trial` first: its body is the diagram of one trial.
"""

__version__ = "0.1.0"

METHOD_VERSION = 3
"""Changes whenever the numbers of a trial change for the same config, data and seed."""
