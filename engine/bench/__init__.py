"""Measures the ways to a frame beside each other and their floor: `python -m engine bench`."""
