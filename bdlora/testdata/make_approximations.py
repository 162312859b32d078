"""Make approximations/: the nearest ΔW in fewer components, by numpy's SVD; see README.md."""

import json
import pathlib

import numpy as np
from safetensors.numpy import load_file, save_file

HERE = pathlib.Path(__file__).parent
CASES = [("plain", 2, 8), ("plain", 4, 8), ("plain", 1, 3), ("bd2", 4, 8), ("bd4", 2, 4)]


def dense(packed, blocks):
    """The matrix with its zeros, of blocks that lie one below the other."""
    parts = np.split(packed, blocks)
    rows, cols = parts[0].shape
    whole = np.zeros((blocks * rows, blocks * cols))
    for i, part in enumerate(parts):
        whole[i * rows : (i + 1) * rows, i * cols : (i + 1) * cols] = part
    return whole


def nearest(delta, rank):
    u, s, vt = np.linalg.svd(delta, full_matrices=False)
    return (u[:, :rank] * s[:rank]) @ vt[:rank]


def approximate(name, blocks, rank):
    config = json.loads((HERE / name / "adapter_config.json").read_text())
    scaling = config["lora_alpha"] / (config["r"] ** 0.5 if config["use_rslora"] else config["r"])
    old = (config.get("use_bdlora") or {"nblocks": 1})["nblocks"]
    factors = load_file(HERE / name / "adapter_model.safetensors")
    out = {}
    for key in factors:
        if ".lora_A." not in key:
            continue
        module = key.removeprefix("base_model.model.").removesuffix(".lora_A.weight")
        a, b = factors[key].astype(float), factors[key.replace("lora_A", "lora_B")].astype(float)
        row = module.endswith(("o_proj", "down_proj"))
        delta = scaling * (b @ dense(a, old) if row else dense(b, old) @ a)
        parts = np.split(delta, blocks, axis=1 if row else 0)
        got = np.concatenate([nearest(p, rank // blocks) for p in parts], axis=1 if row else 0)
        out[module] = got.astype(np.float32)
        out[module + ".error"] = np.array([np.linalg.norm(got - delta) / np.linalg.norm(delta)], np.float32)
    save_file(out, HERE / "approximations" / f"{name}-{blocks}-{rank}.safetensors")


(HERE / "approximations").mkdir(exist_ok=True)
for case in CASES:
    approximate(*case)
