"""How the compiled half is built; everything else is in pyproject.toml."""

import gzip
import os
import platform
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from concurrent.futures import ThreadPoolExecutor
from glob import glob
from pathlib import Path

if sys.version_info < (3, 11):  # noqa: UP036  (who runs this file without pip)
    sys.exit("fastconv needs Python 3.11 or later; this is Python " + sys.version.split()[0])

try:
    import numpy
    from Cython.Build import cythonize
    from setuptools import Extension, setup
    from setuptools.command.build_ext import build_ext
    from setuptools.command.sdist import sdist
    from setuptools.modified import newer_group
except ImportError as error:
    sys.exit(
        f'{error}: pip brings what fastconv is built with, else: pip install "setuptools>=77" "Cython>=3.1" "numpy>=2"'
    )

if int(numpy.__version__.split(".")[0]) < 2:
    sys.exit(f'fastconv is built with NumPy 2.0 or later; this is {numpy.__version__}: pip install "numpy>=2"')

WINDOWS = sys.platform == "win32"

# Contraction to FMA is the one liberty taken with arithmetic; -ffast-math would change the whole process's mode. What
# matters is unrolled, or said to be a loop over vectors, where it is written, so that -O3 would add to the wheel and
# nothing to the speed.
OPTIMISE = ["-O2", "-fopenmp-simd", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math"]
# Python's own flags ask for debug information, three quarters of the wheel; CFLAGS=-g brings it back.
DEBUG = [] if "-g" in os.environ.get("CFLAGS", "") else ["-g0"]
# So are tables by which a debugger walks out of a function, a thirtieth: nothing here throws.
TABLES = ["-fno-asynchronous-unwind-tables"] if DEBUG and not WINDOWS else []
# The names of functions that nothing outside calls are another.
STRIP = ["-Wl,-s"] if DEBUG and sys.platform == "linux" else []
WARN = [] if WINDOWS else ["-Wall", "-Wextra", "-Wno-psabi"]

# Each instruction set is one file compiled with its own flags; which of them runs is decided at import.
# The widest takes the compiler longest, so it comes first.
ISAS = {"baseline": []}
machine = platform.machine().lower()
if machine in ("x86_64", "amd64"):
    avx2 = ["-mavx2", "-mfma"]
    avx512 = [*avx2, "-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mprefer-vector-width=512"]
    # Which CPUs of today have nothing better? The wheel is smaller for all.
    ISAS = {"avx512": avx512, "avx2": avx2, "baseline": ["-Os"]}
elif machine in ("aarch64", "arm64"):
    ISAS = {"neon": [], **ISAS}

KERNELS = {f"src_c/isa_{isa}.c": flags for isa, flags in ISAS.items()}
HEADERS = glob("src_c/*.h")
DIRECTIVES = {
    "language_level": 3,
    "boundscheck": False,
    "wraparound": False,
    "cdivision": True,
    "annotation_typing": False,
}

COMPILER = os.environ.get("CC") or ("clang-cl" if WINDOWS else sysconfig.get_config_var("CC") or "cc")
NEEDED = f"""\
fastconv needs GCC or Clang and Python's headers; "{COMPILER}" compiles no program with them (CC=clang names another).
Debian, Ubuntu: apt install gcc python3-dev. Fedora: dnf install gcc python3-devel. macOS: xcode-select --install.
Windows: MSVC has no vector extensions; install LLVM, whose clang-cl compiles beside MSVC's tools, or build in WSL."""


def for_compiler(flags):
    """Flags as the compiler takes them: clang-cl wants those of Clang marked."""
    return [f"/clang:{flag}" for flag in flags] if WINDOWS else list(flags)


def links(program, compile_flags=(), link_flags=()):
    """Whether the compiler makes a shared library of this program."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "program.c")
        source.write_text(program)
        if WINDOWS:
            link_flags = ["/link", f"/LIBPATH:{Path(sys.base_prefix, 'libs')}", *link_flags]
            command = [COMPILER, "/LD", *compile_flags, source, *link_flags]
        else:
            output = ["-o", source.with_suffix(".so")]
            command = [*shlex.split(COMPILER), "-shared", "-fPIC", *compile_flags, source, *output, *link_flags]
        try:
            return subprocess.run(command, capture_output=True, cwd=folder).returncode == 0
        except OSError:
            return False


def compiles_kernels():
    """Whether there are Python's headers and a compiler that has the vector extensions of GCC and Clang."""
    includes = {f"-I{sysconfig.get_path(kind)}" for kind in ("include", "platinclude")}
    program = """
        #include <Python.h>
        typedef float four_floats __attribute__((vector_size(16)));
        four_floats twice(four_floats a) { return a + a; }
    """
    undefined = ["-undefined", "dynamic_lookup"] if sys.platform == "darwin" else []
    return links(program, includes, undefined)


def openmp_candidates():
    """How the compilers of this system may be asked for OpenMP: what compiles, and what links."""
    if WINDOWS:
        llvm = Path(shutil.which(COMPILER) or COMPILER).parent.parent
        yield ["/openmp"], [str(llvm / "lib" / "libomp.lib")]
        return
    yield ["-fopenmp"], ["-fopenmp"]
    if sys.platform == "darwin":  # Apple's Clang has OpenMP but for its library, which Homebrew has
        for prefix in (os.environ.get("LIBOMP"), "/opt/homebrew/opt/libomp", "/usr/local/opt/libomp"):
            if prefix:
                yield ["-Xpreprocessor", "-fopenmp", f"-I{prefix}/include"], [f"-L{prefix}/lib", "-lomp"]


def openmp_flags():
    """What compiles and what links OpenMP, or nothing where there is none: one thread does all the work then."""
    if os.environ.get("FASTCONV_NO_OPENMP"):
        return [], []
    program = "#include <omp.h>\nint threads(void) { return omp_get_max_threads(); }"
    for compile_flags, link_flags in openmp_candidates():
        if links(program, compile_flags, link_flags):
            return compile_flags, link_flags
    print(
        f'note: "{COMPILER}" has no OpenMP, so this fastconv will use one thread. '
        "GCC has it; for Clang on Debian: apt install libomp-dev; on macOS: brew install libomp.",
        file=sys.stderr,
    )
    return [], []


class BuildExt(build_ext):
    """Compiles kernels and modules side by side, on all cores."""

    def build_extensions(self):
        if WINDOWS:
            self.compiler.initialize()
            self.compiler.cc = COMPILER  # in MSVC's place; the linker stays
        compile_flags, link_flags = openmp_flags()
        for module in self.extensions:
            module.extra_compile_args += compile_flags
            module.extra_link_args += link_flags
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        pool = ThreadPoolExecutor(self.parallel or cores)
        try:
            # The kernels take longest, so they begin; Cython translates in this thread meanwhile.
            kernels = [pool.submit(self.compile_c, source, flags) for source, flags in KERNELS.items()]
            # Every module that computes calls mode.c; the kernels are linked to the one that chooses among them.
            mode = self.compile_c("src_c/mode.c")
            modules = []
            for module in sorted(self.extensions, key=lambda module: module.name.endswith(".runtime")):
                module.sources = cythonize([module], compiler_directives=DIRECTIVES, force=self.force)[0].sources
                module.extra_objects = [mode]
                if module.name.endswith(".runtime"):
                    module.extra_objects += [self.compile_c("src_c/cpu.c"), *[kernel.result() for kernel in kernels]]
                module.depends = [*HEADERS, *module.extra_objects]
                modules.append(pool.submit(self.build_extension, module))
            for module in modules:
                module.result()
        finally:
            pool.shutdown(cancel_futures=True)

    def compile_c(self, source, flags=()):
        """The object of a C file, compiled if it is not up to date."""
        (target,) = self.compiler.object_filenames([source], output_dir=self.build_temp)
        if self.force or newer_group([source, *HEADERS], target):
            options = for_compiler([*OPTIMISE, *DEBUG, *TABLES, *WARN, *flags])
            self.compiler.compile([source], output_dir=self.build_temp, extra_postargs=options)
        return target


class Sdist(sdist):
    """Writes the same bytes for the same files: in order, dated SOURCE_DATE_EPOCH where that is set, nobody's."""

    def make_archive(self, base_name, format, root_dir=None, base_dir=None, **owner):
        date = os.environ.get("SOURCE_DATE_EPOCH")
        if format != "gztar" or date is None:
            return super().make_archive(base_name, format, root_dir, base_dir, **owner)

        def alike(member):
            member.mtime, member.uid, member.gid, member.uname, member.gname = int(date), 0, 0, "", ""
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            return member

        target = Path(f"{base_name}.tar.gz")
        target.parent.mkdir(parents=True, exist_ok=True)
        with (
            target.open("wb") as file,
            gzip.GzipFile("", "wb", 9, file, mtime=int(date)) as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
        ):
            for path in sorted(Path(base_dir).rglob("*")):
                archive.add(path, recursive=False, filter=alike)
        return str(target)


# Modules that hand rows to kernels are as fast when they are small, which the wheel gains from.
SMALL = {"axes", "block_layers", "blocks", "draws", "layer_passes", "passes", "pictures", "pointwise", "steps"}


def extension(source):
    level = "-Os" if Path(source).stem in SMALL else "-O2"
    return Extension(
        ".".join(Path(source).with_suffix("").parts),
        [source],
        include_dirs=["src_c", numpy.get_include()],
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION")],
        extra_compile_args=for_compiler([level, *DEBUG, *TABLES]),
        extra_link_args=[*STRIP],
    )


# Asked before setuptools begins, so that what is missing is not lost in pages of other output.
BUILDING = {"build", "build_ext", "bdist_wheel", "editable_wheel", "install", "develop"}
if BUILDING.intersection(sys.argv) and not compiles_kernels():
    sys.exit(NEEDED)

setup(
    cmdclass={"build_ext": BuildExt, "sdist": Sdist},
    ext_modules=[extension(source) for source in sorted(glob("fastconv/_native/**/*.pyx", recursive=True))],
)
