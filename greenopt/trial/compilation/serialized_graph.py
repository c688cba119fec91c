"""Programs that run from serialized graphs: traced once, then read from a file.

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


class TensorSpec(NamedTuple):
    """Name, shape and dtype of a variable or input."""

    name: str
    shape: tuple[int, ...]
    dtype: str

    @classmethod
    def from_variable(cls, variable: tf.Variable) -> "TensorSpec":
        """Return the name, shape and dtype of a variable."""
        return cls(variable.name, tuple(variable.shape), variable.dtype.name)


class Graph(BaseModel):
    """A traced function without results, which changes variables.

    Attributes:
        definition: its operations, a serialised GraphDef.
        inputs: what it is called with, in order.
        state: the variables, in the order in which the function was traced with them.
        used: by name in the definition, which variable; those that it does not use are left out.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_bytes="base64", val_json_bytes="base64")

    definition: bytes
    inputs: tuple[TensorSpec, ...]
    state: tuple[TensorSpec, ...]
    used: dict[str, int]


class UnkeepableError(Exception):
    """A function depends on something other than its variables."""


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
    # Drop the inputs' placeholders: inputs are mapped when the graph is used, and XLA has no placeholder.
    placeholders = {name.partition(":")[0] for name in names}
    kept = [node for node in definition.node if node.name not in placeholders]
    del definition.node[:]
    definition.node.extend(kept)
    _rename_functions(definition)
    met = _met(definition)
    return Graph(
        definition=definition.SerializeToString(deterministic=True),
        inputs=tuple(
            TensorSpec(name, tuple(one.shape), one.dtype.name) for name, one in zip(names, inputs, strict=False)
        ),
        state=tuple(map(TensorSpec.from_variable, variables)),
        used={
            name: place[id(one)] for name, one in zip(captured, concrete.captured_inputs, strict=True) if name in met
        },
    )


class Program:
    """A callable graph."""

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
            # Importing a graph registers its functions with the graph alone, not with the eager context that runs it.
            context.context().add_function_def(function)

        def run(*inputs: tf.Tensor) -> None:
            given = {
                tensor_spec.name: one
                for tensor_spec, one in zip(graph.inputs, inputs, strict=True)
                if tensor_spec.name in met
            }
            # Captured explicitly, so that the order of captures is known.
            capture = tf.compat.v1.get_default_graph().capture
            held = {name: capture(variables[number].handle) for name, number in graph.used.items()}
            tf.graph_util.import_graph_def(definition, input_map={**given, **held}, name="")

        signature = [tf.TensorSpec(tensor_spec.shape, tensor_spec.dtype) for tensor_spec in graph.inputs]
        program = tf.function(run, input_signature=signature, autograph=False, jit_compile=jit)
        self._function = program.get_concrete_function()

    def __call__(self, *inputs: tf.Tensor) -> None:
        """Run the program once."""
        self._function(*inputs)

    def use(self, variables: Variables) -> None:
        """Rebind the program to other variables of the same names, shapes and dtypes."""
        self._function.set_external_captures([variables[number].handle for number in self._graph.used.values()])


def _rename_functions(definition: Any) -> None:
    """Rename the functions of a definition.

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
                # Only then: setting a name turns an attribute of another kind into a function.
                if named.name in names:
                    named.name = names[named.name]


def _met(definition: Any) -> set[str]:
    """Return the names of the tensors that a definition's operations take."""
    names = {name for node in definition.node for name in node.input}
    return names | {f"{name}:0" for name in names}
