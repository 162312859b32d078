"""Prints what serve-bench has measured as a Markdown table: table.py FILE.json …

A line is a step of one configuration. Both ratios are S-LoRA's time over that of BD-LoRA
of twice the rank: of the step's collectives without computing in between, and of the
whole step.
"""

import json
import pathlib
import sys

COLUMNS = [
    "model", "link", "processes", "step", "collectives alone, S-LoRA / BD-LoRA, ms", "ratio",
    "whole step, S-LoRA / BD-LoRA, ms", "ratio", "NFS-LoRA", "BD-LoRA 4r", "adapter's a layer, S-LoRA",
]


def milliseconds(seconds: float) -> str:
    return f"{1e3 * seconds:.3g}"


def alone(step: dict) -> float:
    return sum(step["calls_alone"].values())


def name(step: dict) -> str:
    if step["past"] == 0:
        return f"prompt of {step['tokens']}"
    return f"token × {step['sequences']}"


def lines(report: dict):
    """The cells of each step; a step is as many entries as there are adapters."""
    adapters, steps = len(report["adapters"]), report["steps"]
    for at in range(0, len(steps), adapters):
        _, slora, nfs, blocks, wide = steps[at : at + adapters]
        yield [
            f"{report['shape']}, {report['layers']} of {report['all_layers']} layers", report["link"]["name"],
            str(report["processes"]), name(slora),
            f"{milliseconds(alone(slora))} / {milliseconds(alone(blocks))}", f"{alone(slora) / alone(blocks):.2f}",
            f"{milliseconds(slora['seconds'])} / {milliseconds(blocks['seconds'])}", f"{slora['of_bd_lora']:.2f}",
            f"{nfs['of_bd_lora']:.2f}", f"{wide['of_bd_lora']:.2f}",
            f"{slora['adapter_calls_a_layer']} calls, {slora['adapter_payload_bytes_a_layer']:,} B",
        ]


def main() -> None:
    if len(sys.argv) < 2:
        sys.exit("table.py: got no file, want some that serve-bench --json has written")
    print("| " + " | ".join(COLUMNS) + " |")
    print("|" + "---|" * len(COLUMNS))
    for path in sys.argv[1:]:
        for cells in lines(json.loads(pathlib.Path(path).read_text())):
            print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
