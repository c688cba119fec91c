"""Stands in for a trial's process: tells the events of a file, an epoch each now and then, and keeps a file.

The study's second half waits after its first epochs for a file `go` beside the script.
"""

import argparse
import json
import os
import time
from pathlib import Path

EPOCH_S = 0.15
WAITS_FROM = 20

parser = argparse.ArgumentParser()
parser.add_argument("script")
parser.add_argument("spec")
parser.add_argument("--events-fd", type=int)
arguments = parser.parse_args()
spec = json.loads(Path(arguments.spec).read_text())
go = Path(arguments.script).with_name("go")
images = Path(spec["data"]["path"])
print(f"trial {spec['trial']} on {os.environ['CUDA_VISIBLE_DEVICES']}: {images.read_text()}", flush=True)
for line in Path(arguments.script).read_text().splitlines():
    event = json.loads(line)
    if event["kind"] == "trial_started":
        event |= {"trial": spec["trial"], "pid": os.getpid(), "gpu_uuid": os.environ["CUDA_VISIBLE_DEVICES"]}
    if event["kind"] == "epoch_ended":
        time.sleep(EPOCH_S)
        while spec["trial"] >= WAITS_FROM and event["epoch"] == 2 and not go.exists():
            time.sleep(0.05)
    if event["kind"] == "trial_ended":
        # Larger than one piece, now and then.
        kept = Path(spec["model_folder"], "model.keras")
        kept.write_bytes(bytes([spec["trial"]]) * (9_000_000 if spec["trial"] % 20 == 0 else 1000))
    os.write(arguments.events_fd, json.dumps(event).encode() + b"\n")
