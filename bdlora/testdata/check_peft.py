"""Check adapters that bdlora exported, in PEFT and transformers.

    go test ./bdlora -run TestExports -export /tmp/exports
    HF_HUB_OFFLINE=1 python bdlora/testdata/check_peft.py bdlora/testdata/model /tmp/exports/*

Each folder holds one adapter as peft/, dense/ and merged/, as recut/ in another
number of blocks, and, if it has any, as vllm/. All of them load with warnings as
errors, hold finite numbers, and give the same logits; a folder of the name of a
golden gives the logits of the golden, which PEFT made.
"""

import pathlib
import sys
import warnings

import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import LlamaForCausalLM

HERE = pathlib.Path(__file__).parent
TOLERANCE = 1e-4  # of the largest logit, in float32


def base(folder):
    return LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def adapted(model, adapter):
    """The base with the adapter, all of whose tensors arrived unchanged."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # PEFT 0.21.2 asks transformers 5.23.0 by an old name, whatever the adapter is.
        warnings.filterwarnings("ignore", ".*is_gradient_checkpointing", FutureWarning)
        peft = PeftModel.from_pretrained(base(model), adapter).eval()
    loaded = {k.replace(".default", ""): v for k, v in peft.state_dict().items() if ".lora_" in k}
    saved = load_file(adapter / "adapter_model.safetensors")
    assert loaded.keys() == saved.keys(), loaded.keys() ^ saved.keys()
    for key, value in saved.items():
        assert value.isfinite().all(), key
        assert torch.equal(loaded[key], value.to(loaded[key].dtype)), key
    return peft


def difference(got, want):
    return ((got - want).abs().max() / want.abs().max()).item()


def check(model, folder):
    tokens = torch.randint(0, 32, (2, 16), generator=torch.Generator().manual_seed(3))
    golden = HERE / folder.name
    with torch.no_grad():
        without = base(model)(tokens).logits
        want = adapted(model, golden if golden.exists() else folder / "peft")(tokens).logits
        effect = difference(want, without)
        assert effect > 0.01, f"{folder}: the adapter changes nothing: {effect}"
        for kind in sorted(path.name for path in folder.iterdir()):
            got = base(folder / kind) if kind == "merged" else adapted(model, folder / kind)
            d = difference(got(tokens).logits, want)
            print(f"{folder.name:10} {kind:7} logits differ by {d:.1e}, the adapter moves them by {effect:.1e}")
            assert d <= TOLERANCE, f"{folder / kind}: {d}"


for folder in sys.argv[2:]:
    check(sys.argv[1], pathlib.Path(folder))
