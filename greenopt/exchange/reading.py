"""Reading trials that ran elsewhere, from a folder of runs or a table."""

from pathlib import Path

from greenopt.errors import UsageError
from greenopt.exchange.imported import Import
from greenopt.exchange.paper import read_runs
from greenopt.exchange.studies import fitted_to, paper_study
from greenopt.exchange.table import infer_study, read_table
from greenopt.spec import StudySpec


def read_import(source: Path, name: str, spec: StudySpec | None = None) -> Import:
    """Read what is to be imported; nothing is written.

    Args:
        source: a folder of runs in the paper's layout, or a CSV or Parquet file of `greenopt export`.
        name: of the new study.
        spec: the study that the trials belong to, where there is a file of it.

    Raises:
        UsageError: nothing in it can be imported.
    """
    notes: list[str] = []
    if source.is_dir():
        trials, skipped, epochs = read_runs(source)
    elif source.suffix in (".csv", ".parquet"):
        table = read_table(source, spec)
        trials, skipped, notes = table.trials, table.skipped, table.notes
        spec, epochs = table.spec, 0
    else:
        raise UsageError(f"{source}: is neither a folder of runs nor a .csv or .parquet file")
    if not trials:
        first = next((f": {where}: {why}" for where, why in skipped.items()), "")
        raise UsageError(f"{source}: nothing in it can be imported ({len(skipped)} broken){first}")
    if spec is not None:
        spec = fitted_to(spec, name, trials)
    else:
        spec = paper_study(name, trials, epochs) if source.is_dir() else infer_study(name, trials)
    return Import(spec, tuple(trials), skipped, tuple(notes))
