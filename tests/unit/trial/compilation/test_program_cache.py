import re
import shutil
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import keras
import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf
from tensorflow.python.eager import context

import greenopt.trial
from greenopt.trial.compilation import program_cache
from greenopt.trial.compilation.program_cache import CachedPrograms, program_key, source_digest
from greenopt.trial.compilation.serialized_graph import Graph, Program, UnkeepableError, traced
from greenopt.trial.run import load_split
from greenopt.trial.training.trainer import Trainer
from tests.unit.trial.workbench import TINY, prepared, trial_spec

DROPS = "tests.unit.trial.dropping:build"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where graphs are kept; of the small models of these tests too."""
    monkeypatch.setenv("GREENOPT_CACHE", str(tmp_path))
    monkeypatch.setattr(program_cache, "MODEL_NAMES", (TINY, DROPS))
    return tmp_path / "graphs"


def warm_trainer(**how: Any) -> Trainer:
    keras.backend.clear_session()
    trainer = prepared(trial_spec(**how))[0].trainer
    trainer.warm_up()
    return trainer


def state(trainer: Trainer) -> list[npt.NDArray[Any]]:
    return [variable.numpy() for variable in trainer._variables()]


def never(*_: Any) -> NoReturn:
    raise AssertionError("this was traced")


SETTINGS: tuple[dict[str, Any], ...] = (
    {"optimizer": "SGD", "optimizer_momentum": 0.9, "training": {"model": DROPS}},
    {"internal": "jit_compilation", "optimizer": "RMSProp"},
    {"optimizer": "AdamW", "precision": "global_policy_float16", "augmentation": "mixup"},
    {"internal": "pre_quantization", "training": {"trainable": 3, "label_smoothing": 0.1}},
)


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_program_that_was_kept_does_what_the_traced_function_does(
    folder: Path, monkeypatch: pytest.MonkeyPatch, setting: dict[str, Any]
) -> None:
    part = load_split(trial_spec(**setting))[1].validation
    found = []
    for number in range(3):
        with monkeypatch.context() as patch:
            if number == 1:
                patch.setattr(Trainer, "_train_steps", never)
                patch.setattr(Trainer, "_evaluate_steps", never)
            if number == 2:
                patch.setenv("GREENOPT_CACHE", "")
            trainer = warm_trainer(**setting)
        assert (type(trainer._train_block) is Program) == (number < 2)
        before = state(trainer)
        scores = [trainer.train_epoch(1), trainer.evaluate(part), trainer.train_epoch(2)]
        assert not all(np.array_equal(a, b) for a, b in zip(before, state(trainer), strict=True))
        found.append((scores, state(trainer)))
    assert len(list(folder.iterdir())) == 1
    for scores, after in found[1:]:
        assert scores == found[0][0]
        assert all(np.array_equal(a, b) for a, b in zip(after, found[0][1], strict=True))


SAME: tuple[dict[str, Any], ...] = (
    {"preprocessing": "standardization"},
    {"preprocessing": "minmax", "augmentation": "random"},
    {"augmentation": "cutmix", "precision": "float16"},
    {"precision": "float64", "partitioning": "80-10-10"},
    {"lr": 0.5, "lr_schedule": "cosine"},
    {"lr_schedule": "exponential", "seed": 11, "training": {"epochs": 3}},
    {"lr_schedule": "polynomial", "training": {"time_limit_s": 100.0}},
)
OTHER: tuple[dict[str, Any], ...] = (
    {"batch_size": 16},
    {"optimizer_momentum": 0.5},
    {"optimizer": "RMSProp"},
    {"optimizer": "Adam"},
    {"optimizer": "Adam", "optimizer_momentum": 0.5},
    {"optimizer": "Adam", "optimizer_momentum": 0.5, "training": {"momentum_as_beta_1": True}},
    {"optimizer": "AdamW"},
    {"optimizer": "AdamW", "training": {"weight_decay": 0.1}},
    {"internal": "jit_compilation"},
    {"internal": "pre_quantization"},
    {"precision": "global_policy_float16"},
    {"precision": "float16", "training": {"precision_applies_to": "policy"}},
    {"training": {"evaluation_batch_size": 64}},
    {"training": {"block_images": 64}},
    {"training": {"batchnorm_momentum": 0.7}},
    {"training": {"model": DROPS}},
    {"training": {"label_smoothing": 0.1}},
    {"training": {"trainable": "head"}},
    {"training": {"trainable": 3}},
    {"training": {"weight_decay_applies_to": "all"}},
    {"training": {"epochs": 1000}},
    {"data": {"name": "synthetic", "images": 300, "classes": 3, "image_size": 16}},
    {"data": {"name": "synthetic", "images": 300, "classes": 4, "image_size": 24}},
)


def definition(graph: Graph) -> str:
    """Without the numbers that names end with, which go on within one process; functions in order."""
    found = tf.compat.v1.GraphDef.FromString(graph.definition)
    functions = list(found.library.function)
    del found.library.function[:]
    return "".join(sorted(re.sub(r"[_-]\d{4,}", "", str(part)) for part in (found, *functions)))


def test_equal_keys_mean_equal_programs() -> None:
    """A key that left something out would train a trial by the program of another."""
    of_key = defaultdict(set)
    keys = []
    for how in ({}, *SAME, *OTHER):
        keras.backend.clear_session()
        spec = trial_spec(**how)
        prepared_trial, images, split = prepared(spec)
        trainer = prepared_trial.trainer
        keys.append(program_key(spec, images, trainer.block_steps, spec.training.epochs * trainer.steps))
        variables = trainer._program_variables()
        training = (*next(trainer.pipeline.training(split.train)), tf.constant(1))
        evaluation = (*next(trainer.pipeline.evaluation(split.train[:1])), tf.constant(1))
        found = [
            traced(trainer._train_block, training, variables),
            traced(trainer._evaluate_block, evaluation, variables),
        ]
        of_key[keys[-1]].add((*map(definition, found), *(graph.inputs for graph in found), found[0].state))
    assert [len(programs) for programs in of_key.values()] == [1] * len(of_key)
    assert len(set(keys[: len(SAME) + 1])) == 1
    assert len(set(keys)) == len(OTHER), "beside the first, with Adam's two momentums as one"


def test_what_is_kept_is_used_only_whole_and_where_it_fits(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    warm_trainer()
    (file,) = folder.iterdir()
    whole = file.read_bytes()
    for damaged in (whole[:1000], b"", b"[]", whole.replace(b'"float32"', b'"int32"')):
        file.write_bytes(damaged)
        with monkeypatch.context() as patch:
            patch.setattr(Trainer, "_train_steps", never)
            with pytest.raises(AssertionError, match="this was traced"):
                warm_trainer()
        assert file.read_bytes() == damaged
        trainer = warm_trainer()
        assert type(trainer._train_block) is Program
        assert [len(graph.used) for graph in program_cache._read(file)] == [
            len(graph.used) for graph in program_cache._GRAPHS.validate_json(whole)
        ]
        with monkeypatch.context() as patch:
            patch.setattr(Trainer, "_train_steps", never)
            patch.setattr(Trainer, "_evaluate_steps", never)
            warm_trainer()


def test_what_is_not_named_by_its_key_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The source of a model of the user's own may change without greenopt's knowing."""
    monkeypatch.setenv("GREENOPT_CACHE", str(tmp_path))
    assert type(warm_trainer()._train_block) is not Program
    assert not (tmp_path / "graphs").exists()


def test_a_function_that_captures_something_unknown_runs_as_it_is(tmp_path: Path) -> None:
    known, hidden = tf.Variable(0.0), tf.Variable(2.0)

    @tf.function(autograph=False)
    def function(number: tf.Tensor) -> None:
        known.assign_add(hidden * number)

    with pytest.raises(UnkeepableError, match="beside the variables"):
        traced(function, [tf.constant(1.0)], [known])
    programs = CachedPrograms(tmp_path / "x.json", jit=False)
    assert programs.resolve([known], [lambda: traced(function, [tf.constant(1.0)], [known])]) is None
    assert not (tmp_path / "x.json").exists()


def test_a_folder_that_cannot_be_written_costs_only_time(tmp_path: Path) -> None:
    (tmp_path / "graphs").write_text("a file")
    counter, number = tf.Variable(0, name="counter"), tf.constant(3)
    programs = CachedPrograms(tmp_path / "graphs" / "x.json", jit=False)
    programs.compile_ahead()
    (program,) = programs.resolve([counter], [lambda: traced(counting(counter), [number], [counter])]) or ()
    program(number)
    assert int(counter) == 2


def counting(counter: tf.Variable) -> Any:
    def step(number: tf.Tensor) -> None:
        tf.while_loop(lambda at: at < number, lambda at: [at + counter.assign_add(1)], [tf.constant(0)])

    return tf.function(step, autograph=False)


def test_made_up_variables_take_no_memory_once_the_real_ones_are_there(tmp_path: Path) -> None:
    counter, number = tf.Variable(0, name="counter"), tf.constant(3)
    file = tmp_path / "x.json"
    CachedPrograms(file, jit=False).resolve([counter], [lambda: traced(counting(counter), [number], [counter])])
    programs = CachedPrograms(file, jit=False)
    programs.compile_ahead()
    (program,) = programs.resolve([counter], [never]) or ()
    (made_up,) = programs._placeholders
    assert made_up is not counter
    assert tf.raw_ops.ReadVariableOp(resource=made_up.handle, dtype=tf.int32).shape == (0,)
    program(number)
    assert int(counter) == 2, "0 + 1, then 1 + 2, which is 3"


def test_a_programs_functions_are_none_that_were_traced_in_this_process() -> None:
    """These would know their lines of source, so that XLA took the next process's program for another."""
    counter = tf.Variable(0, name="counter")
    graph = traced(counting(counter), [tf.constant(3)], [counter])
    names = [one.signature.name for one in tf.compat.v1.GraphDef.FromString(graph.definition).library.function]
    assert len(names) == 2, "a loop's condition and body"
    assert not any(context.context().has_function(name) for name in names)
    Program(graph, [counter], jit=False)(tf.constant(3))
    assert all(context.context().has_function(name) for name in names)
    assert int(counter) == 2


def test_a_change_in_any_module_of_the_trial_gives_its_programs_another_key(tmp_path: Path) -> None:
    """Programs are traced from all of these modules; one that the key left out would serve a stale program."""
    source = Path(greenopt.trial.__file__).parent
    copy = tmp_path / "trial"
    shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))
    before = source_digest(copy)
    assert before == source_digest(source)
    modules = sorted(copy.rglob("*.py"))
    assert {"model", "training", "data", "compilation"} <= {module.parent.name for module in modules}
    for module in modules:
        content = module.read_bytes()
        module.write_bytes(content + b"# changed")
        assert source_digest(copy) != before, module
        module.write_bytes(content)
    modules[0].rename(copy / "renamed.py")
    assert source_digest(copy) != before


def test_a_program_can_run_while_the_next_one_is_traced(tmp_path: Path) -> None:
    counter, number = tf.Variable(0, name="counter"), tf.constant(3)
    told: list[str] = []

    def trace(name: str) -> Any:
        told.append(f"traces {name}")
        return traced(counting(counter), [number], [counter])

    def begin(place: int, program: Any) -> None:
        program(number)
        told.append(f"has begun {place}, counter {int(counter)}")

    programs = CachedPrograms(tmp_path / "x.json", jit=False)
    programs.resolve([counter], [partial(trace, "a"), partial(trace, "b")], begin)
    assert told[:3] == ["traces a", "has begun 0, counter 2", "traces b"]
    assert len(told) == 4
    again = CachedPrograms(tmp_path / "x.json", jit=False)
    again.compile_ahead()
    assert len(again.resolve([counter], [never, never], never) or ()) == 2
