"""Thin shells on the engine: subscribe, call the core, publish."""
