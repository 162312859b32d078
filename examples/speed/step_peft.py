"""Training steps of a model of random weights in PEFT on PyTorch, measured.

    python step_peft.py --shape llama-3.2-1b --layers 1 --tokens 512

A step is what `bdlora bench step` makes: one sequence of random tokens, each but the
first to predict, forward and backward with LoRA on every linear, the gradient's norm and
AdamW. Printed is one JSON object: the number of parameters, the seconds of each step,
and of them those of head and loss in both directions.
"""

import argparse
import json
import time

import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

LLAMA3 = {"vocab_size": 128256, "max_position_embeddings": 8192, "rms_norm_eps": 1e-5}
SHAPES = {
    "smollm2-135m": {
        "vocab_size": 49152, "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30,
        "num_attention_heads": 9, "num_key_value_heads": 3, "tie_word_embeddings": True, "rms_norm_eps": 1e-5,
        "max_position_embeddings": 8192,
    },
    "llama-3.2-1b": LLAMA3 | {
        "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16, "num_attention_heads": 32,
        "num_key_value_heads": 8, "tie_word_embeddings": True,
    },
    "llama-3.1-8b": LLAMA3 | {
        "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32,
        "num_key_value_heads": 8, "tie_word_embeddings": False,
    },
}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, required=True, help="model to have the shape of")
    parser.add_argument("--layers", type=int, default=1, help="its first layers only")
    parser.add_argument("--tokens", type=int, default=512, help="tokens of the sequence")
    parser.add_argument("--lora_r", type=int, default=16, help="rank of the adapter")
    parser.add_argument("--warmup", type=int, default=1, help="steps before those that count")
    parser.add_argument("--runs", type=int, default=3, help="steps that count")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--bf16", action="store_true", help="base weights in bfloat16, autocast")
    parser.add_argument("--bf16_adapter", action="store_true", help="with --bf16: the adapter too, and no autocast")
    parser.add_argument("--torch_compile", action="store_true", help="compile the layers and the loss")
    return parser.parse_args()


def make_model(arguments: argparse.Namespace) -> torch.nn.Module:
    config = LlamaConfig(**SHAPES[arguments.shape] | {"num_hidden_layers": arguments.layers})
    torch.set_default_dtype(torch.bfloat16 if arguments.bf16 else torch.float32)
    base = LlamaForCausalLM(config)
    torch.set_default_dtype(torch.float32)
    lora = LoraConfig(task_type="CAUSAL_LM", r=arguments.lora_r, lora_alpha=16, target_modules="all-linear")
    model = get_peft_model(base, lora, autocast_adapter_dtype=not arguments.bf16_adapter).train()
    if arguments.torch_compile:
        for layer in base.model.layers:
            layer.compile()
        base.loss_function = torch.compile(base.loss_function)
    return model


class HeadClock:
    """Times head and loss: all that comes after the last layer's output, and its gradient's way back to it."""

    def __init__(self, model: torch.nn.Module):
        self.forward_began = self.backward_ended = 0.0
        model.get_base_model().model.register_forward_hook(self.at_hidden)

    def at_hidden(self, module: torch.nn.Module, inputs: tuple, output: object) -> None:
        output.last_hidden_state.register_hook(self.at_gradient)
        self.forward_began = time.perf_counter()

    def at_gradient(self, gradient: torch.Tensor) -> None:
        self.backward_ended = time.perf_counter()


def step(model: torch.nn.Module, optimizer: torch.optim.Optimizer, ids: torch.Tensor, clock: HeadClock,
         autocast: bool) -> tuple[float, float]:
    """Makes a step: its seconds, and of them those of head and loss."""
    began = time.perf_counter()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        loss = model(input_ids=ids, labels=ids, use_cache=False).loss
    forward_ended = time.perf_counter()
    loss.backward()
    head = forward_ended - clock.forward_began + clock.backward_ended - forward_ended
    torch.nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], 1.0)
    optimizer.step()
    optimizer.zero_grad()
    return time.perf_counter() - began, head


def main() -> None:
    arguments = parse()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(1)
    model = make_model(arguments)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer, clock = torch.optim.AdamW(trained, lr=1e-4, fused=True), HeadClock(model)
    ids = torch.randint(model.config.vocab_size, (1, arguments.tokens))
    autocast = arguments.bf16 and not arguments.bf16_adapter
    steps = [step(model, optimizer, ids, clock, autocast) for _ in range(arguments.warmup + arguments.runs)]
    seconds, head_seconds = zip(*steps[arguments.warmup:])
    trainable, everything = model.get_nb_trainable_parameters()
    print(json.dumps({"params": everything - trainable, "trainable_params": trainable,
                      "seconds": seconds, "head_seconds": head_seconds}))


if __name__ == "__main__":
    main()
