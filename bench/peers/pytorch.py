"""PyTorch on a case of the comparison: what `npm run bench -- --pytorch PYTHON` starts.

    python pytorch.py CASE BATCH REPEAT

CASE is the JSON of a Case in bench/cases.ts; a net's walk is that of `forward` in bench/net.ts. Prints one line of JSON. On CUDA where there is
one, else on the CPU. Kernels are called eagerly, as bench/dawnfield.ts does. Training steps run eager and compiled, in float32 without TF32, as
WebGPU has it; then with what PyTorch's users may do besides: channels-last, CUDA graphs (`reduce-overhead`) and autocast (float16 on CUDA,
bfloat16 on a CPU), so that the peer is not held back.
"""

import json
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F


def conv(inputs, outputs, kernel, stride=1, groups=1):
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)


def norm_relu(channels):
    return nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU())


class Branch(nn.Sequential):
    def __init__(self, net, inputs, middle, outputs, stride=1):
        if net.get("bottleneck"):
            layers = [norm_relu(inputs), conv(inputs, middle, 1), norm_relu(middle)]
            layers += [conv(middle, middle, 3, stride, net.get("groups", 1)), norm_relu(middle), conv(middle, outputs, 1)]
        else:
            layers = [norm_relu(inputs), conv(inputs, middle, 3, stride), norm_relu(middle), conv(middle, outputs, 3)]
        super().__init__(*layers)


class Stage(nn.Module):
    """A transition where the shape changes, then blocks of one shape; with particles they have times."""

    def __init__(self, net, inputs, middle, outputs, stride):
        super().__init__()
        changes = stride > 1 or inputs != outputs
        self.carry = nn.Sequential(norm_relu(inputs), conv(inputs, outputs, 1, stride)) if changes else None
        self.first = Branch(net, inputs, middle, outputs, stride) if changes else None
        self.blocks = nn.ModuleList(Branch(net, outputs, middle, outputs) for _ in range(net["blocks"] - changes))
        ordinal = torch.arange(1.0, len(self.blocks) + 1)
        self.times = nn.Parameter(ordinal) if net.get("particles") and len(self.blocks) else None

    def forward(self, x):
        if self.first is not None:
            x = self.carry(x) + self.first(x)
        steps = None if self.times is None else torch.diff(self.times, prepend=self.times.new_zeros(1))
        for i, block in enumerate(self.blocks):
            x = x + block(x) if steps is None else x + steps[i] * block(x)
        return x


class Net(nn.Sequential):
    def __init__(self, net):
        inner = net.get("inner", [16, 32, 64])
        outer = net.get("outer", inner)
        inputs = [16, outer[0], outer[1]]
        stages = [Stage(net, inputs[s], inner[s], outer[s], 2 if s else 1) for s in range(3)]
        head = [norm_relu(outer[2]), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(outer[2], 10)]
        super().__init__(conv(3, 16, 3), *stages, *head)


class LanguageModel(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.embedding = nn.Embedding(net["tokens"], net["hidden"])
        self.lstm = nn.LSTM(net["hidden"], net["hidden"], net["layers"])
        self.output = nn.Linear(net["hidden"], net["tokens"])

    def forward(self, x):
        return self.output(self.lstm(self.embedding(x))[0]).flatten(0, 1)


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x):
        n, t, c = x.shape
        q, k, v = (y.view(n, t, self.heads, -1).transpose(1, 2) for y in self.qkv(self.norms[0](x)).split(c, 2))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).reshape(n, t, c))
        return x + self.mlp(self.norms[1](x))


class Decoder(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.tokens, self.places = nn.Embedding(net["tokens"], net["width"]), nn.Embedding(net["times"], net["width"])
        self.blocks = nn.Sequential(*[Block(net["width"], net["heads"]) for _ in range(net["layers"])], nn.LayerNorm(net["width"]))
        nn.init.normal_(self.tokens.weight, std=0.02)

    def forward(self, x):
        y = self.blocks(self.tokens(x) + self.places.weight)
        return F.linear(y, self.tokens.weight).flatten(0, 1)


def rates(net, batch, repeat, device, mode=None, channels_last=False, autocast=False, tf32=False):
    """Images or tokens per second of `repeat` samples of several steps each, sorted. `mode` is torch.compile's; None for eager."""
    torch.manual_seed(0)
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = tf32
    layout = torch.channels_last if channels_last else torch.contiguous_format
    if "heads" in net:
        model = Decoder(net).to(device)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
        inputs = torch.randint(net["tokens"], (batch, net["times"]), device=device)
        labels = torch.randint(net["tokens"], (batch * net["times"],), device=device)
    elif "tokens" in net:
        model = LanguageModel(net).to(device)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
        inputs = torch.randint(net["tokens"], (net["times"], batch), device=device)
        labels = torch.randint(net["tokens"], (net["times"] * batch,), device=device)
    else:
        model = Net(net).to(device, memory_format=layout)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
        inputs = torch.randn(batch, 3, 32, 32, device=device).to(memory_format=layout)
        labels = torch.randint(10, (batch,), device=device)
    forward = torch.compile(model, mode=mode) if mode else model
    half = torch.float16 if device == "cuda" else torch.bfloat16
    scaler = torch.amp.GradScaler(device, enabled=autocast and half == torch.float16)

    def step():
        optimizer.zero_grad()
        with torch.autocast(device, half, enabled=autocast):
            loss = F.cross_entropy(forward(inputs), labels)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        return loss

    def seconds(steps):
        begin = time.perf_counter()
        for _ in range(steps):
            loss = step()
        loss.item()
        return time.perf_counter() - begin

    seconds(3)
    steps = max(1, int(0.5 / seconds(1)))
    return sorted(labels.numel() * steps / seconds(steps) for _ in range(repeat))


def kernels(case, batch, device):
    """What a case of single operations repeats: the part, the work of one, its unit, and the function."""

    dtype = torch.float16 if case.get("half") else torch.float32

    def tensor(*shape):
        return torch.randn(*shape, device=device).to(dtype)

    def differentiated(f, leaves, gradient):
        leaves = [x.requires_grad_() for x in leaves]

        def run():
            f(*leaves).backward(gradient)
            for x in leaves:
                x.grad = None

        return run

    kind = case["kind"]
    if kind == "matmul":
        n = case["n"]
        a, b = tensor(n, n), tensor(n, n)
        return [("", 2 * n**3 / 1e9, "GFLOP/s", lambda: a @ b)]
    if kind == "conv":
        c, size = case["channels"], case["size"]
        x, dy, weight = tensor(batch, c, size, size), tensor(batch, c, size, size), tensor(c, c, 3, 3)
        work = 2 * batch * c**2 * 9 * size**2 / 1e9

        def gradient(of):
            mask = [of == "inputGradient", of == "weightGradient", False]
            return lambda: torch.ops.aten.convolution_backward(dy, x, weight, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1, mask)

        forward = [("forward", work, "GFLOP/s", lambda: F.conv2d(x, weight, padding=1))]
        return forward + [(of, work, "GFLOP/s", gradient(of)) for of in ("inputGradient", "weightGradient")]
    if kind == "batchnorm":
        shape = (batch, case["channels"], case["size"], case["size"])
        leaves = [tensor(*shape), tensor(shape[1]), tensor(shape[1])]
        run = differentiated(lambda x, w, b: F.batch_norm(x, None, None, w, b, True), leaves, tensor(*shape))
        return [("", 8 * 4 * leaves[0].numel() / 1e9, "GB/s", run)]
    if kind == "layernorm":
        width = case["width"]
        leaves = [tensor(case["rows"], width), tensor(width), tensor(width)]
        run = differentiated(lambda x, w, b: F.layer_norm(x, [width], w, b), leaves, tensor(case["rows"], width))
        return [("", 8 * 4 * leaves[0].numel() / 1e9, "GB/s", run)]
    if kind == "attention":
        heads, length, width = case["heads"], case["length"], case["width"]
        q, k, v, g = (tensor(1, heads, length, width) for _ in range(4))
        attend = lambda *qkv: F.scaled_dot_product_attention(*qkv, is_causal=True)
        work = 2 * heads * length**2 * width / 1e9
        plain, leaves = [x.clone() for x in (q, k, v)], [q, k, v]
        return [
            ("forward", work, "GFLOP/s", lambda: attend(*plain)),
            ("forward and gradient", work, "GFLOP/s", differentiated(attend, leaves, g)),
        ]
    parts = []
    for part, mode in (("eager", None), ("torch.compile", "default")):
        model = Net(case["net"]).to(device).eval()
        images = tensor(1, 3, 32, 32)
        parts.append((part, 1, "images/s", torch.no_grad()(lambda f=torch.compile(model, mode=mode) if mode else model: f(images))))
    return parts


def kernel_rates(case, batch, repeat, device):
    findings = []
    for part, work, unit, run in kernels(case, batch, device):
        wait = torch.cuda.synchronize if device == "cuda" else lambda: None

        def seconds(times):
            begin = time.perf_counter()
            for _ in range(times):
                run()
                if unit == "images/s":
                    wait()  # one image is asked for when the one before is there
            wait()
            return time.perf_counter() - begin

        try:
            seconds(3)
            times = max(1, int(0.2 / seconds(1)))
            found = sorted(work * times / seconds(times) for _ in range(repeat))
            numbers = {"value": found[len(found) // 2], "least": found[0], "most": found[-1], "samples": repeat}
        except Exception as error:  # torch.compile needs a C++ compiler, which may be absent
            numbers = {"value": None, "error": str(error).strip().splitlines()[0]}
        findings.append({"part": part, "unit": unit, **numbers})
    return findings


def host_times(chain, repeat, device):
    """Microseconds of one tiny operation, without and with its gradient: the first thousand, then the median of samples of a thousand."""
    x = torch.randn(chain["elements"], device=device)
    leaf = torch.randn(chain["elements"], device=device, requires_grad=True)
    gradient = torch.randn(chain["elements"], device=device)

    def unrecorded(times):
        with torch.no_grad():
            for _ in range(times):
                x * 1.5

    def differentiated(times):
        for _ in range(times // chain["operations"]):
            y = leaf
            for _ in range(chain["operations"]):
                y = y * 1.5
            y.backward(gradient)
            leaf.grad = None

    def microseconds(ask):
        begin = time.perf_counter()
        ask(1000)
        asked = time.perf_counter() - begin
        if device == "cuda":
            torch.cuda.synchronize()
        return 1e3 * asked

    findings = []
    for part, ask in (("unrecorded", unrecorded), ("recorded, with its gradient", differentiated)):
        findings.append({"part": f"{part}, the first", "unit": "µs", "value": microseconds(ask)})
        for _ in range(10):
            microseconds(ask)
        found = sorted(microseconds(ask) for _ in range(repeat))
        middle = found[len(found) // 2]
        findings.append({"part": f"{part}, warm", "unit": "µs", "value": middle, "least": found[0], "most": found[-1], "samples": repeat})
    return findings


def main():
    case, batch, repeat = json.loads(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.backends.cudnn.benchmark = True
    parts = {
        "eager": {},
        "torch.compile": {"mode": "default"},
        "eager, channels-last": {"channels_last": True},
        "eager, channels-last, autocast": {"channels_last": True, "autocast": True},
        "torch.compile, channels-last, autocast": {"mode": "default", "channels_last": True, "autocast": True},
    }
    if device == "cuda":
        parts["torch.compile, CUDA graphs"] = {"mode": "reduce-overhead"}
        parts["torch.compile, CUDA graphs, TF32, channels-last"] = {"mode": "reduce-overhead", "channels_last": True, "tf32": True}
    net = case["net"] if case["kind"] == "train" else case.get("model")
    if net and "tokens" in net:
        parts = {part: how for part, how in parts.items() if "channels_last" not in how}
    findings = []
    if case["kind"] == "eager-op":
        findings = host_times(case, repeat, device)
    elif not net:
        findings = kernel_rates(case, batch, repeat, device)
    for part, how in () if findings else parts.items():
        torch.compiler.reset()
        try:
            found = rates(net, batch, repeat, device, **how)
            numbers = {"value": found[len(found) // 2], "least": found[0], "most": found[-1], "samples": repeat}
        except Exception as error:  # torch.compile needs a C++ compiler, which may be absent
            numbers = {"value": None, "error": str(error).strip().splitlines()[0]}
        findings.append({"part": part, "unit": "tokens/s" if "tokens" in net else "images/s", **numbers})
        print(json.dumps(findings[-1]), file=sys.stderr, flush=True)  # what was found is known if the rest takes too long
    adapter = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    print(json.dumps({"adapter": adapter, "driver": f"torch {torch.__version__}", "findings": findings}))


main()
