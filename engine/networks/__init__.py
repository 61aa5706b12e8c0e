"""Reference networks, each one readable, differentiable file."""
