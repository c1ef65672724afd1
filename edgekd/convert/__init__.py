"""Convert: checkpoint → ONNX → smaller ONNX."""
