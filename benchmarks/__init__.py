"""Speed, as ratios: two ways to one result, measured in turn in one run of one process.

`make bench` prints the table; `python -m benchmarks --write docs/benchmarks.md` keeps it.
"""
