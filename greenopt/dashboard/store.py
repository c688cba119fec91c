"""Notes, figures and artifacts in a study's storage, in the form in which optuna-dashboard keeps them.

The dashboard's own `save_note` and `save_plotly_graph_object` write the same attributes; tests read all of this back
through optuna_dashboard. They are not called here because importing it takes 2.7 s and brings pandas and scikit-learn
into the coordinator, and because `save_note` reads every note of the study twice: 125 ms at 1,000 trials against 3.

Invariants: what is stored already is not written again; a note that a person has edited is never touched.
"""

import hashlib
import json
import mimetypes
import os
import shutil
import uuid
from pathlib import Path
from typing import Any

from greenopt.search import Storage

PIECE = 30_000
"""Characters of an attribute. A text of one piece changes at once for whoever reads meanwhile, and takes one write; the
dashboard itself cuts at 2,045 and joins any. MySQL's columns end at 65,535 bytes; quotes take two."""

DIGEST_ATTRIBUTE = "greenopt:note_digest"
MAX_TRIAL_NOTES = 2000
"""For each trial it shows, the dashboard looks through all notes: 1 s a page at 1,000 trials, 7 s at 3,000."""


class DashboardStore:
    """One study's notes, figures and artifacts. Used by one thread."""

    def __init__(self, study: str, storage: Storage, artifacts: Path) -> None:
        """Read the attributes that exist.

        Args:
            study: its name.
            storage: holds the study.
            artifacts: folder of the artifacts' files; made when the first one is added.
        """
        self._storage = storage
        self._study_id = storage.get_study_id_from_name(study)
        self._artifacts = artifacts
        self._stored: dict[str, Any] = storage.get_study_system_attrs(self._study_id)
        self._trial_notes = sum(key.endswith(":note_ver") for key in self._stored.keys() - {"dashboard:note_ver"})

    def write_study_note(self, text: str) -> None:
        """Write the study's note, unless a person has edited the existing one."""
        self._stored = self._storage.get_study_system_attrs(self._study_id)
        present = self._joined("dashboard:note_str:")
        if present and _digest(present) != self._stored.get(DIGEST_ATTRIBUTE):
            return
        if present != text:
            self._set(DIGEST_ATTRIBUTE, _digest(text))
            self._set_pieces("dashboard:note_str:", text)
            self._set("dashboard:note_ver", int(self._stored.get("dashboard:note_ver", 0)) + 1)

    def has_trial_note(self, trial: int) -> bool:
        """Return whether a trial, given by its number, has a note by anyone."""
        return f"dashboard:{self._id(trial)}:note_ver" in self._stored

    def write_trial_note(self, trial: int, text: str) -> None:
        """Write a note on a trial that has none; do nothing once the study has `MAX_TRIAL_NOTES`."""
        if self.has_trial_note(trial) or self._trial_notes >= MAX_TRIAL_NOTES:
            return
        self._trial_notes += 1
        self._set_pieces(f"dashboard:{self._id(trial)}:note_str:", text)
        self._set(f"dashboard:{self._id(trial)}:note_ver", 1)

    def trial_note(self, trial: int) -> str:
        """Return a trial's note; empty where it has none."""
        return self._joined(f"dashboard:{self._id(trial)}:note_str:")

    def replace_trial_note(self, trial: int, text: str) -> None:
        """Write a note in place of the one that a trial has."""
        if text == self.trial_note(trial):
            return
        version = f"dashboard:{self._id(trial)}:note_ver"
        self._set_pieces(f"dashboard:{self._id(trial)}:note_str:", text)
        self._set(version, int(self._stored.get(version, 0)) + 1)

    def write_figure(self, name: str, figure: str) -> None:
        """Show a figure among the study's plots, replacing the one of this name.

        Args:
            name: an HTML id; the same one each time.
            figure: plotly's JSON.
        """
        self._set_pieces(f"dashboard:plot_data:{name}:", figure)

    def artifact_names(self, trial: int) -> set[str]:
        """Return the file names of the artifacts of a trial, given by its number."""
        late = f"dashboard:artifacts:{self._id(trial)}:"
        own = self._storage.get_trial_system_attrs(self._id(trial))
        kept = [value for key, value in own.items() if key.startswith("artifacts:")]
        kept += [value for key, value in self._stored.items() if key.startswith(late)]
        # A deleted artifact leaves a null.
        return {document["filename"] for document in map(json.loads, kept) if document is not None}

    def attach(self, trial: int, file: Path, *, ended: bool) -> None:
        """Add a file to a trial's artifacts; the file itself may be deleted afterwards.

        Args:
            trial: its number.
            file: what is added, under its own name.
            ended: whether the storage holds the trial for finished.
        """
        trial_id = self._id(trial)
        # The same id each time, so that an attempt that was cut off leaves no second copy.
        artifact = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{self._study_id}/{trial}/{file.name}"))
        mimetype = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        document = json.dumps({"artifact_id": artifact, "filename": file.name, "mimetype": mimetype, "encoding": None})
        self._artifacts.mkdir(parents=True, exist_ok=True)
        _copy(file, self._artifacts / artifact)
        if ended:
            # A finished trial's attributes are read-only; the dashboard also reads artifacts from this older place.
            self._set(f"dashboard:artifacts:{trial_id}:{artifact}", document)
        else:
            self._storage.set_trial_system_attr(trial_id, f"artifacts:{artifact}", document)

    def _id(self, trial: int) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._study_id, trial)

    def _joined(self, prefix: str) -> str:
        pieces: list[str] = []
        while (piece := self._stored.get(f"{prefix}{len(pieces)}")) is not None:
            pieces.append(piece)
        return "".join(pieces)

    def _set_pieces(self, prefix: str, text: str) -> None:
        """Store a text in pieces; pieces of a longer predecessor are emptied, as the dashboard does."""
        pieces = [text[start : start + PIECE] for start in range(0, len(text), PIECE)]
        while f"{prefix}{len(pieces)}" in self._stored:
            pieces.append("")
        for number, piece in enumerate(pieces):
            self._set(f"{prefix}{number}", piece)

    def _set(self, key: str, value: str | int) -> None:
        if self._stored.get(key) != value:
            self._storage.set_study_system_attr(self._study_id, key, value)
            self._stored[key] = value


def _copy(file: Path, target: Path) -> None:
    """Copy a file, as a hard link if the file system allows it."""
    target.unlink(missing_ok=True)
    try:
        os.link(file, target)
    except OSError:
        shutil.copyfile(file, target)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
