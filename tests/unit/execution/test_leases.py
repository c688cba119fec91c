"""Leases of GPUs between processes of one host."""

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from greenopt.errors import UsageError
from greenopt.execution import GpuLeases
from greenopt.execution.leases import shared_folder

NOBODY = 65534
NAME = "greenopt-lease.GPU-a.{uid}.0123456789abcdef"
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a process of another user")


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that all users share, as /run/lock is; pytest's own are closed to other users."""
    with tempfile.TemporaryDirectory(dir="/tmp") as parent:
        Path(parent).chmod(0o755)
        folder = Path(parent) / "shared"
        folder.mkdir()
        folder.chmod(0o1777)
        yield folder


def by_nobody(program: str) -> "subprocess.Popen[str]":
    """Start a program as another user; it must not need what root alone may read."""
    source = f"import sys; sys.path[:] = {[path for path in sys.path if path]!r}; import os\n"
    source += "from greenopt.execution.leases import GpuLeases\nfrom pathlib import Path\n"
    source += f"os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})\n{program}"
    return subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_two_studies_cannot_hold_one_gpu(tmp_path: Path) -> None:
    with GpuLeases(["GPU-a", "GPU-b"], tmp_path), pytest.raises(UsageError, match=r"GPU GPU-b is in use by .*pid \d+"):
        GpuLeases(["GPU-c", "GPU-b"], tmp_path).__enter__()


def test_a_refused_study_keeps_no_lease(tmp_path: Path) -> None:
    with GpuLeases(["GPU-b"], tmp_path):
        with pytest.raises(UsageError):
            GpuLeases(["GPU-c", "GPU-b"], tmp_path).__enter__()
        with GpuLeases(["GPU-c"], tmp_path):
            pass


def test_a_lease_ends_with_its_context(tmp_path: Path) -> None:
    with GpuLeases(["GPU-a"], tmp_path):
        pass
    with GpuLeases(["GPU-a"], tmp_path):
        pass


def test_a_killed_process_gives_its_lease_back(tmp_path: Path) -> None:
    program = f"""
import time
from pathlib import Path
from greenopt.execution import GpuLeases
with GpuLeases(["GPU-a"], Path({str(tmp_path)!r})):
    print("held", flush=True)
    time.sleep(60)
"""
    holder = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(UsageError, match=f"pid {holder.pid}"):
        GpuLeases(["GPU-a"], tmp_path).__enter__()
    holder.kill()
    holder.wait()
    with GpuLeases(["GPU-a"], tmp_path):
        pass


@as_root
def test_two_users_exclude_each_other(shared: Path) -> None:
    holds = f"""
os.umask(0o077)
with GpuLeases(["GPU-a"], Path({str(shared)!r})):
    print("held", flush=True)
    import time; time.sleep(60)
"""
    other = by_nobody(holds)
    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    with pytest.raises(UsageError, match=f"in use by another study .pid {other.pid} of user nobody"):
        GpuLeases(["GPU-a"], shared).__enter__()
    other.kill()
    other.wait()
    other.stdout.close()
    with GpuLeases(["GPU-a"], shared):
        refused = by_nobody(f"""
try:
    GpuLeases(["GPU-a"], Path({str(shared)!r})).__enter__()
except Exception as error:
    print(error)
""")
        told, trouble = refused.communicate(timeout=60)
        assert f"in use by another study (pid {os.getpid()} of user root)" in told, trouble


@as_root
def test_what_another_user_lays_there_is_neither_written_to_nor_trusted(shared: Path) -> None:
    """Under names of leases: links, pipes, folders, sockets, and a file that another owns and has locked."""
    mine = shared.parent / "mine"
    mine.write_text("precious")
    os.mkfifo(shared / NAME.format(uid=0))
    (shared / NAME.format(uid=1)).symlink_to(mine)
    (shared / NAME.format(uid=2)).mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        place = os.open(shared, os.O_RDONLY)
        listener.bind(f"/proc/self/fd/{place}/{NAME.format(uid=3)}")
        os.close(place)
    (shared / NAME.format(uid=4)).symlink_to("/dev/zero")
    attacker = by_nobody(f"""
import fcntl, time
file = open({str(shared / "greenopt-lease.GPU-a.0.aaaaaaaaaaaaaaaa")!r}, "wb")
file.write(os.urandom(1_000_000)); file.flush()
fcntl.flock(file, fcntl.LOCK_EX)
print("laid", flush=True); time.sleep(60)
""")
    assert attacker.stdout is not None
    assert attacker.stdout.readline() == "laid\n"
    laid = {path.name for path in shared.iterdir()}
    with GpuLeases(["GPU-a"], shared):
        pass
    attacker.kill()
    attacker.wait()
    attacker.stdout.close()
    assert {path.name for path in shared.iterdir()} == laid
    assert mine.read_text() == "precious"


@as_root
def test_a_holder_that_tells_nonsense_is_named_by_its_user(shared: Path) -> None:
    attacker = by_nobody(f"""
import fcntl, time
file = open({str(shared / NAME.format(uid=NOBODY))!r}, "wb")
file.write(b"\\x1b[2J\\x00\\xff" * 1_000_000); file.flush()
fcntl.flock(file, fcntl.LOCK_EX)
print("held", flush=True); time.sleep(60)
""")
    assert attacker.stdout is not None
    assert attacker.stdout.readline() == "held\n"
    with pytest.raises(UsageError) as refused:
        GpuLeases(["GPU-a"], shared).__enter__()
    assert "in use by another study (user nobody); choose others" in str(refused.value)
    attacker.kill()
    attacker.wait()
    attacker.stdout.close()


def test_a_lease_is_a_new_file_that_goes_with_it_and_leftovers_go_too(tmp_path: Path) -> None:
    left = tmp_path / NAME.format(uid=os.geteuid())
    left.write_text("1")
    with GpuLeases(["GPU-a"], tmp_path):
        (file,) = tmp_path.iterdir()
        assert file.name != left.name
        assert file.stat().st_mode & 0o777 == 0o644
    assert not list(tmp_path.iterdir())


def test_a_lease_that_is_taken_for_a_leftover_while_it_is_made_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the making of a file and its lock another study of the same user may remove it."""
    fchmod, made = os.fchmod, []

    def removes(descriptor: int, mode: int) -> None:
        fchmod(descriptor, mode)
        made.append(descriptor)
        if len(made) == 1:
            next(tmp_path.iterdir()).unlink()

    monkeypatch.setattr("os.fchmod", removes)
    with GpuLeases(["GPU-a"], tmp_path, sleep=lambda _: None):
        assert (len(made), len(list(tmp_path.iterdir()))) == (2, 1)


def test_a_folder_where_nothing_can_be_made_is_refused_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="file: no lease of GPU GPU-a can be made there: File exists"):
        GpuLeases(["GPU-a"], tmp_path / "file").__enter__()


def test_the_folder_is_one_in_which_nobody_can_remove_anothers_files(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    assert shared_folder() in (Path("/run/lock"), Path("/tmp"), Path("/dev/shm"))
    assert shared_folder([tmp_path / "none", tmp_path / "open"]).name == "leases"
