"""FAMILY: quantization schemes, one a file; see ``edgekd.quantize.scheme`` for the names that each file has."""
