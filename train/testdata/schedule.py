"""Writes schedule.json: learning rates by transformers.

    python schedule.py > schedule.json
"""

import json

import torch
import transformers

CASES = [  # type, total steps, ratio of warm-up or its steps
    ("cosine", 100, 0.03),
    ("cosine", 100, 10),
    ("cosine", 7, 0.1),
    ("cosine", 3, 5),
    ("cosine", 1, 0),
    ("linear", 100, 0.03),
    ("linear", 13, 4),
    ("linear", 4, 4),
    ("linear", 10, 0.21),
    ("cosine", 31, 0.1),
    ("constant", 20, 0),
    ("constant_with_warmup", 20, 0.25),
    ("constant_with_warmup", 20, 0),
]
PEAK = 2e-4


def rates(kind, total, warmup):
    args = transformers.TrainingArguments(output_dir="unused", warmup_steps=warmup, use_cpu=True)
    steps = args.get_warmup_steps(total)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=PEAK)
    schedule = transformers.get_scheduler(kind, optimizer, num_warmup_steps=steps, num_training_steps=total)
    values = []
    for _ in range(total):
        values.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    return {"type": kind, "total": total, "warmup": warmup, "warmup_steps": steps, "peak": PEAK, "rates": values}


print(json.dumps({
    "transformers": transformers.__version__,
    "torch": torch.__version__,
    "cases": [rates(*case) for case in CASES],
}))
