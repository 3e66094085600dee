"""What a plain test run cannot show of the compiled half. One command each:

python tests/native/run.py sanitizers   the suite under AddressSanitizer and UndefinedBehaviorSanitizer
python tests/native/run.py valgrind     the tests of convolution and pooling under memcheck
python tests/native/run.py kernels      each kernel against plain loops: alone, under memcheck, under the sanitizers
python tests/native/run.py clang        the same, built by clang, or with --compiler by another compiler; alone
python tests/native/run.py musl         the same, built by musl-gcc: alone, without glibc
python tests/native/run.py aarch64      the same on an emulated aarch64
python tests/native/run.py windows      the same, built by clang for Windows, under wine
python tests/native/run.py macos        that clang compiles the kernels for an arm64 Mac; nothing runs
python tests/native/run.py old-cpu      the installed wheel on an emulated x86-64 without AVX
python tests/native/run.py coverage     the lines of C and Cython that no test executes

Each builds a copy of the package in a temporary folder and runs there; arguments that follow go to pytest. It needs
what the tests need, gcc or clang, and the tool that it is named after.
"""

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# The tests that a run of all would take too long for.
NESTS = [f"tests/test_{name}.py" for name in ("native_borders", "conv", "depthwise", "pool")]


def run(*command, cwd, **environment):
    """Run a command there, with this environment on top; end with its status if that is not 0."""
    print("+", *[f"{name}={value}" for name, value in environment.items()], *command, flush=True)
    start = time.monotonic()
    status = subprocess.run(list(map(str, command)), cwd=cwd, env=os.environ | environment).returncode
    print(f"+ status {status} after {time.monotonic() - start:.0f} s", flush=True)
    if status:
        raise SystemExit(status)


def copy(folder):
    """A copy of the package and its tests."""
    generated = shutil.ignore_patterns("*.so", "*.o", "*.a", "__pycache__", ".*")
    for part in ("fastconv", "src_c", "tests", "docs", "benchmarks"):
        shutil.copytree(ROOT / part, folder / part, ignore=generated)
    for file in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, folder)


def build(folder, **environment):
    """Build the extensions of such a copy in place."""
    run(sys.executable, "setup.py", "-q", "build_clib", "build_ext", "--inplace", cwd=folder, **environment)


def optimise(folder, levels):
    """Have such a copy compiled at other levels of optimisation."""
    setup = folder / "setup.py"
    text = setup.read_text()
    for level, other in levels.items():
        text = text.replace(f'"{level}"', f'"{other}"')
    setup.write_text(text)


def library(name):
    """Where the compiler keeps one of its own libraries."""
    return subprocess.run(["gcc", f"-print-file-name={name}"], capture_output=True, text=True).stdout.strip()


def sanitizers(folder, arguments):
    # Python compiles with -fwrapv, which would hide overflow.
    flags = "-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -g1 -fno-wrapv"
    copy(folder)
    # Checked kernels, all of whose loops are unrolled, take minutes to optimise well.
    optimise(folder, {"-O2": "-O1", "-Os": "-O1"})
    build(folder, CFLAGS=flags, LDFLAGS="-fsanitize=address,undefined")
    run(
        # What the checkers print must not be captured with the process that they end.
        *(sys.executable, "-m", "pytest", "-n0", "-p", "no:cacheprovider", "--capture=sys", *(arguments or ["tests"])),
        cwd=folder,
        # The C++ library too, for what throws exceptions.
        LD_PRELOAD=f"{library('libasan.so')} {library('libstdc++.so')}",
        # Python itself leaves memory behind at exit; that nothing is lost in a call the tests of memory show.
        ASAN_OPTIONS="detect_leaks=0:allocator_may_return_null=1:detect_stack_use_after_return=1",
        UBSAN_OPTIONS="print_stacktrace=1",
        PYTHONMALLOC="malloc",
    )


def valgrind(folder, arguments):
    copy(folder)
    build(folder, CFLAGS="-g1 -DFASTCONV_EXACT_MEMORY")
    run(
        *("valgrind", "--error-exitcode=99", "--quiet", f"--suppressions={ROOT / 'tests/native/python.supp'}"),
        *(sys.executable, "-m", "pytest", "-n0", "-p", "no:cacheprovider"),
        *(arguments or NESTS),
        *(() if arguments else ("-k", "taken or indices or ragged or layouts or special or adaptive or transposed")),
        cwd=folder,
        PYTHONMALLOC="malloc",
        OMP_NUM_THREADS="2",
    )


# As setup.py has them, but for the scalar kernels, which only these checks compile.
ISAS = {"scalar": "", "baseline": "", "avx2": "-mavx2 -mfma", "neon": ""}
ISAS["avx512"] = f"{ISAS['avx2']} -mavx512f -mavx512dq -mavx512bw -mavx512vl -mprefer-vector-width=512"
OPTIMISE = "-O2 -fopenmp-simd -ffp-contract=fast -fno-math-errno -fno-trapping-math -Wall -Wextra -Werror -Wno-psabi"


HERE = ["baseline", "avx2", "avx512"] if platform.machine() == "x86_64" else ["baseline", "neon"]


def objects(folder, name, isas, compiler, flags=()):
    """The C files of these instruction sets, compiled side by side: an object file each."""
    kernels = {f"isa_{isa}": ISAS[isa].split() for isa in isas}

    def compiled(file):
        target = folder / f"{name}_{file}.o"
        own = [*OPTIMISE.split(), *flags, *kernels.get(file, ())]
        run(*compiler, *own, "-c", ROOT / "src_c" / f"{file}.c", "-o", target, cwd=folder)
        return target

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(compiled, ["cpu", "mode", *kernels]))


def driver(folder, name, isas, compiler, flags=(), linker=None):
    """The program that checks the kernels of these instruction sets, and the scalar ones."""
    parts = objects(folder, name, ["scalar", *isas], compiler, flags)
    checks = ROOT / "tests" / "native"
    for source in [checks / "kernels.c", *sorted(checks.glob("check_*.c"))]:
        parts.append(folder / f"{name}_{source.stem}.o")
        own = ["-O1", "-g", "-Wall", "-Wextra", "-Werror", f"-I{ROOT / 'src_c'}", *flags]
        run(*compiler, *own, "-c", source, "-o", parts[-1], cwd=folder)
    run(*(linker or compiler), *flags, *parts, "-lm", "-o", folder / name, cwd=folder)
    return folder / name


def kernels(folder, _):
    """All three runs on this machine; memcheck knows no AVX-512 and has the run-time test leave it out."""
    plain = driver(folder, "kernels", HERE, ["gcc"])
    run(plain, cwd=folder)
    run("valgrind", "--quiet", "--error-exitcode=99", plain, "--any-mode", cwd=folder)
    checked = ["-O1", "-g1", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]
    run(driver(folder, "kernels-sanitized", HERE, ["gcc"], checked), cwd=folder)


def clang(folder, arguments):
    parser = argparse.ArgumentParser()
    parser.add_argument("--compiler", default="clang")
    compiler = parser.parse_args(arguments).compiler
    run(driver(folder, "kernels-clang", HERE, [compiler]), cwd=folder)


def musl(folder, _):
    run(driver(folder, "kernels-musl", HERE, ["musl-gcc"], ["-static"]), cwd=folder)


def aarch64(folder, _):
    program = driver(folder, "kernels-aarch64", ["baseline", "neon"], ["aarch64-linux-gnu-gcc"], ["-static"])
    run("qemu-aarch64", program, cwd=folder)
    listing = ["aarch64-linux-gnu-objdump", "-d", "--no-show-raw-insn", folder / "kernels-aarch64_isa_neon.o"]
    text = subprocess.run(listing, capture_output=True, text=True, check=True).stdout
    tiles, spilling = loops_of_tiles(text)
    print(f"{tiles} loops of register tiles, {len(spilling)} of which keep vectors on the stack")
    if spilling:
        raise SystemExit("\n".join(spilling))


def loops_of_tiles(listing):
    """How many loops there are of eight products or more and no branch, and which of them move vectors to or from the
    stack. Winograd's transforms are not among them, for their tiles are larger than all registers."""
    tiles, spilling = 0, []
    for function in re.split(r"\n\n(?=[0-9a-f]+ <)", listing):
        name = re.search(r"<(.*)>:", function)
        lines = re.findall(r"^ *([0-9a-f]+):\t(\S+)\t?(.*)", function, re.M)
        places = {place: i for i, (place, _, _) in enumerate(lines)}
        start = 0
        for i, (_, operation, operands) in enumerate(lines):
            if not re.match(r"(b|b\.\w+|cbn?z|tbn?z|ret)$", operation):
                continue
            target = re.search(r"\b([0-9a-f]+) <", operands)
            first = places.get(target[1], i) if target else i
            body = lines[first:i] if first >= start else []
            products = sum(line[1] == "fmla" for line in body)
            if products >= 8 and not name[1].startswith("winograd"):
                tiles += 1
                moves = [line for line in body if line[1][:3] in ("str", "ldr", "stp", "ldp") and "[sp" in line[2]]
                moves = [line for line in moves if line[2][0] in "sdq"]
                spilling += [f"{name[1]}: {len(moves)} moves in {len(body)} instructions"] if moves else []
            start = i + 1
    return tiles, spilling


def windows(folder, _):
    """Debian's mingw gcc only links, for what it compiles saves AVX's registers where they must not lie (bug 54412)."""
    compiler, linker = ["clang", "--target=x86_64-w64-mingw32"], ["x86_64-w64-mingw32-gcc"]
    program = driver(folder, "kernels.exe", ["baseline", "avx2", "avx512"], compiler, linker=linker)
    wine = shutil.which("wine64") or "/usr/lib/wine/wine64"
    run(wine, program, cwd=folder, WINEPREFIX=str(folder / "wine"), WINEDEBUG="-all")


def macos(folder, _):
    """Without Apple's headers: the kernels want memcpy, memset and some of libm, and the compiler brings the rest. It
    must know these functions, as on a Mac: a loop that calls fma() is in vectors only where that is an instruction."""
    copies = "void *memcpy(void *restrict to, const void *restrict from, size_t size);\n"
    copies += "void *memset(void *to, int byte, size_t size);\n"
    (folder / "string.h").write_text(f"#include <stddef.h>\n{copies}")
    of_one = "".join(f"double {name}(double);\n" for name in ("sqrt", "log", "sin", "cos"))
    libm = f"float sqrtf(float);\nfloat fmaf(float, float, float);\ndouble fma(double, double, double);\n{of_one}"
    (folder / "math.h").write_text(libm)
    compiler = ["clang", "--target=arm64-apple-macos", "-nostdlibinc", f"-I{folder}"]
    objects(folder, "macos", ["baseline", "neon", "scalar"], compiler)


def old_cpu(folder, arguments):
    """The installed wheel on a CPU without AVX; first, that no code outside of its kernels' files needs AVX."""
    wheels, site, build = folder / "wheels", folder / "site", folder / "build"
    copy(folder)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    options = ["--no-deps", "--no-build-isolation", "--config-settings=--build-option=build", "--wheel-dir"]
    run(*pip, "wheel", *options, wheels, ".", cwd=folder)
    run(*pip, "install", "--no-deps", "--target", site, *wheels.glob("*.whl"), cwd=folder)
    for object_file in sorted(build.rglob("*.o")):
        listing = subprocess.run(["objdump", "-d", object_file], capture_output=True, text=True, check=True).stdout
        wide = sum(line.split("\t")[2].startswith("v") for line in listing.splitlines() if line.count("\t") > 1)
        may = object_file.stem in ("isa_avx2", "isa_avx512")
        print(f"{object_file.name}: {wide} instructions of AVX")
        if (wide > 0) != may:
            raise SystemExit(f"{object_file} should have {'some' if may else 'none'}")
        names = subprocess.run(["nm", "-g", "--defined-only", object_file], capture_output=True, text=True).stdout
        if object_file.stem.startswith("isa_") and len(names.splitlines()) != 1:
            raise SystemExit(f"{object_file} should export its table alone, exports\n{names}")
    shutil.rmtree(folder / "fastconv")
    emulated = ["qemu-x86_64", "-cpu", "Nehalem", sys.executable]
    environment = {"PYTHONPATH": str(site), "OMP_NUM_THREADS": "2"}
    code = "from fastconv._native import runtime as r; print(r.__file__); assert r.available_isas() == ['baseline']"
    run(*emulated, "-c", code, cwd=folder, **environment)
    tests = arguments or [*NESTS, "-k", "not torch"]
    run(*emulated, "-m", "pytest", "-n0", "-p", "no:cacheprovider", *tests, cwd=folder, **environment)


def coverage(folder, arguments):
    """Lines of C and Cython that the suite does not execute, by gcov: Cython says which of its lines C comes from."""
    copy(folder)
    options = "boundscheck=False,wraparound=False,cdivision=True,annotation_typing=False,language_level=3"
    for source in sorted((folder / "fastconv" / "_native").glob("*.pyx")):
        cython = [sys.executable, "-m", "cython", "--line-directives", "-X", options]
        run(*cython, source.relative_to(folder), cwd=folder)
        os.utime(source.with_suffix(".c"))
    # Optimised, lines merge with their neighbours.
    optimise(folder, {'-O2", "-fopenmp-simd': '-O1", "-fopenmp-simd', "-O2": "-O0"})
    build(folder, CFLAGS="--coverage", LDFLAGS="--coverage")
    for tests in arguments or sorted(str(path.relative_to(folder)) for path in (folder / "tests").glob("test_*.py")):
        run(sys.executable, "-m", "pytest", "-n0", "-p", "no:cacheprovider", tests, cwd=folder)
    report_lines(folder)


def report_lines(folder):
    # How often each line ran, in whichever object file: a kernel's source is in several.
    counts = {}
    for notes in sorted((folder / "build").rglob("*.gcda")):
        text = subprocess.run(["gcov", "--json-format", "--stdout", notes], cwd=folder, capture_output=True, check=True)
        for file in json.loads(text.stdout)["files"]:
            path = Path(folder / file["file"]).resolve()
            if not path.is_relative_to(folder.resolve()):
                continue
            generated = path.suffix == ".c" and path.parent.name == "_native"
            if path.suffix in (".c", ".h", ".pyx", ".pxd") and path.exists() and not generated:
                lines = counts.setdefault(path, {})
                for line in file["lines"]:
                    number = line["line_number"]
                    lines[number] = max(lines.get(number, 0), line["count"])
    for path, lines in sorted(counts.items()):
        text = path.read_text().splitlines()
        missed = [n for n, count in sorted(lines.items()) if not count and n <= len(text) and text[n - 1].strip()]
        print(f"{path.relative_to(folder.resolve())}: {len(lines) - len(missed)} of {len(lines)} lines executed")
        for n in missed:
            print(f"    {n}: {text[n - 1].strip()}")


FUNCTIONS = (sanitizers, valgrind, kernels, clang, musl, aarch64, windows, macos, old_cpu, coverage)
COMMANDS = {f.__name__.replace("_", "-"): f for f in FUNCTIONS}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("--folder", type=Path, help="build here, and leave it")
    options, arguments = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        COMMANDS[options.command](folder, arguments)
    print(f"{options.command}: clean")


if __name__ == "__main__":
    main()
