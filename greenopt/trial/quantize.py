"""The former module of the quantized layers, which `model.json` of saved models names as the one to import."""

from greenopt.trial.model.quantization_aware import quantized_layers as quantized_layers
