"""What holds for any load, any fault and any layout of windows."""

import random
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from greenopt.energy.ledger import on_grid
from greenopt.energy.trace import OVERSHOOT
from tests.unit.energy.bench import Bench
from tests.unit.energy.fake_nvml import Board, Spans
from tests.unit.energy.waveforms import Steps

LIMIT_W = 700.0
GRID_WH = 2.0**-30

instants = st.floats(0.0, 40.0, allow_nan=False).map(lambda t_s: round(t_s, 4))


@st.composite
def spans(draw: st.DrawFn) -> Spans:
    return [(start_s, start_s + draw(st.floats(0.05, 12.0))) for start_s in draw(st.lists(instants, max_size=2))]


@st.composite
def boards(draw: st.DrawFn) -> Board:
    gaps_s = draw(st.lists(st.floats(0.02, 6.0), min_size=1, max_size=25))
    steps, now_s = [(0.0, draw(st.floats(0, LIMIT_W)))], 0.0
    for gap_s in gaps_s:
        now_s += gap_s
        steps.append((now_s, draw(st.floats(0, LIMIT_W))))
    return Board(
        waveform=Steps(steps),
        limit_w=LIMIT_W,
        tick_phase_s=draw(st.floats(0, 0.099)),
        tick_s=draw(st.sampled_from([0.02, 0.1, 0.3])),
        counter_cost_s=draw(st.sampled_from([0.0, 0.004])),
        has_counter=draw(st.booleans()),
        has_instant=draw(st.booleans()),
        has_usage=draw(st.booleans()),
        counter_lost=draw(spans()),
        power_lost=draw(spans()),
        resets_s=draw(st.lists(instants, max_size=2)),
        stuck=draw(spans()),
        catches_up=draw(st.booleans()),
        power_factor=draw(st.sampled_from([0.0, 0.9, 1.0, 1.1, 5.0])),
    )


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(boards(), spans(), st.lists(instants, min_size=2, max_size=12), st.sampled_from([1.0, 10.0, 50.0]))
def test_energy_is_never_negative_never_beyond_the_limit_and_always_adds_up(
    board: Board, sampler_off: Spans, layout_s: list[float], sample_hz: float
) -> None:
    bench = Bench(board, sampler_off=sampler_off, sample_hz=sample_hz)
    marks = bench.marks(sorted(layout_s))
    for outer in range(len(marks)):
        for inner in range(outer + 1, len(marks)):
            start, end = marks[outer], marks[inner]
            reading = bench.meter.between(start, end)
            assert reading.energy_wh is None or reading.energy_wh > 0
            assert (reading.energy_wh is None) == (reading.reason is not None)
            most_wh = OVERSHOOT * LIMIT_W * (end.t_s - start.t_s) / 3600
            for figure_wh in (reading.energy_wh, reading.integral_wh, reading.counter_wh):
                if figure_wh is not None and figure_wh is not reading.counter_wh:
                    assert 0 <= figure_wh <= most_wh + GRID_WH
            steps_wh = [after.energy_wh - before.energy_wh for before, after in pairwise(marks[outer : inner + 1])]
            assert sum(steps_wh) == end.energy_wh - start.energy_wh
            if reading.energy_wh is not None:
                assert sum(steps_wh) == reading.energy_wh


@given(st.lists(st.floats(0, 1e9), min_size=2, max_size=50))
def test_what_lies_on_the_grid_adds_up_exactly_and_stays_close(energies_j: list[float]) -> None:
    curve_wh = [on_grid(energy_j) for energy_j in sorted(energies_j)]
    assert sum(after - before for before, after in pairwise(curve_wh)) == curve_wh[-1] - curve_wh[0]
    assert on_grid(energies_j[0]) * 3600 == pytest.approx(energies_j[0], abs=2e-6)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.tuples(st.floats(1.0, 6.0), st.floats(50, LIMIT_W)), min_size=3, max_size=12),
    st.floats(0, 0.099),
    st.floats(0.3, 25.0),
)
def test_with_a_sound_counter_energy_is_within_a_tick_at_each_edge(
    plan: list[tuple[float, float]], phase_s: float, seconds: float
) -> None:
    steps, now_s = [], 0.0
    for gap_s, power_w in plan:
        steps.append((now_s, power_w))
        now_s += gap_s
    bench = Bench(Board(waveform=Steps(steps), tick_phase_s=phase_s))
    start, end = bench.mark(3.3), bench.mark(3.3 + seconds)
    reading = bench.meter.between(start, end)
    assert reading.energy_wh is not None
    assert abs(reading.energy_wh - bench.true_wh(start, end)) * 3600 <= 2 * LIMIT_W * 0.1


@pytest.mark.parametrize("has_counter", [True, False])
@pytest.mark.parametrize("seconds", [0.02, 0.2, 1.0, 10.0, 60.0])
def test_the_uncertainty_holds_the_truth_for_nearly_all_random_loads(seconds: float, has_counter: bool) -> None:
    chance, held = random.Random(17), 0
    for _ in range(40):
        steps, now_s = [(0.0, 100.0)], 0.0
        while now_s < 20 + seconds:
            now_s += 2 * chance.random() * chance.choice([0.05, 0.3, 1.0, 3.0])
            steps.append((now_s, chance.choice([80.0, 300.0, 500.0, 690.0])))
        bench = Bench(
            Board(
                waveform=Steps(steps),
                has_counter=has_counter,
                tick_phase_s=0.1 * chance.random(),
                counter_cost_s=0.004,
                power_factor=chance.choice([0.99, 1.0, 1.01]),
            )
        )
        start_s = 20 * chance.random()
        start, end = bench.mark(start_s), bench.mark(start_s + seconds)
        reading = bench.meter.between(start, end)
        assert reading.energy_wh is not None
        assert reading.uncertainty_wh is not None
        held += abs(reading.energy_wh - bench.true_wh(start, end)) <= reading.uncertainty_wh
    assert held >= 38
