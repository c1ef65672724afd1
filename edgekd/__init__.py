"""edgekd: take a trained student network to an engine on a Jetson-class board, and prove it was worth it."""

__version__ = "0.1.0"
__all__ = ["__version__"]
