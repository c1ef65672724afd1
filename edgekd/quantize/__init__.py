"""FAMILY: ONNX → ONNX that carries its precision. One scheme a file: ``quantize(onnx, config, samples, out)``."""
