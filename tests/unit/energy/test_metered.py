"""Each call of a metered function has its energy, whatever becomes of the call."""

import time
from collections.abc import Iterator

import pytest

from greenopt.energy import metered
from greenopt.reading import EnergySource


def test_each_call_is_metered_and_said() -> None:
    said: list[str] = []

    @metered(gpu="none", report=said.append)
    def work(seconds: float, *, result: str) -> str:
        """Wait."""
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s:
            pass
        return result

    assert [work(0.05, result="a"), work(0.1, result="b")] == ["a", "b"]
    first, second = work.readings
    assert 0.05 <= first.seconds < second.seconds
    assert first.energy_wh is not None
    assert first.source in (EnergySource.ESTIMATE, EnergySource.RAPL)
    assert [line.partition(": ")[0] for line in said] == ["work", "work"]
    assert all(" Wh" in line and " W on " in line for line in said)
    assert work.__doc__ == "Wait."


def test_a_call_that_raises_is_metered_too() -> None:
    @metered(gpu="none", report=None)
    def fail() -> None:
        raise RuntimeError("as it is")

    with pytest.raises(RuntimeError, match="as it is"):
        fail()
    assert "partial" in fail.readings[0].flags


def test_a_method_is_bound(capsys: pytest.CaptureFixture[str]) -> None:
    class Model:
        size = 3

        @metered(gpu="none")
        def fit(self, factor: int) -> int:
            return self.size * factor

    assert Model().fit(2) == 6
    assert capsys.readouterr().out.startswith("fit: ")


def test_what_returns_before_its_work_is_done_is_refused() -> None:
    def generate() -> Iterator[int]:
        yield 1

    async def wait() -> None: ...

    for function in (generate, wait):
        with pytest.raises(TypeError, match="meter a block instead"):
            metered(function)
    with pytest.raises(TypeError, match="5 is no function"):
        metered(5)  # type: ignore[call-overload]
