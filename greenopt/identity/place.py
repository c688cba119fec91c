"""Finds a study from its folder: which storage, and under which name there.

Knows no optuna, which is slow to import; asks the database by plain queries and never writes.
"""

import json
from dataclasses import dataclass

from greenopt.errors import UsageError
from greenopt.identity.ids import STUDY_ID_ATTRIBUTE
from greenopt.runs.folder import RunFolder
from greenopt.storage.database import DatabaseError, find_database
from greenopt.storage.url import without_password

_STUDIES = """
    SELECT s.study_name, a.value_json
    FROM studies s LEFT JOIN study_user_attributes a ON a.study_id = s.study_id AND a.key = :key
    WHERE s.study_name = :name OR a.value_json = :wanted
"""


@dataclass(frozen=True)
class StoredStudy:
    """A study in its storage.

    Attributes:
        url: the storage's.
        name: the study's name there; its folder may have another one.
        study_id: its identity; None of one from before there were any.
    """

    url: str
    name: str
    study_id: str | None = None


def locate(folder: RunFolder, storage: str | None = None) -> StoredStudy:
    """Find a study.

    Args:
        folder: its results; need not exist where `storage` is given.
        storage: URL of a storage to be read in place of the one that the folder refers to.

    Raises:
        UsageError: there is no such study, or the storage holds another one than the folder's.
    """
    url = storage or folder.storage()
    found = find_study(url, folder.stored_name, folder.study_id)
    shown = without_password(url)
    if found is None and storage is not None and folder.stored_name != folder.name:
        found = find_study(url, folder.name, None)
    if found is None:
        raise UsageError(f"study {folder.name}: not in storage {shown}{_way_out(folder, storage)}")
    if storage is None and folder.study_id is not None and found.study_id != folder.study_id:
        raise UsageError(f"study {folder.name}: {shown} holds another study than this folder's; bring its own back")
    return found


def find_study(url: str, name: str, study_id: str | None) -> StoredStudy | None:
    """Find a study in a storage, by its identity before its name.

    Args:
        url: the storage's.
        name: the study's.
        study_id: its identity; None where only the name is known.

    Returns:
        The study of this identity, else the one of this name, whatever its identity; None where there is neither.

    Raises:
        UsageError: the storage cannot be read.
    """
    database = find_database(url)
    try:
        with database.connect() as ask:
            wanted = json.dumps(study_id) if study_id else ""
            rows = ask(_STUDIES, key=STUDY_ID_ATTRIBUTE, name=name, wanted=wanted)
    except DatabaseError as error:
        if "no such table" not in str(error) and "does not exist" not in str(error):
            raise UsageError(f"storage {database.shown_url}: cannot be read: {error}") from None
        return None
    finally:
        database.close()
    studies = [StoredStudy(url, str(each), _identity(kept)) for each, kept in rows]
    studies.sort(key=lambda study: (study.study_id == study_id if study_id else True, study.name == name), reverse=True)
    return studies[0] if studies else None


def _identity(kept: object) -> str | None:
    """Return a study's identity as a database holds it; None where there is none, or it is damaged."""
    try:
        identity = json.loads(kept) if isinstance(kept, str) else None
    except (ValueError, RecursionError):
        return None
    return identity if isinstance(identity, str) else None


def _way_out(folder: RunFolder, storage: str | None) -> str:
    return "; was study.db emptied? bring its copy back" if storage is None and folder.trials.is_dir() else ""
