"""A network of one's own: from pictures to weights that perform."""
