"""What the comparisons share: a process for each contender, results on disk, tables."""

import json
import multiprocessing
import os
import platform
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any, Callable

REPOSITORY = Path(__file__).resolve().parents[2]
EXAMPLES = Path(__file__).resolve().parent


class Failed(Exception):
    """A contender's process ended with an error."""


def run(command: list[str], log: Path, threads: int, environment: dict[str, str]) -> tuple[str, int]:
    """Runs a process to its end: what it printed, and its peak resident memory in bytes.

    The peak is that of the process, or of the largest of those that it started and
    waited for, as the operating system counts it, which is from the moment when it was
    still a copy of this program: so this program must stay small, see apart. What goes
    to the standard error is written to log.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    # OPENBLAS_* of the caller would choose another kernel than OpenBLAS itself does.
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("OPENBLAS_")}
    limits = {key: str(threads) for key in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    with log.open("w") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True,
                                   env=inherited | limits | {"HF_HUB_OFFLINE": "1"} | environment)
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise Failed(f"{' '.join(command)}: exit code {process.returncode}, see {log}")
    return output, usage.ru_maxrss * (1 if platform.system() == "Darwin" else 1024)


def apart(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function returns, called in a process of its own, which may import PyTorch."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=context) as pool:
        return pool.submit(function, *arguments).result()


class Results:
    """JSON files in a folder, made once: what a stopped comparison has measured, it has."""

    def __init__(self, folder: Path, settings: dict[str, Any]):
        self.folder, self.failures = folder, 0
        (folder / "results").mkdir(parents=True, exist_ok=True)
        before = self.get("settings", lambda: settings)
        if before != json.loads(json.dumps(settings)):
            raise SystemExit(f"{folder}: it has results of other settings, {before}; want another folder")

    def get(self, name: str, make: Callable[[], Any]) -> Any:
        """What make returned when it first did, or None and a word if it fails."""
        path = self.folder / "results" / f"{name}.json"
        if path.exists():
            return json.loads(path.read_text())
        print(name, file=sys.stderr)
        try:
            result = make()
        except Failed as error:
            print(error, file=sys.stderr)
            self.failures += 1
            return None
        unfinished = path.with_suffix(".tmp")
        unfinished.write_text(json.dumps(result) + "\n")
        unfinished.replace(path)
        return json.loads(path.read_text())

    def exit(self) -> None:
        """Ends the program, with code 1 if a contender failed."""
        sys.exit(1 if self.failures else 0)


def bdlora(given: str, folder: Path) -> str:
    """The program to measure: the one given, or else this repository's, built into folder once."""
    if given:
        return given
    built = folder.resolve() / "bdlora"
    if not built.exists():
        subprocess.run(["go", "build", "-o", str(built), "./cmd/bdlora"], cwd=REPOSITORY, check=True)
    return str(built)


def machine(threads: int, *packages: str) -> str:
    """A line about the processor, and one of versions."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    return (f"{processor()}, {os.cpu_count()} cores, {memory:.0f} GiB; {threads} threads; {platform.system()}.\n"
            f"Python {platform.python_version()}, {versions}.\n")


def processor() -> str:
    """The processor's name, with the vector and matrix units that matter here."""
    if platform.system() == "Darwin":
        return subprocess.check_output(["sysctl", "-n", "machdep.cpu.brand_string"], text=True).strip()
    info = dict(line.split(":", 1) for line in Path("/proc/cpuinfo").read_text().splitlines() if ":" in line)
    fields = {key.strip(): value.strip() for key, value in info.items()}
    flags = fields.get("flags", fields.get("Features", "")).split()
    units = [unit for unit in ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd") if unit in flags]
    return f"{fields.get('model name', platform.machine())} ({', '.join(units)})"


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table; all but the first column is right-aligned."""
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def gib(size: float) -> str:
    """Bytes in GiB, to two places."""
    return f"{size / 2**30:.2f}"
