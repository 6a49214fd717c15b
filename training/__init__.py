"""Train verge.ScratchModel: pictures and boxes in, an ONNX network and its card out."""
