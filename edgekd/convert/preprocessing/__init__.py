"""FAMILY: a task's preprocessing and postprocessing as torch modules that become part of the graph. One task a file.

Each file is named after its task in ``edgekd/tasks/`` and has three names:

- ``Preprocess(options, (H, W))``: a module, image (1, H, W, 3) uint8 → the network's input.
- ``Postprocess(options)``: a module, the network's output → (1, H', W', 3) uint8 image, (1, H, W) uint8 labels or
  (1, C) float32 probabilities.
- ``TOLERANCE``: the largest absolute difference allowed between ``Preprocess`` and the task's own numpy code.

The modules use only operators that TensorRT's ONNX parser has had since 8.6: uint8 is cast by the first node and made
by the last one (TensorRT passes no uint8 tensor between layers), windows are pooled, nothing is scattered. They use
neither convolutions nor matrix products, so that INT8 quantization leaves them alone.
"""
