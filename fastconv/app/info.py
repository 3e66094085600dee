"""``fastconv info``: what runs here. What ``--check`` adds is in :mod:`fastconv.app.selfcheck`."""

import os
import platform

__all__ = ["describe", "line", "usable_cores", "versions"]

OPTIONAL = ("scikit-learn", "pillow", "tqdm", "safetensors", "matplotlib", "torch")


def versions() -> dict[str, str]:
    """Versions of Python, NumPy and fastconv."""
    import numpy

    import fastconv

    return {"python": platform.python_version(), "numpy": numpy.__version__, "fastconv": fastconv.__version__}


def usable_cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def line(name: str, text: str) -> str:
    """A line of what the command prints."""
    return f"{name + ':':<17}{text}"


def describe() -> str:
    """The versions, the machine, and what fastconv makes of it, a line each."""
    from importlib.metadata import PackageNotFoundError, version

    import fastconv
    from fastconv._native import runtime

    found = versions()
    lines = {
        "fastconv": f"{found['fastconv']} in {os.path.dirname(os.path.abspath(fastconv.__file__))}",
        "Python": f"{found['python']} ({platform.python_implementation()})",
        "NumPy": found["numpy"],
        "system": f"{platform.system()} {platform.release()} on {platform.machine()}",
        "CPU": f"{_cpu_name()}, {usable_cores()} of {os.cpu_count()} cores usable",
        "threads": str(fastconv.get_num_threads()) + ("" if runtime.has_openmp() else ", for this build has no OpenMP"),
        "instruction set": f"{runtime.get_isa()}, of {', '.join(runtime.available_isas())}",
        "built by": runtime.compiler(),
    }
    for name in OPTIONAL:
        try:
            lines[name] = version(name)
        except PackageNotFoundError:
            lines[name] = "not installed"
    return "\n".join(line(name, text) for name, text in lines.items())


def _cpu_name() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"
