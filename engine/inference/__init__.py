"""StyleGAN2's synthesis for one picture at a time, as fast as the device allows.

`folded` takes a reference network apart into what a frame needs. `tuned` plays it on a CPU or on
Apple's GPU, each layer in the form that is fastest there; `plain` is what compilers and CUDA take.
`eager` makes frames with the first, and with what `compiled` has made of the second; `graphs` makes
them on CUDA. All of it is tested equal to the reference.
"""
