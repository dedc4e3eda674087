"""Read and check a search space, suggest values, rank what came of them; knows nothing of Ray.

`spec` is the file's model, `check` finds every problem in it before anything starts, `core` asks
and tells, `best` ranks.
"""
