"""A seeded simulation of the fence: the pure rules under every fault we could think of, on virtual clocks.

`python -m simulation --help` (with `tests` on the path) runs more schedules, or one seed alone with its trace.
"""
