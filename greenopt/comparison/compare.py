"""Compares studies: best trials, fronts and hypervolumes at one reference, equal settings, cautions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from greenopt.analysis.describe import build_points, ranked_row
from greenopt.analysis.results import Ranked
from greenopt.comparison.cautions import find_cautions
from greenopt.comparison.equal_settings import Difference, compare_equal_settings
from greenopt.comparison.read import ComparedStudy
from greenopt.front import plane_of
from greenopt.pareto import REFERENCE_FACTOR, ParetoFront, Point
from greenopt.spec import Direction

ENERGIES = ("energy_wh", "total_wh", "wh_per_epoch")
"""What studies may be compared by: the first that every study with completed trials has."""


@dataclass(frozen=True, eq=False)
class Side:
    """One study's part of a comparison.

    Attributes:
        best: `accuracy`, `energy`, `efficiency` and each other objective of the study -> its best trial by that;
            missing where no trial has the figure.
        front: its Pareto front of accuracy against the compared energy, least energy first.
        points: its completed trials with both, which the front is drawn among.
        hypervolume: mean accuracy 0..1 that its front has for budgets between the common ends; None without a point.
    """

    study: ComparedStudy
    best: Mapping[str, Ranked]
    front: tuple[Ranked, ...]
    points: tuple[Point, ...]
    hypervolume: float | None


@dataclass(frozen=True, eq=False)
class Comparison:
    """Several studies side by side.

    Attributes:
        energy: the column by which energies are compared; None where the studies have none in common.
        least_energy_wh: lower end of the hypervolumes' budgets, the least energy of any completed trial of any study;
            None without an energy.
        reference_energy_wh: their upper end, 1.1 x the most energy of any; None without an energy.
        differences: of each further study against the first, over equal settings.
        cautions: what makes figures of these studies incomparable, as sentences, the gravest first.
    """

    sides: tuple[Side, ...]
    energy: str | None
    least_energy_wh: float | None
    reference_energy_wh: float | None
    differences: tuple[Difference, ...]
    cautions: tuple[str, ...]


def compare_studies(studies: Sequence[ComparedStudy]) -> Comparison:
    """Compare studies; the first one is what the others' equal settings are compared with."""
    energy = _common_energy(studies)
    points = {study.name: tuple(build_points(study.trials, energy)) if energy else () for study in studies}
    energies_wh = [point.energy_wh for each in points.values() for point in each if point.energy_wh > 0]
    ends = (min(energies_wh), REFERENCE_FACTOR * max(energies_wh)) if energies_wh else None
    first, *others = studies
    return Comparison(
        sides=tuple(_side(study, energy, points[study.name], ends) for study in studies),
        energy=energy,
        least_energy_wh=ends[0] if ends else None,
        reference_energy_wh=ends[1] if ends else None,
        differences=tuple(compare_equal_settings(first, other, energy) for other in others),
        cautions=(*find_cautions(studies, energy), *_of_other_objectives(studies)),
    )


def _of_other_objectives(studies: Sequence[ComparedStudy]) -> list[str]:
    """Return a sentence where a study's own front is another one than that which is compared."""
    planes = {study.name: plane_of(study.spec) for study in studies}
    unlike = [f"{name} optimises {plane.title}" for name, plane in planes.items() if not plane.is_accuracy_for_energy]
    if not unlike:
        return []
    return [f"Fronts and hypervolumes here are of accuracy against energy; {'; '.join(unlike)}: `greenopt analyze`."]


def _common_energy(studies: Sequence[ComparedStudy]) -> str | None:
    having = [study for study in studies if len(study.complete)]
    return next((name for name in ENERGIES if having and all(one.complete[name].notna().any() for one in having)), None)


def _side(
    study: ComparedStudy, energy: str | None, points: tuple[Point, ...], ends: tuple[float, float] | None
) -> Side:
    front = ParetoFront(points)
    rows = study.trials.set_index("trial", drop=False)
    column = energy or ENERGIES[0]
    return Side(
        study=study,
        best=_best(study, energy),
        front=tuple(ranked_row(rows.loc[point.trial].to_dict(), study.spec, column) for point in front.points),
        points=points,
        hypervolume=front.area().hypervolume(*ends) if points and ends else None,
    )


def _best(study: ComparedStudy, energy: str | None) -> dict[str, Ranked]:
    by = {"accuracy": ("accuracy", False), "energy": (energy, True), "efficiency": ("efficiency", False)}
    others = plane_of(study.spec).others
    by |= {name: (name, study.spec.objectives[name] is Direction.MINIMIZE) for name in others}
    found = {}
    for name, (column, ascending) in by.items():
        having = study.complete.dropna(subset=[column]) if column else study.complete[:0]
        if column and len(having):
            best = having.sort_values([column, "trial"], ascending=[ascending, True], kind="stable").iloc[0]
            found[name] = ranked_row(best.to_dict(), study.spec, column)
    return found
