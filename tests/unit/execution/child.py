"""Stands in for a trial's process: obeys words in the study's name instead of training."""

import argparse
import json
import os
import signal
import time
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("spec")
parser.add_argument("--events-fd", type=int)
arguments = parser.parse_args()
spec = json.loads(Path(arguments.spec).read_text())
behaviour = spec["study"]


def emit(text: str) -> None:
    os.write(arguments.events_fd, text.encode())


started = {"kind": "trial_started", "t_s": 0.0, "utc": "now", "trial": spec["trial"], "pid": os.getpid(), "host": "h"}
started["gpu_uuid"] = os.environ["CUDA_VISIBLE_DEVICES"]
line = json.dumps(started) + "\n"
print(f"trial {spec['trial']} says {behaviour}", flush=True)
if behaviour == "halves":
    emit(line[:20])
    time.sleep(0.2)
    emit(line[20:])
elif behaviour == "babbles":
    emit("not an event\n" + line)
else:
    emit(line)
if behaviour == "segfaults":
    print("about to fault", flush=True)
    os.kill(os.getpid(), signal.SIGSEGV)
if behaviour == "floods":
    for number in range(0, 1_200_000, 1000):
        os.write(1, "".join(f"line {line}\n" for line in range(number, number + 1000)).encode())
if behaviour == "grows":
    # Half of it in a child: the limit is the tree's.
    if os.fork() == 0:
        held = b"x" * 200_000_000
        time.sleep(60)
    held = b"x" * 200_000_000
    time.sleep(60)
if behaviour == "raises":
    raise KeyError("missing piece")
if behaviour in ("hangs", "stubborn"):
    if behaviour == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    emit(line)
    time.sleep(60)
if behaviour == "lingers":
    os.close(arguments.events_fd)
    time.sleep(0.5)
