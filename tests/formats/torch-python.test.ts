// Files that the PyTorch at hand writes, in one process; skipped and counted where there is none. tests/formats/torch.test.ts has fixtures.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type StoredTensor, toFloat32 } from '../../src/formats/safetensors';
import { loadTorch } from '../../src/index.node.js';
import { pythonWith } from '../python';

const python = pythonWith('torch');
const tested = python ? test : test.skip;
const folder = mkdtempSync(join(tmpdir(), 'dawnfield-pt-'));
test.after(() => rmSync(folder, { recursive: true }));

/** Files by name: `read` prints what each holds. */
const WRITE = `
import argparse, collections, json, sys, zipfile, torch
from torch import nn
x, base = torch.arange(12.).reshape(3, 4), torch.arange(20.)
model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Linear(3, 3))
model[2].weight = model[0].weight
optimizer = torch.optim.AdamW(model.parameters())
model(torch.randn(4, 3)).sum().backward()
optimizer.step()
read = {
    "types": {"bf": x.bfloat16(), "h": x.half(), "d": x.double(), "i": torch.arange(3), "b": torch.tensor([True, False]), "s": torch.tensor(3.5),
              "e": torch.empty(0, 3), "u": torch.tensor([65535], dtype=torch.uint16)},
    "views": {"t": x.t(), "v": base[2:10:2], "row": x[1], "one": x[1, 2], "wide": torch.ones(1).expand(5), "p": torch.zeros(2, 2, 2).permute(2, 0, 1)[1]},
    "tied": model.state_dict(),
    "half": model.half().state_dict(),
    "parameters": {"a": nn.Parameter(x), "b": nn.Parameter(x, requires_grad=False)},
    "nested": collections.OrderedDict(model=collections.OrderedDict([("a.w", x)]), ema={"n": {"deep": x + 1}}),
    "checkpoint": {"epoch": 3, "state_dict": {"w": x}, "optimizer": optimizer.state_dict(), "args": {"f": [True, None, (1, 2)], "s": frozenset([1])}},
}
refused = {
    "model": model, "namespace": {"args": argparse.Namespace(lr=1), "w": x}, "sparse": {"w": x.to_sparse()}, "complex": {"w": x + 1j},
}
for name, value in {**read, **refused}.items():
    torch.save(value, f"{name}.pt")
torch.save(read["views"], "legacy.pt", _use_new_zipfile_serialization=False)
torch.save(read["types"], "protocol.pt", pickle_protocol=4)
torch.jit.save(torch.jit.script(nn.Linear(2, 2)), "script.pt")
with zipfile.ZipFile("views.pt") as source, zipfile.ZipFile("big.pt", "w") as big:
    for name in source.namelist():
        big.writestr(name, b"big" if name.endswith("byteorder") else source.read(name))
def plain(value):
    value = value.get("state_dict", value.get("model", value))
    return {name: [list(t.shape), t.double().flatten().tolist()] for name, t in value.items()}
print(json.dumps({**{name: plain(value) for name, value in read.items()}, "legacy": plain(read["views"]), "protocol": plain(read["types"])}))
`;

const numbers = (x: StoredTensor) =>
  /^[IUB]/.test(x.dtype) && x.dtype !== 'BF16' ? Array.from(x.data, Number) : [...toFloat32(x)];

tested('tensors of every kind, views, tied weights, checkpoints; what asks for more is named', () => {
  const { stdout, stderr, status } = spawnSync(python!, ['-c', WRITE], { cwd: folder, encoding: 'utf8' });
  assert.is(status, 0, stderr);
  const expected = JSON.parse(stdout) as Record<string, Record<string, [number[], number[]]>>;
  for (const [name, tensors] of Object.entries(expected)) {
    const found = loadTorch(join(folder, `${name}.pt`)).tensors;
    assert.equal([...found.keys()].sort(), Object.keys(tensors).sort(), name);
    for (const [key, [shape, values]] of Object.entries(tensors)) {
      assert.equal([...found.get(key)!.shape], shape, `${name}: ${key}`);
      assert.equal(numbers(found.get(key)!), values, `${name}: ${key}`);
    }
  }
  const refused: Record<string, RegExp> = {
    model: /model\.pt: it holds a torch\.nn\.modules\.container\.Sequential.*Save model\.state_dict\(\)/,
    namespace: /it holds a argparse\.Namespace/,
    sparse: /it holds a torch\._utils\._rebuild_sparse_tensor/,
    complex: /it holds a torch\.ComplexFloatStorage/,
    script: /it is a TorchScript program/,
    big: /its numbers are stored big-endian/,
  };
  for (const [name, message] of Object.entries(refused))
    assert.throws(() => loadTorch(join(folder, `${name}.pt`)), message);
});

test.run();
