"""Configurations in, finished runs out."""
