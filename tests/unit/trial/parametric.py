"""A model whose function takes further parameters by name."""

import keras


def build(input_shape: tuple[int, int, int], classes: int, width: int = 4, activation: str = "relu") -> keras.Model:
    layers = keras.layers
    inputs = keras.Input(input_shape)
    x = layers.Conv2D(width, 3, strides=4, padding="same", activation=activation, name="first")(inputs)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(classes, activation="softmax")(x))


def build_of_anything(input_shape: tuple[int, int, int], classes: int, **parameters: int) -> keras.Model:
    return build(input_shape, classes, width=parameters["units"])
