"""Set lists that come with Anthesis, as package data."""
