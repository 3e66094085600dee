"""``python tests/programs/record.py``: run the programs under torch, and write what they print to expected.json."""

import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent

if __name__ == "__main__":
    expected = {}
    for program in sorted(HERE.glob("*.py")):
        if program.name != Path(__file__).name:
            done = subprocess.run(
                [sys.executable, program], check=True, text=True, stdout=subprocess.PIPE, env=os.environ
            )
            expected[program.stem] = done.stdout.splitlines()
    (HERE / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
