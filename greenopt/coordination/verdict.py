"""Derives from a trial's summary what the storage is told: verdict, objective values, flat metrics."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from greenopt.events import FailReason, Outcome, StopReason
from greenopt.execution import ProcessEnded
from greenopt.reading import EnergyReading, EnergySource
from greenopt.runs.trial_ending import TrialEnding
from greenopt.spec import OF_A_MODEL, Metric, StudySpec, TrialSpec
from greenopt.stopping import Refusal, Stop
from greenopt.summary import TrialSummary, summarise

DIGITS = 9
"""Significant digits of a recorded figure: more than any meter has, and few enough to be read in a table."""

_CRASH_SIGNALS = ("SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL")


@dataclass(frozen=True)
class Verdict:
    """The coordinator's verdict on how a trial ended.

    Attributes:
        reason: a `FailReason`, or the word for an early stop; None for a completed trial.
        message: one line for the user.
        ran: False where the trial was never started.
        decision: what the stopping rule decided about it, whether or not that was carried out.
    """

    outcome: Outcome
    reason: FailReason | str | None = None
    message: str = ""
    ran: bool = True
    decision: Stop | Refusal | None = None


def refused(refusal: Refusal) -> Verdict:
    """Return the verdict on a trial that was not worth its start."""
    return Verdict(Outcome.STOPPED, StopReason.NOT_STARTED, refusal.message, ran=False, decision=refusal)


def judge(
    summary: TrialSummary,
    study: StudySpec,
    cause: FailReason | Stop | None,
    process: ProcessEnded | None,
    metered_by: EnergySource | None = None,
) -> Verdict:
    """Decide how a trial ended.

    Args:
        summary: what its events say.
        study: its objectives must all have been measured.
        cause: why the coordinator ended it, if it did; a decision to stop it that came too late changes nothing.
        process: how its process ended; None where that is not known.
        metered_by: source of the energies of a study on the CPU; None where any will do. An estimate does not stand
            among measured energies.
    """
    ended = summary.ended
    gpu_failed = cause is FailReason.GPU_FAILED
    missing = [metric for metric in study.objectives if _value(summary, metric) is None]
    if ended is not None and ended.outcome is Outcome.COMPLETED and not (gpu_failed and missing):
        if metered_by is not None and metered_by.is_measured and summary.energy.source is EnergySource.ESTIMATE:
            message = f"its energy is an estimate, and the study's are measured by {metered_by}: was the meter lost?"
            return Verdict(Outcome.FAILED, FailReason.NOT_MEASURED, message)
        if not missing:
            return Verdict(Outcome.COMPLETED, message=ended.message)
        why = _why_missing(summary, missing)
        return Verdict(Outcome.FAILED, FailReason.NOT_MEASURED, f"{', '.join(missing)} not measured: {why}")
    if ended is not None and ended.outcome is Outcome.DIVERGED and not gpu_failed:
        return Verdict(Outcome.DIVERGED, ended.reason or "diverged", ended.message)
    if isinstance(cause, Stop):
        return Verdict(Outcome.STOPPED, cause.reason, cause.message, decision=cause)
    if cause is not None:
        return Verdict(Outcome.FAILED, cause, _CAUSES[cause])
    if process is not None and process.exceeded_bytes is not None:
        return _over_memory_limit(process.exceeded_bytes, study)
    if ended is not None:
        return Verdict(Outcome.FAILED, FailReason(ended.reason or FailReason.CRASH), ended.message)
    return _judge_process(process)


_CAUSES = {
    FailReason.INTERRUPTED: "the study was stopped while this trial ran",
    FailReason.GPU_FAILED: "its GPU failed; the study's log says how",
    FailReason.TIMEOUT: "it ran longer than training.time_limit_s",
    FailReason.NOT_RECORDED: "its folder was deleted while it ran",
}


def _why_missing(summary: TrialSummary, missing: list[str]) -> str:
    said = summary.ended.missing if summary.ended is not None else {}
    own = [said[name] for name in missing if name in said]
    return own[0] if own else summary.energy.reason or summary.total.reason or "no reading"


def _over_memory_limit(held_bytes: int, study: StudySpec) -> Verdict:
    limit_bytes = study.training.memory_limit
    limit = f" ({limit_bytes / 1e9:.3g} GB)" if limit_bytes is not None else ""
    message = f"it held {held_bytes / 1e9:.3g} GB of memory, more than training.memory_limit{limit}"
    return Verdict(Outcome.FAILED, FailReason.OUT_OF_MEMORY, message)


def _judge_process(process: ProcessEnded | None) -> Verdict:
    if process is None:
        return Verdict(Outcome.FAILED, FailReason.INTERRUPTED, _CAUSES[FailReason.INTERRUPTED])
    if process.lost is not None:
        return Verdict(Outcome.FAILED, FailReason.NODE_LOST, process.lost)
    last = _last_line(process.log_tail)
    if process.signal is None:
        return Verdict(Outcome.FAILED, FailReason.CRASH, f"its process exited with {process.exit_code}: {last}")
    if process.signal in _CRASH_SIGNALS:
        return Verdict(Outcome.FAILED, FailReason.CRASH, f"{process.signal}: {last}")
    hint = " (the kernel does so when memory runs out)" if process.signal == "SIGKILL" else ""
    return Verdict(Outcome.FAILED, FailReason.KILLED, f"its process was killed by {process.signal}{hint}")


def objective_values(summary: TrialSummary, study: StudySpec) -> list[float]:
    """Return the objectives' values of a completed trial, in the order of the study file."""
    values = [_value(summary, metric) for metric in study.objectives]
    return [_shortened(value) for value in values if value is not None]


def build_ending(summary: TrialSummary, verdict: Verdict, objectives: Collection[str] = ()) -> TrialEnding:
    """Build what the study log keeps and the progress tells about how a trial ended."""
    energy, total = summary.energy, summary.total
    return TrialEnding(
        outcome=verdict.outcome,
        reason=verdict.reason,
        message=verdict.message,
        ran=verdict.ran,
        accuracy=summary.accuracy,
        test_accuracy=summary.ended.test_accuracy if summary.ended else None,
        energy_wh=energy.energy_wh,
        energy_source=energy.source,
        seconds=energy.seconds,
        flags=energy.flags,
        figures={name: _shortened(value) for name, value in summary.figures.items() if name in objectives},
        total_wh=total.energy_wh,
        total_source=total.source,
    )


def trial_metrics(summary: TrialSummary, verdict: Verdict, spec: TrialSpec | None) -> dict[str, Any]:
    """Return the flat metrics of a trial for the storage; None where one is missing. The page `numbers` gives units."""
    started, prepared = summary.started, summary.prepared
    metrics: dict[str, Any] = {
        **_energies(summary),
        **dict.fromkeys(OF_A_MODEL),
        **summary.figures,
        **_inference(summary),
        "accuracy": summary.accuracy,
        "test_accuracy": summary.ended.test_accuracy if summary.ended else None,
        "unquantized_accuracy": summary.ended.unquantized_accuracy if summary.ended else None,
        "train_accuracy": summary.epochs[-1].accuracy if summary.epochs else None,
        "efficiency": summary.efficiency,
        "epochs_done": len(summary.epochs) if verdict.ran else None,
        "flags": " ".join(summary.flags) or None,
        "gpu_uuid": started.gpu_uuid if started else None,
        "gpu_name": started.gpu_name if started else None,
        "gpu_driver": started.driver if started else None,
        "host": started.host if started else None,
        "inert": " ".join(prepared.inert) or None if prepared else None,
        "training_seed": spec.training_seed if spec else None,
        "replicate_of": spec.replicate_of if spec else None,
        "stop_reason": str(verdict.reason) if verdict.outcome in (Outcome.DIVERGED, Outcome.STOPPED) else None,
        "fail_reason": str(verdict.reason) if verdict.outcome is Outcome.FAILED else None,
        "message": verdict.message or None,
        **_decision(verdict),
    }
    return {str(name): _shortened(value) if isinstance(value, float) else value for name, value in metrics.items()}


def _inference(summary: TrialSummary) -> dict[str, Any]:
    ended = summary.ended
    source = ended.inference_source if ended is not None else None
    missing = ended.missing if ended is not None else {}
    text = "; ".join(f"{name}: {why}" for name, why in missing.items())
    return {"inference_source": str(source) if source else None, "figures_missing": text or None}


def _decision(verdict: Verdict) -> dict[str, Any]:
    decision = verdict.decision
    audited = isinstance(decision, Stop) and decision.is_audited
    return {
        "forecast_wh": decision.forecast_wh if decision is not None else None,
        "forecast_accuracy": decision.forecast_accuracy if isinstance(decision, Stop) else None,
        "dominated_by": decision.dominated_by if decision is not None else None,
        "audited": decision.message if isinstance(decision, Stop) and audited else None,
    }


def _shortened(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def metric_names() -> tuple[str, ...]:
    """Return the names of all metrics in `trial_metrics`."""
    return tuple(trial_metrics(summarise(()), Verdict(Outcome.FAILED), None))


def _energies(summary: TrialSummary) -> dict[str, Any]:
    energy = summary.energy
    return {
        "energy_wh": energy.energy_wh,
        "energy_source": str(energy.source) if energy.source else None,
        "uncertainty_wh": energy.uncertainty_wh,
        "coverage": energy.coverage,
        "counter_wh": energy.counter_wh,
        "integral_wh": energy.integral_wh,
        "net_energy_wh": energy.net_wh,
        "idle_w": summary.meter.idle_w if summary.meter else None,
        "cpu_wh": summary.cpu.energy_wh if summary.cpu else None,
        "dram_wh": summary.dram.energy_wh if summary.dram else None,
        "energy_missing": energy.reason,
        "wh_per_epoch": summary.wh_per_epoch,
        "avg_power_w": energy.average_power_w,
        "seconds": _seconds(energy),
        "setup_wh": summary.setup.energy_wh,
        "setup_s": _seconds(summary.setup),
        "compile_wh": summary.compile.energy_wh,
        "compile_s": _seconds(summary.compile),
        "total_wh": summary.total.energy_wh,
        "total_source": str(summary.total.source) if summary.total.source else None,
        "total_s": _seconds(summary.total),
    }


def _seconds(reading: EnergyReading) -> float | None:
    return reading.seconds if reading.seconds > 0 else None


def _value(summary: TrialSummary, metric: str) -> float | None:
    """Return an objective's value; an accuracy of a trial that ended by itself alone."""
    if metric == Metric.ACCURACY:
        return summary.ended.accuracy if summary.ended else None
    if metric in summary.figures:
        return summary.figures[metric]
    found: float | None = _measured(summary).get(metric)
    return found


def _measured(summary: TrialSummary) -> dict[str, Any]:
    """Return the figures that greenopt measures itself and that may be objectives."""
    return {
        **_energies(summary),
        "efficiency": summary.efficiency,
        "train_accuracy": summary.epochs[-1].accuracy if summary.epochs else None,
    }


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it printed nothing"
