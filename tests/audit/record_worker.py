"""A process under load that is killed: it notes beside the record what it hands over and does.

Usage: record_worker.py DIRECTORY NOTES DURABILITY WINDOW
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

from guardrails.audit.keys import RecordKey
from guardrails.audit.segments import SegmentRecord
from guardrails.model.call import Event


def main(directory: str, notes: str, durability: str, window: str) -> None:
    """Work until somebody kills this process."""
    key = RecordKey.load_or_make(Path(directory + ".key"))
    record = SegmentRecord(
        directory, key=key, durability=durability, window=float(window), segment_size=200_000
    )
    fd = os.open(notes, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def work(number: int) -> None:
        step = 0
        while True:
            step += 1
            name = f"{os.getpid()}-{number}-{step}"
            event = Event("call.started", time.time_ns(), decision_id=name, input={"step": step})
            if durability == "write_ahead":
                written = record.write_ahead(event)
                if written is not None:
                    written.result(60)
                os.write(fd, f"{name} 0\n".encode())  # the side effect
            else:
                record.write(event)
                os.write(fd, f"{name} {time.monotonic_ns()}\n".encode())
                if step % 20 == 0:
                    time.sleep(0.001)

    for number in range(3):
        threading.Thread(target=work, args=(number,), daemon=True).start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    time.sleep(600)


if __name__ == "__main__":
    main(*sys.argv[1:])
