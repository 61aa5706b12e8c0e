"""The engine: StyleGAN2 from W+ to pictures. Importing it loads nothing, torch least of all."""
