import os
from pathlib import Path

import pytest

from greenopt.trial.compilation.compiler_cache import (
    CompilerCache,
    keep_kernels,
    prepare_compiler,
)


def test_a_folder_that_cannot_be_made_keeps_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GREENOPT_CACHE", str(tmp_path / "file" / "below"))
    environment: dict[str, str] = {}
    assert prepare_compiler(environment) is None
    assert environment == {
        "XLA_FLAGS": "--xla_gpu_graph_min_graph_size=1 --xla_gpu_command_buffer_scheduling_mode=CONCURRENT "
        "--xla_gpu_enable_command_buffer=+WHILE,+CONDITIONAL "
        "--xla_gpu_experimental_enable_fusion_block_level_rewriter=false "
        "--xla_gpu_experimental_enable_fusion_autotuner=false --xla_gpu_enable_triton_gemm=false "
        "--xla_gpu_enable_llvm_module_compilation_parallelism=true --xla_gpu_force_compilation_parallelism=12"
    }


def test_the_users_own_flags_stay_and_come_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GREENOPT_CACHE", str(tmp_path))
    environment = {"XLA_FLAGS": "--xla_gpu_graph_min_graph_size=9", "TF_XLA_FLAGS": "--tf_xla_auto_jit=0"}
    prepare_compiler(environment)
    assert environment["XLA_FLAGS"].endswith("--xla_gpu_graph_min_graph_size=9")
    assert environment["TF_XLA_FLAGS"].endswith("--tf_xla_auto_jit=0")


def test_programs_of_other_flags_are_kept_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GREENOPT_CACHE", str(tmp_path))
    places = []
    for flags in ("--xla_gpu_autotune_level=0", "--xla_gpu_autotune_level=4", "--xla_gpu_autotune_level=0"):
        environment = {"XLA_FLAGS": flags}
        prepare_compiler(environment)
        places.append(environment["TF_XLA_FLAGS"].split("persistent_cache_directory=")[1].split()[0])
    assert places[0] == places[2] != places[1]


def test_what_the_autotuner_found_is_loaded_from_the_second_trial_on(tmp_path: Path) -> None:
    first: dict[str, str] = {}
    cache = CompilerCache(tmp_path)
    cache.use(first)
    assert "load_autotune" not in first["XLA_FLAGS"]
    dumped = Path(first["XLA_FLAGS"].split("dump_autotune_results_to=")[1].split()[0])
    cache.keep()  # a trial that compiled nothing
    dumped.write_text("found")
    cache.keep()
    assert not dumped.exists()
    second: dict[str, str] = {}
    CompilerCache(tmp_path).use(second)
    loaded = Path(second["XLA_FLAGS"].split("load_autotune_results_from=")[1].split()[0])
    assert loaded.read_text() == "found"


def test_what_trials_left_that_did_not_end_is_deleted_after_a_day(tmp_path: Path) -> None:
    cache, environment = CompilerCache(tmp_path), dict[str, str]()
    cache.use(environment)
    old, new = (cache._folder / f"autotuned-{name}.pb" for name in ("1", "2"))
    for file in (old, new):
        file.write_text("half")
    os.utime(old, (0, 0))
    cache.use(environment)
    assert not old.exists()
    assert new.exists()


def test_kernels_are_kept_apart_for_each_architecture_unless_the_user_says_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GREENOPT_CACHE", str(tmp_path))
    places = []
    for architecture in ("sm_80", "sm_90"):
        environment: dict[str, str] = {}
        keep_kernels(environment, architecture)
        places.append(Path(environment["TF_JIT_CACHE_DIR"]))
    assert places[0] != places[1]
    assert all(place.is_relative_to(tmp_path) for place in places)
    environment = {"TF_JIT_CACHE_DIR": "/mine"}
    keep_kernels(environment, "sm_90")
    assert environment == {"TF_JIT_CACHE_DIR": "/mine"}
    monkeypatch.setenv("GREENOPT_CACHE", "")
    environment = {}
    keep_kernels(environment, "sm_90")
    assert environment == {}
