"""Quantization schemes. One scheme a file."""
