"""Training: pictures to a network that is performed.

settings     what a run is, in numbers; the published heuristics
sources      pictures by their number, endless
synthesis    the generator's forward pass as training needs it
augment      adaptive augmentation: what a small set of pictures can't do without
losses       the game's losses and penalties
trainer      one step after the other
state        what is on disk, whole at any moment
chart        the log, and its picture
session      the story of `anthesis train`
"""
