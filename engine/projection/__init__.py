"""From a photo back to W+: the search, and what it leaves."""
