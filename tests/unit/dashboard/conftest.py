"""A study in its storage, and optuna_dashboard's own view of it."""

import io
import json
import sys
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults

import optuna
import pytest
from optuna_dashboard import wsgi

from greenopt.dashboard.store import DashboardStore
from greenopt.runs.folder import RunFolder
from greenopt.search import Search, artifact_store, open_storage
from greenopt.spec import StudySpec
from tests.builders import study


class Page:
    """A study, a board on it, and what optuna_dashboard answers about it."""

    def __init__(self, path: Path, spec: StudySpec) -> None:
        self.spec = spec
        self.folder = RunFolder(path / spec.name)
        self.folder.path.mkdir()
        self.storage = open_storage(self.folder.default_storage)
        self.search = Search(spec, self.storage)
        self.search.lease.release()

    def store(self) -> DashboardStore:
        return DashboardStore(self.spec.name, self.storage, self.folder.artifacts)

    @property
    def study(self) -> optuna.Study:
        return optuna.load_study(study_name=self.spec.name, storage=self.storage)

    def get(self, path: str) -> bytes:
        """The body that optuna_dashboard answers with."""
        environment: dict[str, Any] = {"PATH_INFO": path, "wsgi.input": io.BytesIO(), "wsgi.errors": sys.stderr}
        setup_testing_defaults(environment)
        statuses: list[str] = []
        application = wsgi(self.storage, artifact_store(self.folder.artifacts))
        body = b"".join(application(environment, lambda status, *_: statuses.append(status)))
        assert statuses[0].startswith("200"), (statuses, body)
        return body

    @property
    def detail(self) -> dict[str, Any]:
        """What the page of the study is made from."""
        return dict(json.loads(self.get("/api/studies/1")))


@pytest.fixture
def page(tmp_path: Path) -> Page:
    return Page(tmp_path, study())
