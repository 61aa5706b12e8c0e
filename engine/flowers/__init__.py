"""Flowers without end, drawn by rule: a data set to which nobody else holds any right.

`scene` turns latents into the parameters of a flower, `render` draws them, `source` counts them
through. `species` is the table that all of it mixes from.
"""
