"""The way back: from a photo to the W+ whose picture it is. `session` is its story."""
