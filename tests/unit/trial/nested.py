"""A model with a model inside, dropout, and a softmax of its own at the end."""

import keras


def build(input_shape: tuple[int, int, int], classes: int) -> keras.Model:
    layers = keras.layers
    inner = keras.Sequential([layers.Conv2D(4, 3, strides=2), layers.BatchNormalization(), layers.ReLU()], name="inner")
    inputs = keras.Input(input_shape)
    x = layers.GlobalAveragePooling2D()(inner(inputs))
    x = layers.Dropout(0.3)(x)
    return keras.Model(inputs, layers.Activation("softmax")(layers.Dense(classes)(x)))


def logits(input_shape: tuple[int, int, int], classes: int) -> keras.Model:
    inputs = keras.Input(input_shape)
    return keras.Model(inputs, keras.layers.Dense(classes)(keras.layers.Flatten()(inputs)))


def sigmoids(input_shape: tuple[int, int, int], classes: int) -> keras.Model:
    """Adds up to 1 for two classes where nothing comes in, and nowhere else."""
    inputs = keras.Input(input_shape)
    return keras.Model(inputs, keras.layers.Dense(classes, activation="sigmoid")(keras.layers.Flatten()(inputs)))


def two_outputs(input_shape: tuple[int, int, int], classes: int) -> keras.Model:
    inputs = keras.Input(input_shape)
    flat = keras.layers.Flatten()(inputs)
    return keras.Model(inputs, [keras.layers.Dense(classes, activation="softmax")(flat) for _ in range(2)])


def too_few(input_shape: tuple[int, int, int], classes: int) -> keras.Model:
    inputs = keras.Input(input_shape)
    flat = keras.layers.Flatten()(inputs)
    return keras.Model(inputs, keras.layers.Dense(classes - 1, activation="softmax")(flat))


def without_layers_to_quantize(input_shape: tuple[int, int, int], classes: int) -> keras.Model:
    inputs = keras.Input(input_shape)
    x = keras.layers.DepthwiseConv2D(3)(inputs)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Concatenate()([x] * classes)[:, :classes]
    return keras.Model(inputs, keras.layers.Softmax()(x))


def of_one_argument(input_shape: tuple[int, int, int]) -> keras.Model:
    return build(input_shape, 2)


def no_model(input_shape: tuple[int, int, int], classes: int) -> str:
    return "model"


not_callable = 3
