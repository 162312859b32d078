"""Makes the golden files of this folder: python make.py"""

import os

import torch
from huggingface_hub import save_torch_state_dict
from safetensors.torch import save_file

here = os.path.dirname(os.path.abspath(__file__))


def ramp(dtype, *shape):
    count = torch.Size(shape).numel()
    return (torch.arange(count, dtype=torch.float64) * 0.75 - 2).to(dtype).reshape(shape)


save_file(
    {
        "f32": ramp(torch.float32, 3, 4),
        "bf16": ramp(torch.bfloat16, 5, 1),
        "f16": ramp(torch.float16, 7),
        "f64": ramp(torch.float64, 2),
        "i64": torch.arange(3),
        "i8": torch.arange(3, dtype=torch.int8),
        "bool": torch.tensor([True, False]),
        "f8": ramp(torch.float8_e4m3fn, 5),
        "scalar": torch.tensor(-2.0),
        "empty": torch.zeros(0, 8),
        'odd <name> & "é"': ramp(torch.float32, 1),
    },
    os.path.join(here, "dtypes.safetensors"),
    metadata={"format": "pt <&>"},
)

os.makedirs(os.path.join(here, "sharded"), exist_ok=True)
save_torch_state_dict(
    {f"layer.{i}.weight": ramp(torch.float32, 8, 4) + i for i in range(3)} | {"norm.weight": ramp(torch.float32, 4)},
    os.path.join(here, "sharded"),
    max_shard_size=300,
)
