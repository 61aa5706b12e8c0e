"""A network of one's own: from pictures to weights that perform. `session` is its story.

options, plan, settings   what is asked, and what a run is, in numbers; the published heuristics
sources, data, batches    pictures from folders, zips and the flowers' renderer, by their number
beginning                 from which weights it begins: fresh ones, or those of another network
synthesis, losses         the generator's pass as training needs it; the game's losses and penalties
augment, pairs            what a small set can't do without; what pictures that have latents add
dice, trainer             all random numbers, keyed by step; one step after the other
folder, samples, log      what is on disk, whole at any moment; its grids and its chart
features, patches, measure  how far generated pictures are from real ones
"""
