"""The way back: from a photo to the W+ that shows it."""
