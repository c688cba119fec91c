"""Programs that run from their graphs: traced once, and from then on read from a file.

Tracing the training of ResNet-50 takes Python three seconds. Its result is a graph whose inputs are the program's own
and, of each variable that it reads or changes, where that is. So a graph serves every model of the same shape, and can
be compiled for variables that are made up, while the model's own are still being built.

Invariant: a program computes what the function does that was traced.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import tensorflow as tf
from pydantic import BaseModel, ConfigDict
from tensorflow.python.eager import context

from greenopt.trial.compilation.function_names import name_functions_afresh

Variables: TypeAlias = Sequence[tf.Variable]


class Form(NamedTuple):
    """Of a variable or an input: name, shape and type."""

    name: str
    shape: tuple[int, ...]
    dtype: str

    @classmethod
    def of(cls, variable: tf.Variable) -> "Form":
        """The form of a variable."""
        return cls(variable.name, tuple(variable.shape), variable.dtype.name)


class Graph(BaseModel):
    """A traced function without results, whose effect is on variables.

    Attributes:
        definition: its operations, a serialised GraphDef.
        inputs: what it is called with, in order.
        state: the variables, in the order in which the function was traced with them.
        used: by name in the definition, which variable; those that it does not use are left out.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_bytes="base64", val_json_bytes="base64")

    definition: bytes
    inputs: tuple[Form, ...]
    state: tuple[Form, ...]
    used: dict[str, int]


class UnkeepableError(Exception):
    """A function depends on something that is none of the variables."""


def traced(function: Any, inputs: Sequence[tf.Tensor], variables: Variables) -> Graph:
    """Trace a function.

    Args:
        function: a `tf.function` without results.
        inputs: what to trace it with; their names are its own.
        variables: all that it reads or changes.

    Raises:
        UnkeepableError: it captures anything else.
    """
    name_functions_afresh()
    concrete = function.get_concrete_function(*inputs)
    place = {id(variable.handle): number for number, variable in enumerate(variables)}
    names = [tensor.name for tensor in concrete.inputs]
    captured = names[len(inputs) :]
    unknown = [tensor for tensor in concrete.captured_inputs if id(tensor) not in place]
    if unknown:
        raise UnkeepableError(f"captured beside the variables: {unknown[0]}")
    definition = concrete.graph.as_graph_def()
    # Placeholders of the inputs: what stands for them is named when the graph is used, and XLA knows no placeholder.
    placeholders = {name.partition(":")[0] for name in names}
    kept = [node for node in definition.node if node.name not in placeholders]
    del definition.node[:]
    definition.node.extend(kept)
    _rename_functions(definition)
    met = _met(definition)
    return Graph(
        definition=definition.SerializeToString(deterministic=True),
        inputs=tuple(Form(name, tuple(one.shape), one.dtype.name) for name, one in zip(names, inputs, strict=False)),
        state=tuple(map(Form.of, variables)),
        used={
            name: place[id(one)] for name, one in zip(captured, concrete.captured_inputs, strict=True) if name in met
        },
    )


class Program:
    """A graph, ready to be called."""

    def __init__(self, graph: Graph, variables: Variables, jit: bool) -> None:
        """Read the definition.

        Args:
            graph: what to run.
            variables: of the forms of `graph.state`.
            jit: whether XLA compiles it.
        """
        self._graph = graph
        definition = tf.compat.v1.GraphDef.FromString(graph.definition)
        met = _met(definition)
        for function in definition.library.function:
            # What reads a graph makes its functions known to the graph alone, not to what runs it.
            context.context().add_function_def(function)

        def run(*inputs: tf.Tensor) -> None:
            given = {form.name: one for form, one in zip(graph.inputs, inputs, strict=True) if form.name in met}
            # As a function captures what it is not given, but in an order that is known.
            capture = tf.compat.v1.get_default_graph().capture
            held = {name: capture(variables[number].handle) for name, number in graph.used.items()}
            tf.graph_util.import_graph_def(definition, input_map={**given, **held}, name="")

        signature = [tf.TensorSpec(form.shape, form.dtype) for form in graph.inputs]
        program = tf.function(run, input_signature=signature, autograph=False, jit_compile=jit)
        self._function = program.get_concrete_function()

    def __call__(self, *inputs: tf.Tensor) -> None:
        """Run it once."""
        self._function(*inputs)

    def use(self, variables: Variables) -> None:
        """Let it read and change other variables of the same forms from now on."""
        self._function.set_external_captures([variables[number].handle for number in self._graph.used.values()])


def _rename_functions(definition: Any) -> None:
    """Give the functions of a definition names of their own.

    Under the names that they were traced with, TensorFlow would take them from this process, in which they know the
    lines of source that they come from. So XLA would compile them anew in the next process, which does not know that.
    """
    functions = definition.library.function
    names = {function.signature.name: f"kept_{function.signature.name}" for function in functions}
    for function in functions:
        function.signature.name = names[function.signature.name]
    for node in [*definition.node, *(node for function in functions for node in function.node_def)]:
        node.op = names.get(node.op, node.op)
        for value in node.attr.values():
            for named in [value.func, *value.list.func]:
                # Not otherwise: to set a name makes a function of what was a number.
                if named.name in names:
                    named.name = names[named.name]


def _met(definition: Any) -> set[str]:
    """What the operations of a definition take, by the names of tensors."""
    names = {name for node in definition.node for name in node.input}
    return names | {f"{name}:0" for name in names}
