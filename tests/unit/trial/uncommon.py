"""Models of which a training step on one flat variable must not take for granted what holds of most."""

from typing import Any

import keras
import tensorflow as tf

layers = keras.layers
Layer: Any = keras.layers.Layer
Conv2D: Any = keras.layers.Conv2D
Model: Any = keras.Model


def _ended(inputs: Any, x: Any, classes: int, **dense: Any) -> keras.Model:
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(classes, activation="softmax", **dense)(x))


class Insistent(Conv2D):
    """A convolution that adds its bias in its own way."""

    def call(self, inputs: Any) -> Any:
        return self.convolution_op(inputs, self.kernel) * 2 + self.bias


def biased(input_shape: tuple[int, int, int], classes: int) -> keras.Model:
    """Biases before a BatchNormalization that are not void.

    In turn: one with a regularizer; before one that is not trained; before a call as after training; of a layer that
    adds it in its own way; before one that is called twice; with a regularizer of the output.
    """
    inputs = keras.Input(input_shape)
    x = layers.Conv2D(4, 3, strides=2, bias_regularizer=keras.regularizers.L2(5.0), bias_initializer="ones")(inputs)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    resting, shared = layers.BatchNormalization(), layers.BatchNormalization()
    resting.trainable = False
    x = layers.ReLU()(resting(layers.Conv2D(8, 1)(x)))
    x = layers.BatchNormalization()(layers.Conv2D(8, 1)(x), training=False)
    x = layers.ReLU()(layers.BatchNormalization()(Insistent(4, 3)(x)))
    x = shared(layers.Conv2D(4, 1)(x))
    x = shared(layers.Conv2D(4, 1, activity_regularizer="l2", kernel_regularizer="l1")(x))
    return _ended(inputs, x, classes, kernel_regularizer="l2")


def several_dtypes(input_shape: tuple[int, int, int], classes: int) -> keras.Model:
    """Layers that compute in float32, in float16, in bfloat16 and in float32 again, all with float32 weights."""
    inputs = keras.Input(input_shape)
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(16, 4, strides=2, use_bias=False)(inputs)))
    x = layers.Conv2D(16, 2, dtype="mixed_float16")(x)
    x = layers.BatchNormalization(dtype="mixed_float16")(x)
    x = layers.Conv2D(16, 2, dtype="mixed_bfloat16")(x)
    return _ended(inputs, x, classes, dtype="float32")


def forked(input_shape: tuple[int, int, int], classes: int) -> keras.Model:
    """Two convolutions of one input, as in a residual block, and a dropout that is never switched off."""
    inputs = keras.Input(input_shape)
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(8, 3, strides=2)(inputs)))
    x = layers.Conv2D(8, 1)(x) + layers.Conv2D(8, 3, padding="same")(x)
    return _ended(inputs, layers.Dropout(0.2)(layers.ReLU()(layers.BatchNormalization()(x)), training=True), classes)


class Noisy(Layer):
    """Drops half of its input, always, by Keras's own random numbers."""

    def call(self, inputs: Any) -> Any:
        return keras.random.dropout(inputs, 0.5)


def noisy(input_shape: tuple[int, int, int], classes: int) -> keras.Model:
    """A layer that draws from a generator that is not the model's."""
    inputs = keras.Input(input_shape)
    return _ended(inputs, Noisy()(layers.Conv2D(8, 3, strides=2, activation="relu")(inputs)), classes)


def without_bounds(input_shape: tuple[int, int, int], classes: int) -> keras.Model:
    """A BatchNormalization of which a moving variance grows beyond all bounds, and the loss does not."""
    inputs = keras.Input(input_shape)
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(8, 3, strides=2, activation="relu")(inputs))
    x = layers.BatchNormalization()(layers.Dense(8)(layers.Rescaling(1e22)(x)))
    return keras.Model(inputs, layers.Dense(classes, activation="softmax")(x))


class Called(Model):
    """A model whose layers are not connected beforehand; one of them is used in part, in a branch of its own."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.first, self.norm = layers.Conv2D(8, 3, strides=2), layers.BatchNormalization()
        self.drop, self.last = layers.Dropout(0.2), layers.Dense(classes, activation="softmax")

    def call(self, inputs: Any, training: bool = False) -> Any:
        x = tf.nn.relu(self.norm(self.first(inputs), training=training))
        return self.last(self.drop(tf.reduce_mean(x, axis=(1, 2)), training=training))


def called(input_shape: tuple[int, int, int], classes: int) -> keras.Model:
    model = Called(classes)
    model.build((None, *input_shape))
    return model


class Unmoved(Layer):
    """A layer with a weight that the loss does not depend on."""

    def build(self, input_shape: Any) -> None:
        self.weight = self.add_weight(shape=(3,), initializer="ones")

    def call(self, inputs: Any) -> Any:
        return inputs + 0 * tf.stop_gradient(tf.reduce_sum(self.weight))


def without_gradient(input_shape: tuple[int, int, int], classes: int) -> keras.Model:
    inputs = keras.Input(input_shape)
    return _ended(inputs, Unmoved()(layers.Conv2D(4, 3)(inputs)), classes)


def spectral(input_shape: tuple[int, int, int], classes: int) -> keras.Model:
    """A layer that changes its weights itself, before the optimizer does."""
    inputs = keras.Input(input_shape)
    x = layers.SpectralNormalization(layers.Conv2D(4, 3, strides=2))(inputs)
    return _ended(inputs, x, classes)


class Own(Model):
    """A model with a training step of its own."""

    def train_step(self, data: Any) -> Any:
        x, y = data
        return super().train_step((x, 1 - y))


def own_step(input_shape: tuple[int, int, int], classes: int) -> keras.Model:
    inputs = keras.Input(input_shape)
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(inputs))
    return Own(inputs, layers.Dense(classes, activation="softmax")(x))


class Mixed(Called):
    """A model that calls one BatchNormalization in training and then as after it."""

    def call(self, inputs: Any, training: bool = False) -> Any:
        x = self.norm(self.first(inputs), training=training)
        x = tf.nn.relu(self.norm(x + 1, training=False))
        return self.last(tf.reduce_mean(x, axis=(1, 2)))


def mixed_norm(input_shape: tuple[int, int, int], classes: int) -> keras.Model:
    model = Mixed(classes)
    model.build((None, *input_shape))
    return model
