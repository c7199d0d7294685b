"""Composition root of a live node: ``python run_live.py paper|demo|testnet|mainnet``."""
