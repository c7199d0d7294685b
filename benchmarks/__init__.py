"""Measurements of the performance budget; each ``bench_*`` module has ``rows()``."""
