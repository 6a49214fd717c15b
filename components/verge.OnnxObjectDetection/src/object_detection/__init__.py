"""Find objects in pictures with an ONNX model that its card describes."""
