"""The model of a trial: layers, precision, quantization-aware training, optimizer."""
