"""How fast the runner is, as ratios: each benchmark measures a baseline and the runner in turns.

`make bench` runs all of it; docs/explanation/performance.md says what the figures mean.
"""
