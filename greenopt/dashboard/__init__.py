"""What optuna-dashboard shows of a study: notes, figures and artifacts, and the server that shows them.

Sole owner of optuna_dashboard and plotly. While a study runs, its coordinator's process writes them
(`DashboardPublisher`); for one that does not, `greenopt dashboard` adds what is missing (`catch_up`). Nothing here
can hurt a study.
"""

from greenopt.dashboard.exclusions import publish_exclusions
from greenopt.dashboard.publisher import DashboardPublisher, catch_up

__all__ = ["DashboardPublisher", "catch_up", "publish_exclusions"]
