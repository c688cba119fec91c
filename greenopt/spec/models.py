"""Names of the models of `keras.applications` and files of their weights, so that a study is checked without Keras.

Tests compare both with the installed Keras.
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

_IMAGENET_ADDRESS = "https://storage.googleapis.com/tensorflow/keras-applications/"
_EFFICIENTNET_ADDRESS = "https://storage.googleapis.com/keras-applications/"
_IMAGENET_FILES: dict[str, tuple[str, str]] = {
    "ConvNeXtBase": ("convnext", "convnext_base_notop.h5"),
    "ConvNeXtLarge": ("convnext", "convnext_large_notop.h5"),
    "ConvNeXtSmall": ("convnext", "convnext_small_notop.h5"),
    "ConvNeXtTiny": ("convnext", "convnext_tiny_notop.h5"),
    "ConvNeXtXLarge": ("convnext", "convnext_xlarge_notop.h5"),
    "DenseNet121": ("densenet", "densenet121_weights_tf_dim_ordering_tf_kernels_notop.h5"),
    "DenseNet169": ("densenet", "densenet169_weights_tf_dim_ordering_tf_kernels_notop.h5"),
    "DenseNet201": ("densenet", "densenet201_weights_tf_dim_ordering_tf_kernels_notop.h5"),
    "EfficientNetB0": ("", "efficientnetb0_notop.h5"),
    "EfficientNetB1": ("", "efficientnetb1_notop.h5"),
    "EfficientNetB2": ("", "efficientnetb2_notop.h5"),
    "EfficientNetB3": ("", "efficientnetb3_notop.h5"),
    "EfficientNetB4": ("", "efficientnetb4_notop.h5"),
    "EfficientNetB5": ("", "efficientnetb5_notop.h5"),
    "EfficientNetB6": ("", "efficientnetb6_notop.h5"),
    "EfficientNetB7": ("", "efficientnetb7_notop.h5"),
    "EfficientNetV2B0": ("efficientnet_v2", "efficientnetv2-b0_notop.h5"),
    "EfficientNetV2B1": ("efficientnet_v2", "efficientnetv2-b1_notop.h5"),
    "EfficientNetV2B2": ("efficientnet_v2", "efficientnetv2-b2_notop.h5"),
    "EfficientNetV2B3": ("efficientnet_v2", "efficientnetv2-b3_notop.h5"),
    "EfficientNetV2L": ("efficientnet_v2", "efficientnetv2-l_notop.h5"),
    "EfficientNetV2M": ("efficientnet_v2", "efficientnetv2-m_notop.h5"),
    "EfficientNetV2S": ("efficientnet_v2", "efficientnetv2-s_notop.h5"),
    "InceptionResNetV2": ("inception_resnet_v2", "inception_resnet_v2_weights_tf_dim_ordering_tf_kernels_notop.h5"),
    "InceptionV3": ("inception_v3", "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5"),
    "MobileNet": ("mobilenet", "mobilenet_1_0_224_tf_no_top.h5"),
    "MobileNetV2": ("mobilenet_v2", "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5"),
    "MobileNetV3Large": ("mobilenet_v3", "weights_mobilenet_v3_large_224_1.0_float_no_top_v2.h5"),
    "MobileNetV3Small": ("mobilenet_v3", "weights_mobilenet_v3_small_224_1.0_float_no_top_v2.h5"),
    "NASNetLarge": ("nasnet", "NASNet-large-no-top.h5"),
    "NASNetMobile": ("nasnet", "NASNet-mobile-no-top.h5"),
    "ResNet101": ("resnet", "resnet101_weights_tf_dim_ordering_tf_kernels_notop.h5"),
    "ResNet101V2": ("resnet", "resnet101v2_weights_tf_dim_ordering_tf_kernels_notop.h5"),
    "ResNet152": ("resnet", "resnet152_weights_tf_dim_ordering_tf_kernels_notop.h5"),
    "ResNet152V2": ("resnet", "resnet152v2_weights_tf_dim_ordering_tf_kernels_notop.h5"),
    "ResNet50": ("resnet", "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"),
    "ResNet50V2": ("resnet", "resnet50v2_weights_tf_dim_ordering_tf_kernels_notop.h5"),
    "VGG16": ("vgg16", "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"),
    "VGG19": ("vgg19", "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5"),
    "Xception": ("xception", "xception_weights_tf_dim_ordering_tf_kernels_notop.h5"),
}
_SIDES = {"MobileNet": (128, 160, 192, 224), "MobileNetV2": (96, 128, 160, 192, 224)}
"""Image sides in pixels for which Keras has weights of their own; for any other side it takes those of 224."""


def imagenet_url(model: str, side: int | None) -> str:
    """Return where Keras downloads a model's ImageNet weights from, those without the output layers.

    Args:
        model: one of `MODEL_NAMES`.
        side: of the images in pixels; None where it is not known.
    """
    folder, file = _IMAGENET_FILES[model]
    if side in _SIDES.get(model, ()):
        file = file.replace("_224_", f"_{side}_")
    return f"{_IMAGENET_ADDRESS}{folder}/{file}" if folder else _EFFICIENTNET_ADDRESS + file
