"""Embedding: a task's preprocessing and postprocessing as torch modules, for the graph. One task a file.

Each file has ``Before(options, (H, W))``: (1, H, W, 3) uint8 → the network's input, and ``After(options)``: the
network's output → (1, H', W', 3) uint8 picture, (1, H, W) uint8 labels or (1, C) float32 probabilities. Only operators
that TensorRT's ONNX parser has had since 8.6 are used: uint8 is cast first and last (TensorRT moves no uint8 tensor
about), windows are pooled, nothing is scattered. No convolution and no matrix product: INT8 leaves the graph's ends be.
"""
