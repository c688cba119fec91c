import os
from pathlib import Path

import pytest

from greenopt.trial.compilation.compiler_cache import (
    CompilerCache,
    cache_folder,
    keep_kernels,
    prepare_compiler,
    prune,
    write_whole,
)


def test_the_folder_is_the_named_one_and_an_empty_name_keeps_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GREENOPT_CACHE", str(tmp_path / "kept"))
    assert cache_folder() == tmp_path / "kept"
    assert (tmp_path / "kept").is_dir()
    monkeypatch.setenv("GREENOPT_CACHE", "")
    assert cache_folder() is None
    monkeypatch.delenv("GREENOPT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    assert cache_folder() == tmp_path / "user" / "greenopt"


def test_a_folder_that_cannot_be_made_keeps_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GREENOPT_CACHE", str(tmp_path / "file" / "below"))
    environment: dict[str, str] = {}
    assert prepare_compiler(environment) is None
    assert environment == {
        "XLA_FLAGS": "--xla_gpu_graph_min_graph_size=1 --xla_gpu_command_buffer_scheduling_mode=CONCURRENT "
        "--xla_gpu_enable_command_buffer=+WHILE,+CONDITIONAL "
        "--xla_gpu_experimental_enable_fusion_block_level_rewriter=false --xla_gpu_enable_triton_gemm=false"
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


def test_the_least_recently_used_goes_first(tmp_path: Path) -> None:
    for number in range(4):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "x").write_bytes(bytes(100))
        os.utime(tmp_path / str(number) / "x", (number, number))
    (tmp_path / "file").write_bytes(bytes(100))
    os.utime(tmp_path / "file", (0.5, 0.5))
    prune(tmp_path, 300)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["1", "2", "3"]
    prune(tmp_path, 0)
    assert not list(tmp_path.iterdir())


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


def test_a_file_that_cannot_be_written_whole_leaves_nothing_and_the_earlier_one_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "kept.json"
    write_whole(target, b"first")

    def half(path: Path, content: bytes) -> int:
        with path.open("wb") as file:
            file.write(content[: len(content) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(OSError, match="No space"):
        write_whole(target, b"second")
    assert target.read_bytes() == b"first"
    assert [file.name for file in tmp_path.iterdir()] == ["kept.json"]
