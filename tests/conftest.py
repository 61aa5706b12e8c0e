"""Shared by all tests."""

from hypothesis import settings

# Machines are shared and slow at times; a test that is slow has not failed.
settings.register_profile("anthesis", deadline=None)
settings.load_profile("anthesis")
