"""The bundled networks, as package data, and what they are called."""

from importlib.resources import files
from pathlib import Path

NETWORKS = {"flowers": "flower128.safetensors"}
"""Their names in set lists and on the command line, and their files."""


def bundled_network(name: str) -> Path:
    """The file of a bundled network; of one that is not, the name as a path."""
    return Path(str(files("engine.nets") / NETWORKS[name])) if name in NETWORKS else Path(name)
