"""What a run keeps of its course: its log, as JSON lines and as a table, and the lock of its folder."""

import contextlib
import csv
import io
import json
import os
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from fastconv.files import replacing

__all__ = ["LOG", "TABLE", "Lock", "Log", "attempt", "tell", "words_of", "write_table"]

LOG = "log.jsonl"
TABLE = "log.csv"


class Lock:
    """While entered, no other process can train into the folder; a killed process leaves nothing behind."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.descriptor: int | None = None

    def __enter__(self) -> None:
        try:
            import fcntl
        except ImportError:  # not on Windows
            return
        self.descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self.descriptor)
            raise RuntimeError(f"{self.folder}: another process is training into this folder") from None
        except OSError as error:  # some network file systems have no locks
            warnings.warn(f"{self.folder}: cannot be locked ({error.strerror}): see that no other run trains into it")

    def __exit__(self, *exception) -> None:
        if self.descriptor is not None:
            os.close(self.descriptor)


class Log:
    """A run's ``log.jsonl``: one JSON object a line, on the disk as soon as it is added."""

    def __init__(self, path: str) -> None:
        self.path = path

    def clear(self) -> None:
        """Forget a run that left nothing else."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)

    def add(self, event: str, **facts: Any) -> None:
        record = {"event": event, "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"), **facts}
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def forget_after(self, epochs: int) -> None:
        """Drop what the checkpoint does not have: epochs after the first `epochs`, and a line cut short by a kill."""
        kept = []
        if os.path.exists(self.path):
            with open(self.path, encoding="utf-8", errors="replace") as file:
                for line in file:
                    try:
                        record = json.loads(line)
                        if record.get("event") != "end" and record.get("epoch", 0) <= epochs:
                            kept.append(json.dumps(record) + "\n")
                    except (ValueError, AttributeError, TypeError, RecursionError):  # not a line that add() wrote
                        continue
        with replacing(self.path) as file:
            file.write("".join(kept).encode())

    def notes(self) -> list[str]:
        """What was told at the run's start, of which a later part of it knows nothing."""
        with open(self.path, encoding="utf-8") as file:
            record = json.loads(file.readline() or "{}")
        found = record.get("notes", []) if record.get("event") == "start" else []
        return [str(note) for note in found] if isinstance(found, list) else []


def write_table(path: str, history: Sequence[dict[str, Any]]) -> None:
    """The records of the epochs as a CSV file."""
    names = list(dict.fromkeys(name for record in history for name in record))
    text = io.StringIO()
    table = csv.DictWriter(text, names, lineterminator="\n")
    table.writeheader()
    table.writerows(history)
    with replacing(path) as file:
        file.write(text.getvalue().encode())


def attempt(action: Callable[[], object]) -> None:
    """Do what a run can do without: where it fails, that is told and no more."""
    try:
        action()
    except Exception as error:
        tell(f"{words_of(error)}: the training is unharmed and goes on")


def words_of(error: BaseException) -> str:
    """An error's words, without its number."""
    if isinstance(error, OSError) and error.strerror:
        return f"{'' if error.filename is None else f'{error.filename}: '}{error.strerror}"
    return str(error) or type(error).__name__


def tell(text: str) -> None:
    """Tell whoever watches what went wrong without ending the run, in whatever state standard error is."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        print(f"fastconv: {text}", file=sys.stderr, flush=True)
