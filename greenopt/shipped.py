"""The studies that come with greenopt, by name. `studies/` of the source tree is their one source.

An installed package has a copy of that folder inside; an editable install finds the source tree's own.
"""

from pathlib import Path

_HERE = Path(__file__).resolve().parent
_PLACES = (_HERE / "studies", _HERE.parent / "studies")


def shipped_studies() -> dict[str, Path]:
    """Return the file of each study that comes with greenopt, by its name."""
    folder = next((place for place in _PLACES if (place / "quickstart.toml").is_file()), None)
    return {file.stem: file for file in sorted(folder.glob("*.toml"))} if folder is not None else {}
