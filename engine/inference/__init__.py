"""StyleGAN2's synthesis for one picture at a time, as fast as the device allows.

`folded` takes a reference network apart into what a frame needs; `tuned`, `plain` and `fused` are
three ways to play it, for CPUs and Apple's GPU, for compilers and CUDA graphs, and for CUDA with
Triton. All of them are tested equal to the reference.
"""
