"""Makes quantized.json: small matrices as bitsandbytes quantises them on a CPU.

    python kernels/testdata/make_quantized.py

The matrices follow from a seed by numbers(), which the test repeats, so that only
what became of them is in the file.
"""

import base64
import hashlib
import json
import pathlib
import platform
import sys

import bitsandbytes
import bitsandbytes.functional as F
import torch

DTYPES = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}


def numbers(seed, count):
    """Sums of four 12-bit draws of a linear congruential generator, about normal with a
    standard deviation of 0.02; every 500th is 8 times as large. They have so few bits
    that the sum of their blocks' largest is exact in float32: PyTorch fixes no order."""
    state, values = seed, []
    for i in range(count):
        total = 0
        for _ in range(4):
            state = (state * 1664525 + 1013904223) % 2**32
            total += (state >> 20) - 2**11
        values.append(total * 2.0**-17 * (8 if i % 500 == 499 else 1))
    return torch.tensor(values, dtype=torch.float32)


def ties():
    """Numbers in the middle between two codes, in a block of absmax 1, 2 and 1/4; one
    step above and below; and a block of zeros."""
    code = F.get_4bit_type("nf4", device="cpu")
    middle = (code[:-1] + code[1:]) / 2
    block = torch.zeros(64)
    block[:15], block[15] = middle, -1
    block[16:31], block[31:46] = middle.nextafter(torch.tensor(9.0)), middle.nextafter(torch.tensor(-9.0))
    return torch.cat([block, block * 2, block / 4, torch.zeros(64)])


def short_ties():
    """Numbers about the middle between two codes, in a block that the end cuts short."""
    code = F.get_4bit_type("nf4", device="cpu")
    middle = (code[:-1] + code[1:]) / 2 * 0.06
    block = torch.full((56,), 0.06)
    for i in range(3):
        block[15 * i : 15 * i + 15] = middle
        middle = middle.nextafter(torch.tensor(9.0 if i else -9.0))
    return torch.cat([torch.ones(64), block])


def halves():
    """Halves between two codes, exactly, and then as nearly as float32 has them."""
    exact = torch.tensor([127, 0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 126.5] * 8)
    near = [torch.cat([torch.tensor([a]), (torch.arange(63) + 0.5) * a / 127]) for a in [0.3, 0.49, 1.1, 0.19, 3.3]]
    return torch.stack([exact, *near])


def base(tensor):
    return base64.b64encode(tensor.contiguous().view(torch.uint8).numpy().tobytes()).decode()


def sum_of(tensor):
    return hashlib.sha256(tensor.float().contiguous().numpy().astype("<f4").tobytes()).hexdigest()


def nf4(name, matrix):
    """With AVX-512, bitsandbytes 0.50.2 gives numbers back rightly only if a row is whole
    blocks or odd."""
    codes, state = F.quantize_4bit(matrix, quant_type="nf4", compress_statistics=True, blocksize=64)
    state.dtype = torch.float32  # of what it gives back: not rounded to 16 bits
    return {
        "name": name, "shape": list(matrix.shape), "codes": base(codes), "absmax": base(state.absmax),
        "nested_absmax": base(state.state2.absmax), "offset": state.offset.item(),
        "sha256": sum_of(F.dequantize_4bit(codes, state)),
    }


def int8(name, matrix):
    codes, absmax, _ = F.int8_vectorwise_quant(matrix)
    return {"name": name, "shape": list(matrix.shape), "codes": base(codes), "absmax": base(absmax)}


def main():
    torch.set_num_threads(1)
    goldens = {"made_with": f"bitsandbytes {bitsandbytes.__version__}, PyTorch {torch.__version__}, {platform.machine()}"}
    goldens["dynamic_map"] = base(F.create_dynamic_map())
    goldens["ties"] = base(ties())
    goldens["nf4"] = [
        nf4(dtype, numbers(7, 30 * 576).view(30, 576).to(DTYPES[dtype])) for dtype in DTYPES
    ] + [nf4("odd", numbers(8, 5 * 37).view(5, 37)), nf4("ties", ties().view(2, 128))]
    goldens["short ties"] = base(short_ties())
    goldens["nf4"].append(nf4("short ties", short_ties().view(8, 15)))
    goldens["halves"] = base(halves())
    goldens["int8"] = [int8(dtype, numbers(9, 12 * 70).view(12, 70).to(DTYPES[dtype]).float()) for dtype in DTYPES]
    goldens["int8"].append(int8("halves", halves()))
    path = pathlib.Path(__file__).with_name("quantized.json")
    path.write_text(json.dumps(goldens, indent=1) + "\n")
    print(path, path.stat().st_size, "bytes")


if __name__ == "__main__":
    assert sys.byteorder == "little"
    main()
