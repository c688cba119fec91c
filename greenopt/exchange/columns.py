"""What `greenopt export` and `greenopt import` agree on beyond a table's cells."""

STUDY_ATTRIBUTE = "greenopt_study"
"""Where a Parquet file of `greenopt export` keeps its study."""
CELLS_ATTRIBUTE = "greenopt_cells"
"""Where it says which columns are written as cells of a CSV file are, because they mix types."""

IDENTITIES = ("attempt_id", "code_id", "data_id")
"""Columns that say which attempt, code and data a trial had."""
PLAIN_TEXTS = (
    *(*IDENTITIES, "run", "gpu_uuid", "gpu_name", "gpu_driver", "host"),
    *("message", "flags", "inert", "accuracy_caution"),
)
"""Columns of nothing but texts, whose numbers stand in a CSV file without quotes."""
