"""Files of others that are imported: how large they may be, what in them is not followed."""

import json
import os
from pathlib import Path

import pandas as pd
import pytest

from greenopt.errors import UsageError
from greenopt.exchange import STUDY_ATTRIBUTE, read_import, table
from greenopt.exchange.imported import BrokenRunError
from greenopt.exchange.paper import read_parameters, read_runs
from greenopt.files import MAX_DOCUMENT_BYTES
from tests.unit.exchange.test_round_trip import made_spec

ROWS = pd.DataFrame({"width": [1, 2, 4], "accuracy": [0.1, 0.2, 0.3], "energy_wh": [1.0, 2.0, 3.0]})
PARAMETERS = """
preprocessing: none
augmentation: none
precision: float32
batch_size: {batch_size}
partitioning: 80-10-10
lr: 0.01
lr_schedule: constant
optimizer: SGD
optimizer_momentum: 0.9
internal: none
"""


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_table_has_a_limit_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    path = tmp_path / f"t.{suffix}"
    ROWS.to_csv(path, index=False) if suffix == "csv" else ROWS.to_parquet(path, index=False)
    assert len(read_import(path, "t").trials) == 3
    for name, most, words in (("MAX_ROWS", 2, "2 rows"), ("MAX_COLUMNS", 1, "1 columns"), ("MAX_BYTES", 10, "1 GiB")):
        with monkeypatch.context() as patched:
            patched.setattr(table, name, most)
            with pytest.raises(UsageError, match=f"t.{suffix}: has .*more than {words}; import it in parts"):
                read_import(path, "t")


def test_a_parquet_file_is_measured_before_it_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.parquet"
    pd.DataFrame({"width": ["x" * 1000] * 200_000, "accuracy": 0.5, "energy_wh": 1.0}).to_parquet(path, index=False)
    monkeypatch.setattr(table, "MAX_BYTES", path.stat().st_size + 1)
    monkeypatch.setattr(table, "MAX_ROWS", 100_000)
    monkeypatch.setattr("greenopt.exchange.table.pd.read_parquet", lambda *_: pytest.fail("it was unpacked"))
    with pytest.raises(UsageError, match="has more than 100,000 rows"):
        read_import(path, "t")


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    for suffix in ("csv", "parquet"):
        os.mkfifo(tmp_path / f"t.{suffix}")
        with pytest.raises(UsageError, match="is not a regular file"):
            read_import(tmp_path / f"t.{suffix}", "t")


def test_a_table_of_others_does_not_say_where_code_is(tmp_path: Path) -> None:
    kept = made_spec(3, {"width": [1, 2, 4]}).model_dump(mode="json")
    frame = ROWS.copy()
    frame.attrs[STUDY_ATTRIBUTE] = json.dumps({**kept, "modules_folder": "/tmp/others"})
    frame.to_parquet(tmp_path / "t.parquet", index=False)
    assert read_import(tmp_path / "t.parquet", "t").spec.modules_folder is None


def run_of(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "parameters.yaml").write_text(text)
    (folder / "logs.csv").write_text("epoch\n")
    return folder / "parameters.yaml"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("!!python/object/apply:os.system ['true']", "cannot be read"),
        ("!!python/name:os.system", "cannot be read"),
        ("[" * 2000, "cannot be read"),
        (
            "a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\n" + PARAMETERS.format(batch_size="*c"),
            "batch_size is not a single",
        ),
        (PARAMETERS.format(batch_size="{a: 1}"), "batch_size is not a single value"),
        ("x: 1\n" * 20, "has no preprocessing"),
    ],
    ids=lambda value: value[:12],
)
def test_yaml_builds_nothing_and_grows_to_nothing(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(BrokenRunError, match=words) as raised:
        read_parameters(run_of(tmp_path / "run", text))
    assert len(str(raised.value).splitlines()) == 1


def test_a_large_file_is_not_read(tmp_path: Path) -> None:
    text = f"{PARAMETERS.format(batch_size=4)}\n#{' ' * MAX_DOCUMENT_BYTES}"
    with pytest.raises(BrokenRunError, match=r"parameters\.yaml cannot be read: .*is larger than 10 MB"):
        read_parameters(run_of(tmp_path / "run", text))


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "id_rsa").write_text("PRIVATE KEY")
    run_of(tmp_path / "runs" / "a", "").unlink()
    (tmp_path / "runs" / "a" / "parameters.yaml").symlink_to(tmp_path / "id_rsa")
    _, skipped, _ = read_runs(tmp_path / "runs")
    ((_, why),) = skipped.items()
    assert "parameters.yaml is a link that leads out of" in why
    assert "PRIVATE" not in why
