"""How the extensions are compiled; everything else is in pyproject.toml."""

import os
import platform
import sys

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup

HEADERS = ["src_c/fastconv.h", "src_c/isa.h", "src_c/real.h", "src_c/winograd.h", "src_c/depthwise.h"]
# Contraction to FMA is the one liberty taken with arithmetic; -ffast-math would change the whole process's mode.
OPTIMISE = ["-O3", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math"]
# Python's own flags ask for debug information, three quarters of the wheel; CFLAGS=-g brings it back.
DEBUG = [] if "-g" in os.environ.get("CFLAGS", "") else ["-g0"]
WARN = ["-Wall", "-Wextra", "-Wno-psabi"]

# Each instruction set is one file compiled with its own flags; which of them runs is decided at import.
ISAS = {"baseline": []}
machine = platform.machine().lower()
if machine in ("x86_64", "amd64"):
    ISAS["avx2"] = ["-mavx2", "-mfma"]
    ISAS["avx512"] = [*ISAS["avx2"], "-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mprefer-vector-width=512"]
elif machine in ("aarch64", "arm64"):
    ISAS["neon"] = []


def library(name, source, flags=()):
    return name, {"sources": [source], "obj_deps": {"": HEADERS}, "cflags": [*OPTIMISE, *DEBUG, *WARN, *flags]}


MODULES = [
    "memory",
    "runtime",
    "conv",
    "winograd",
    "windows",
    "lanes",
    "depthwise",
    "pool",
    "passes",
    "quick",
    "tape",
    "layers",
]

libraries = [library(f"fc_{isa}", f"src_c/isa_{isa}.c", flags) for isa, flags in ISAS.items()]
# The CPU test refers to the tables, so it is linked before them.
libraries = [library("fc_mode", "src_c/mode.c"), library("fc_cpu", "src_c/cpu.c"), *libraries]

openmp = [] if os.environ.get("FASTCONV_NO_OPENMP") or sys.platform == "darwin" else ["-fopenmp"]


def extension(name):
    return Extension(
        f"fastconv._native.{name}",
        [f"fastconv/_native/{name}.pyx"],
        include_dirs=["src_c", numpy.get_include()],
        depends=HEADERS,
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION")],
        extra_compile_args=["-O2", *DEBUG, *openmp],
        extra_link_args=openmp,
    )


setup(
    libraries=libraries,
    ext_modules=cythonize(
        [extension(name) for name in MODULES],
        compiler_directives={
            "language_level": 3,
            "boundscheck": False,
            "wraparound": False,
            "cdivision": True,
            "annotation_typing": False,
        },
    ),
)
