"""Names of the models of `keras.applications`, so that a study file is checked without importing Keras.

A test compares this list with the installed Keras.
"""

MODEL_NAMES: tuple[str, ...] = (
    *(f"ConvNeXt{size}" for size in ("Base", "Large", "Small", "Tiny", "XLarge")),
    *(f"DenseNet{depth}" for depth in (121, 169, 201)),
    *(f"EfficientNetB{size}" for size in range(8)),
    *(f"EfficientNetV2{size}" for size in ("B0", "B1", "B2", "B3", "L", "M", "S")),
    "InceptionResNetV2",
    "InceptionV3",
    "MobileNet",
    "MobileNetV2",
    "MobileNetV3Large",
    "MobileNetV3Small",
    "NASNetLarge",
    "NASNetMobile",
    *(f"ResNet{depth}{version}" for depth in (50, 101, 152) for version in ("", "V2")),
    "VGG16",
    "VGG19",
    "Xception",
)

MINIMUM_SIDE: dict[str, int] = {"InceptionResNetV2": 75, "InceptionV3": 75, "Xception": 71}
"""Smallest image side in pixels where it is not 32."""
