"""The test suite: mirrors the code; `real/` runs against real servers and real processes."""
