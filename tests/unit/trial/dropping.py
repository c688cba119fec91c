"""A model with a random layer, whose draws are a variable's."""

import keras


def build(input_shape: tuple[int, int, int], classes: int) -> keras.Model:
    return keras.Sequential(
        [
            keras.layers.Input(input_shape),
            keras.layers.Conv2D(4, 3, strides=2, name="first"),
            keras.layers.BatchNormalization(name="norm"),
            keras.layers.GlobalAveragePooling2D(name="pool"),
            keras.layers.Dropout(0.4, name="drop"),
            keras.layers.Dense(classes, activation="softmax", name="last"),
        ]
    )
