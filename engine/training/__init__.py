"""A network of one's own: from pictures to weights that perform. `session` is its story.

options, plan, settings   what is asked, and what a run is, in numbers; the published heuristics
sources, data, arrays     pictures from folders and zips, prepared once
pool, pictures, batches   flowers drawn ahead; whatever was asked for, by its number
beginning, ancestors      fresh weights; those that another network, or training, ended with
growing, players          how these become larger; both networks as a training begins them
resuming                  whether a folder holds this training, and how far it has come
synthesis, losses         the generator's pass as training needs it; the game's losses and penalties
augment, pairs            what a small set can't do without; what pictures that have latents add
dice, trainer             all random numbers, keyed by step; one step after the other
folder, samples, log      what is on disk, whole at any moment; its grids and its chart
features, patches, measure, inception, fid  how far generated pictures are from real ones
detours                   how straight pictures change along a path
memory                    what a CPU need not ask the system for again
"""
