"""Writes torch.json: what PyTorch and transformers compute for every kernel, in
float64, from inputs that float32 can hold. See README."""
import json
import pathlib

import torch
import torch.nn.functional as F
import transformers
from transformers.models.llama.modeling_llama import LlamaRMSNorm, apply_rotary_pos_emb

torch.manual_seed(1)
torch.set_default_dtype(torch.float64)


def normal(*shape):
    return torch.randn(*shape).float().double().requires_grad_()


def flat(x):
    return x.detach().flatten().tolist()


def grads(y, dy, *inputs):
    return [flat(g) for g in torch.autograd.grad(y, inputs, dy)]


def linear(dtype, name, tokens=3, inputs=5, outputs=4):
    """bits are those of the weight in its format, as unsigned numbers."""
    w, x, dy = torch.randn(outputs, inputs).to(dtype), normal(tokens, inputs), normal(tokens, outputs)
    y = F.linear(x, w.double())
    (dx,) = grads(y, dy, x)
    bits = w.view(torch.int32 if dtype == torch.float32 else torch.int16).flatten().tolist()
    mask = 0xFFFFFFFF if dtype == torch.float32 else 0xFFFF
    return dict(format=name, tokens=tokens, inputs=inputs, outputs=outputs, bits=[b & mask for b in bits],
                x=flat(x), y=flat(y), dy=flat(dy), dx=dx)


def matmul(m=3, k=4, n=2, alpha=-0.75):
    a, b, c = normal(m, k), normal(k, n), normal(m, n)
    return dict(rows=m, inner=k, cols=n, alpha=alpha, a=flat(a), b=flat(b), c=flat(c),
                product=flat(alpha * a @ b), sum=flat(torch.addmm(c, a, b, alpha=alpha)))


def rmsnorm(rows=3, hidden=5, eps=1e-2):
    x, dy, norm = normal(rows, hidden), normal(rows, hidden), LlamaRMSNorm(hidden, eps)
    norm.weight.data = normal(hidden).data
    # LlamaRMSNorm.forward computes in float32, so its formula is repeated here
    y = norm.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps))
    assert torch.allclose(y, norm(x), atol=1e-6)
    (dx,) = grads(y, dy, x)
    return dict(rows=rows, cols=hidden, eps=eps, x=flat(x), gain=flat(norm.weight), y=flat(y), dy=flat(dy), dx=dx)


def rope(heads=2, half=3, positions=(0, 1, 2, 0, 9)):
    freq = 10000.0 ** (-torch.arange(half) / half)
    angles = torch.tensor(positions)[:, None] * freq
    angles = torch.cat([angles, angles], -1)[None]
    scale = 1.25
    x, dy = normal(1, len(positions), heads, 2 * half), normal(1, len(positions), heads, 2 * half)
    y, _ = apply_rotary_pos_emb(x, x, angles.cos() * scale, angles.sin() * scale, unsqueeze_dim=2)
    (dx,) = grads(y, dy, x)
    return dict(rows=len(positions), cols=heads * 2 * half, positions=positions, freq=flat(freq), scale=scale,
                x=flat(x), y=flat(y), dy=flat(dy), dx=dx)


def swiglu(rows=3, cols=5):
    gate, up, dy = normal(rows, cols), normal(rows, cols), normal(rows, cols)
    y = F.silu(gate) * up
    dgate, dup = grads(y, dy, gate, up)
    return dict(rows=rows, cols=cols, gate=flat(gate), up=flat(up), y=flat(y), dy=flat(dy), dgate=dgate, dup=dup)


def attention(heads=4, kv_heads=2, dim=3, sequences=((3, 3), (2, 5), (1, 1))):
    """Each sequence of (queries, keys) alone, with a causal mask aligned at its end."""
    rows, kv_rows = sum(q for q, _ in sequences), sum(k for _, k in sequences)
    q, k, v = normal(rows, heads * dim), normal(kv_rows, kv_heads * dim), normal(kv_rows, kv_heads * dim)
    dy = normal(rows, heads * dim)
    y, q0, k0 = [], 0, 0
    for queries, keys in sequences:
        split = lambda x, start, n: x[start:start + n].view(n, -1, dim).transpose(0, 1)
        mask = torch.ones(queries, keys, dtype=torch.bool).tril(keys - queries)
        out = F.scaled_dot_product_attention(split(q, q0, queries), split(k, k0, keys), split(v, k0, keys),
                                             attn_mask=mask, enable_gqa=True)
        y.append(out.transpose(0, 1).reshape(queries, heads * dim))
        q0, k0 = q0 + queries, k0 + keys
    y = torch.cat(y)
    dq, dk, dv = grads(y, dy, q, k, v)
    return dict(heads=heads, kvHeads=kv_heads, headDim=dim, queries=[s[0] for s in sequences],
                keys=[s[1] for s in sequences], q=flat(q), k=flat(k), v=flat(v), y=flat(y), dy=flat(dy),
                dq=dq, dk=dk, dv=dv)


def cross_entropy(targets=(2, -100, 0, 6), vocab=7, grad_scale=0.125):
    logits = normal(len(targets), vocab)
    loss = F.cross_entropy(logits, torch.tensor(targets), reduction="sum")
    (grad,) = grads(loss * grad_scale, torch.tensor(1.0), logits)
    return dict(rows=len(targets), cols=vocab, targets=targets, gradScale=grad_scale, logits=flat(logits),
                loss=loss.item(), grad=grad)


def adamw(n=7, steps=10, clip=0.5):
    """clip scales the gradients, as global-norm clipping does."""
    kwargs = dict(lr=0.125, betas=(0.9, 0.99), eps=1e-4, weight_decay=0.25)
    param = normal(n)
    optimizer = torch.optim.AdamW([param], **kwargs)
    start, gradients, params = flat(param), [], []
    for _ in range(steps):
        grad = normal(n).detach()
        param.grad = grad * clip
        optimizer.step()
        gradients.append(flat(grad))
        params.append(flat(param))
    state = optimizer.state[param]
    return dict(lr=kwargs["lr"], beta1=0.9, beta2=0.99, eps=kwargs["eps"], weightDecay=kwargs["weight_decay"],
                gradScale=clip, start=start, gradients=gradients, params=params,
                m=flat(state["exp_avg"]), v=flat(state["exp_avg_sq"]))


linears = [linear(torch.float32, "F32"), linear(torch.bfloat16, "BF16"), linear(torch.float16, "F16")]
golden = dict(torch=torch.__version__, transformers=transformers.__version__, linear=linears, matMul=matmul(), rmsNorm=rmsnorm(), rope=rope(),
              swiGLU=swiglu(), attention=attention(), crossEntropy=cross_entropy(), adamW=adamw())
pathlib.Path(__file__).with_name("torch.json").write_text(json.dumps(golden, indent=None) + "\n")
