// Models as Python files of PyTorch. What needs Python with torch (PYTHON, or python3) is skipped where there is none; one process looks at all models.
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { LetterModel } from '../../examples/ported/lstm-language-model';
import { parseSafetensors, type StoredTensor, serializeSafetensors } from '../../src/formats/safetensors';
import { models, nn, noGrad, ones, type Tensor, tensor, toStored } from '../../src/index.node.js';
import { exportTorch, type OwnClasses } from '../../src/torch';
import { pythonWith } from '../python';
import { useGpu } from '../util';

useGpu();
const base = mkdtempSync(join(tmpdir(), 'dawnfield-models-'));
test.after(() => rmSync(base, { recursive: true }));
const python = pythonWith('torch', 'numpy');
const tested = python ? test : test.skip;

const waves = (shape: readonly number[], seed = 1): Tensor =>
  tensor(
    Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => Math.sin(12.9898 * i + 78.233 * seed)),
    { shape },
  );
const tokens = (shape: readonly number[], most: number): Tensor =>
  tensor(
    Int32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => (i * 7 + 3) % most),
    { shape },
  );

/** A module of one's own with what the framework's layers have not: parameters, a state, numbers, modules in lists and dictionaries, tied weights. */
class Own extends nn.Module {
  readonly scale = new nn.Parameter(waves([6]));
  readonly shift = new nn.State(waves([6], 2));
  readonly slope = 0.5;
  readonly name = 'own';
  readonly list: readonly nn.Linear[] = [new nn.Linear(6, 6), new nn.Linear(6, 6, { bias: false })];
  readonly named = { gate: new nn.Linear(6, 6) };
  readonly extra: nn.Module | null;

  constructor(extra: nn.Module | null) {
    super();
    this.extra = extra;
  }

  override forward(x: Tensor): Tensor {
    let y = x.mul(this.scale).add(this.shift);
    for (const layer of this.list) y = layer.forward(y).mul(this.slope);
    y = y.mul(this.named.gate.forward(x).sigmoid());
    return this.extra ? this.extra.forward(y) : y;
  }
}
const OWN = `
  def forward(self, x):
      y = x * self.scale + self.shift
      for layer in self.list:
          y = layer(y) * self.slope
      y = y * torch.sigmoid(self.named["gate"](x))
      return y if self.extra is None else self.extra(y)
`;

const LETTERS = `
def forward(self, letters, state=None):
    y, state = self.lstm(self.embedding(letters), state)
    return self.output(y), state
`;

const small = { blocks: 1, stem: 4, inner: [4, 8, 8], outer: [4, 8, 8] } as const;
const images =
  (size = 16) =>
  () => [waves([2, 3, size, size])];
const vit = { imageSize: 8, patchSize: 4, numLayers: 2, numHeads: 2, hiddenDim: 8, mlpDim: 16, numClasses: 5 };

type Case = readonly [make: () => nn.AnyModule, inputs: () => Tensor[], classes?: OwnClasses];
const cases: Readonly<Record<string, Case>> = {
  UNet: [() => new models.UNet({ channels: [4, 8, 8], outChannels: 2 }), images()],
  GPT: [
    () => new models.GPT({ vocabSize: 11, blockSize: 8, nLayer: 2, nHead: 2, nEmbd: 8, approximate: 'tanh' }),
    () => [tokens([2, 6], 11)],
  ],
  'GPT without biases': [
    () => new models.GPT({ vocabSize: 11, blockSize: 8, nLayer: 1, nHead: 2, nEmbd: 8, bias: false }),
    () => [tokens([2, 8], 11)],
  ],
  VisionTransformer: [() => new models.VisionTransformer(vit), images(8)],
  ImageResNet: [
    () => new models.ImageResNet({ block: 'basic', layers: [2, 1, 1, 1], width: 4, numClasses: 5 }),
    images(32),
  ],
  'ImageResNet with bottlenecks': [
    () =>
      new models.ImageResNet({
        ...{ block: 'bottleneck', layers: [1, 2, 1, 1], width: 16, groups: 2, widthPerGroup: 8, numClasses: 5 },
      }),
    images(32),
  ],
  PreActResNet: [() => new models.PreActResNet(small), images()],
  PostActResNet: [() => new models.PostActResNet({ ...small, shortcut: 'B-own-bn' }), images()],
  MeanFieldResNet: [() => new models.MeanFieldResNet({ ...small, blocks: 2 }), images()],
  FeatureFlowResNet: [() => new models.FeatureFlowResNet({ blocks: 1, width: 0.25 }), images()],
  'a language model with an LSTM': [
    () => new LetterModel(6, 8, 2),
    () => [tokens([5, 2], 20)],
    [[LetterModel, LETTERS]],
  ],
  'modules of one kind with and without a part': [
    () => new nn.Sequential(new Own(null), new Own(new nn.Sequential(new nn.Linear(6, 6), new nn.Tanh()))),
    () => [waves([3, 6])],
    [[Own, OWN]],
  ],
  'tied weights': [
    () => {
      const model = new nn.Sequential(new nn.Linear(6, 6), new nn.ReLU(), new nn.Linear(6, 6));
      (model.at(2) as unknown as { weight: nn.Parameter }).weight = (model.at(0) as nn.Linear).weight;
      return model;
    },
    () => [waves([3, 6])],
  ],
  convolutions: [
    () =>
      new nn.Sequential(
        new nn.Conv2d(3, 4, 3, { padding: 1, stride: 2 }),
        new nn.BatchNorm2d(4, { activation: 'relu', eps: 1e-3 }),
        new nn.Conv2d(4, 4, [3, 1], { padding: [1, 0], groups: 2, bias: false }),
        new nn.GroupNorm(2, 4),
        new nn.LeakyReLU(0.2),
        new nn.Conv2d(4, 4, 3, { padding: 'same', dilation: 2 }),
        new nn.InstanceNorm2d(4, { affine: true }),
        new nn.ConvTranspose2d(4, 6, 3, { stride: 2, padding: 1, outputPadding: 1 }),
        new nn.MaxPool2d(3, { stride: 2, padding: 1 }),
        new nn.Conv2d(6, 6, 3, { padding: 1, paddingMode: 'reflect' }),
        new nn.GELU('tanh'),
        new nn.Upsample({ scaleFactor: 2, mode: 'bilinear' }),
        new nn.AvgPool2d(2),
        new nn.AdaptiveAvgPool2d([2, 2]),
        new nn.Flatten(),
        new nn.LayerNorm(24),
        new nn.Linear(24, 3),
        new nn.Softmax(1),
      ),
    images(),
  ],
  'a bidirectional GRU': [
    () => new nn.GRU(4, 5, { numLayers: 2, bidirectional: true, batchFirst: true }),
    () => [waves([2, 5, 4])],
  ],
  'an RNN with ReLU': [() => new nn.RNN(4, 5, { nonlinearity: 'relu', bias: false }), () => [waves([5, 2, 4])]],
  'an LSTM with projection': [() => new nn.LSTM(4, 5, { projSize: 3 }), () => [waves([5, 2, 4])]],
  attention: [
    () => new nn.MultiheadAttention(8, 2, { batchFirst: true, addBiasKv: true }),
    () => [waves([2, 5, 8]), waves([2, 3, 8], 2), waves([2, 3, 8], 3)],
  ],
  'a layer of a transformer': [
    () => {
      const layer = new nn.TransformerEncoderLayer(8, 2, { dimFeedforward: 16, normFirst: true, activation: 'gelu' });
      return new nn.Sequential(layer as never);
    },
    () => [waves([5, 2, 8])],
  ],
  lines: [
    () =>
      new nn.Sequential(
        new nn.ZeroPad1d([1, 2]),
        new nn.Conv1d(4, 4, 3),
        new nn.BatchNorm1d(4),
        new nn.PReLU(4),
        new nn.MaxPool1d(2),
        new nn.RMSNorm(5),
        new nn.Softplus(2),
        new nn.Hardtanh(-1, 0.7),
        new nn.ELU(0.5),
        new nn.GLU(1),
        new nn.Unflatten(1, [1, 2]),
        new nn.Dropout(0.3),
      ),
    () => [waves([2, 4, 10])],
  ],
  volumes: [
    () => new nn.Sequential(new nn.Conv3d(2, 2, 2), new nn.BatchNorm3d(2), new nn.AvgPool3d(2), new nn.SiLU()),
    () => [waves([2, 2, 5, 5, 5])],
  ],
  tables: [
    () => new nn.Sequential(new nn.Embedding(9, 4, { paddingIdx: 2 }) as never, new nn.Linear(4, 3)),
    () => [tokens([2, 5], 9)],
  ],
};

const tensorsOf = (y: unknown): Tensor[] =>
  Array.isArray(y) ? y.flatMap(tensorsOf) : y === null || y === undefined ? [] : [y as Tensor];

/** The folder of a model, with inputs, what comes out, and the gradients of a sum of it. */
async function written(name: string): Promise<string> {
  const [make, given, classes] = cases[name]!;
  const [model, inputs] = [make(), given()];
  noGrad(() => {
    for (const [i, x] of [...model.parameters()].entries()) x.add_(waves(x.shape, i).mul(0.05));
    for (const [i, x] of [...model.buffers()].entries())
      if (/^running/.test(x.dtype === 'float32' && x.ndim === 1 ? 'running' : ''))
        x.add_(waves(x.shape, i).square().mul(0.2));
  });
  model.eval();
  const folder = join(base, name.replaceAll(' ', '-'));
  mkdirSync(folder);
  for (const [file, content] of Object.entries(await exportTorch(model, { classes })))
    writeFileSync(join(folder, file), content);
  const outputs = tensorsOf(model.forward(...inputs));
  const sums = outputs.map((y, i) => y.mul(waves(y.shape, i)).sum());
  sums.reduce((a, b) => a.add(b)).backward();
  const stored: Record<string, StoredTensor> = {};
  for (const [i, x] of inputs.entries()) stored[`input.${i}`] = await toStored(x);
  for (const [i, y] of outputs.entries()) {
    stored[`output.${i}`] = await toStored(y);
    stored[`factor.${i}`] = await toStored(waves(y.shape, i));
  }
  for (const [key, x] of model.namedParameters()) if (x.grad) stored[`gradient.${key}`] = await toStored(x.grad);
  writeFileSync(join(folder, 'expected.safetensors'), serializeSafetensors(stored));
  return folder;
}

const COMPARE = `
import importlib.util, json, os, sys, torch
torch.set_num_threads(1)
def load(folder, name):
    spec = importlib.util.spec_from_file_location(name, os.path.join(folder, name + ".py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
def flat(y):
    return [y] if torch.is_tensor(y) else [t for part in y if part is not None for t in flat(part)]
def apart(a, b):
    return ((a - b).abs().max() / max(1, b.abs().max())).item() if a.shape == b.shape else str((a.shape, b.shape))
for folder in sys.argv[1:]:
    try:
        read = load(folder, "tensors").read_tensors
        model = load(folder, "model").make_model()
        model.load_state_dict(read(os.path.join(folder, "weights.safetensors"))[0])
        model.eval()
        expected, _ = read(os.path.join(folder, "expected.safetensors"))
        pick = lambda kind: [expected[f"{kind}.{i}"] for i in range(9) if f"{kind}.{i}" in expected]
        outputs = flat(model(*(x.long() if x.dtype == torch.int32 else x for x in pick("input"))))
        wanted = pick("output")
        assert len(outputs) == len(wanted), (len(outputs), len(wanted))
        found = {f"output {i}": apart(y, w) for i, (y, w) in enumerate(zip(outputs, wanted))}
        sum((y * f).sum() for y, f in zip(outputs, pick("factor"))).backward()
        for name, x in model.named_parameters():
            if f"gradient.{name}" in expected:
                found[name] = apart(x.grad, expected[f"gradient.{name}"])
    except Exception as error:
        found = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(found))
`;

const folders = new Map<string, string>();
for (const name of Object.keys(cases))
  test(`${name}: files`, async () => {
    const folder = await written(name);
    folders.set(name, folder);
    assert.match(readFileSync(join(folder, 'model.py'), 'utf8'), /^def make_model\(\):$/m);
    assert.ok(parseSafetensors(readFileSync(join(folder, 'weights.safetensors'))).tensors.size > 0);
  });

let found: Map<string, Record<string, number | string>> | null = null;
/** How far PyTorch's results are from ours, of all models at once. */
function compared(name: string): Record<string, number | string> {
  if (!found) {
    const { stdout, stderr } = spawnSync(python!, ['-c', COMPARE, ...folders.values()], { encoding: 'utf8' });
    const lines = stdout.trim().split('\n');
    assert.is(lines.length, folders.size, stderr);
    found = new Map([...folders.keys()].map((key, i) => [key, JSON.parse(lines[i]!)]));
  }
  return found.get(name)!;
}
for (const name of Object.keys(cases))
  tested(`${name}: the same in PyTorch`, () => {
    const entries = Object.entries(compared(name));
    assert.ok(entries.length > 1, JSON.stringify(entries));
    for (const [what, apart] of entries)
      assert.ok(typeof apart === 'number' && apart <= (what.startsWith('output') ? 1e-5 : 1e-4), `${what}: ${apart}`);
  });

test('what has no form in PyTorch is named, with what to do', async () => {
  class Mine extends nn.Module {
    override forward(x: Tensor): Tensor {
      return x;
    }
  }
  const refused = async (model: nn.AnyModule, pattern: RegExp, classes?: OwnClasses) =>
    assert.match(await exportTorch(model, { classes }).then(String, (error: Error) => error.message), pattern);
  await refused(
    new nn.Sequential(new nn.Linear(2, 2), new Mine()),
    /exportTorch: 1 is a Mine, which has no form in PyTorch here.*classes: \[\[Mine, 'def forward/,
  );
  await refused(new Mine(), /no method: begin with 'def forward/, [[Mine, 'return x']]);
  await refused(new nn.Conv2d(1, 1, 3, { padding: [1, 0, 1, 1] }), /another padding before than after/);
  await refused(ones([1]) as never, /the first argument is no module/);
  const tuned = new models.ImageResNet({ block: 'basic', layers: [1, 1, 1, 1], width: 2 });
  (tuned as { fc: nn.Module }).fc = new nn.Sequential(new nn.Linear(16, 2));
  await refused(tuned, /fc is a Sequential, in the place of another layer/);
});

test.run();
