"""The bundled networks, as package data."""
