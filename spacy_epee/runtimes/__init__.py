"""What the layers of a trained trunk run in: ONNX Runtime, or torch in another precision. The protocol is in `trunk.base`."""
