"""Sweeps: configurations in, finished runs out."""
