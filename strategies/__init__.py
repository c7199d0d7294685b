"""Thin shells on the engine: from signals to orders."""
