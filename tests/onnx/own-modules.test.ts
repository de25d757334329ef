// Modules as people write them, with masks, states, windows, positions and products of their own, each at three batch sizes, some with other free sizes.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { F, nn, ones, type Tensor, tensor } from '../../src/index.node.js';
import { exportOnnx, type OnnxOptions } from '../../src/onnx';
import { halfTest } from '../ops/halves';
import { useGpu } from '../util';
import { checkerTest, distance, hasRuntime, sameInRuntime, waves, withRuntime } from './runtime';

const withHalf = await halfTest();
useGpu();

const tokens = (shape: readonly number[], most: number) =>
  tensor(
    Int32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => (i * 7 + 3) % most),
    { shape },
  );

abstract class Own extends nn.Module<Tensor, Tensor | Tensor[]> {}

class Masked extends Own {
  attention = new nn.MultiheadAttention(8, 2, { batchFirst: true });
  embedding = new nn.Embedding(11, 8, { paddingIdx: 0 });

  forward(t: Tensor): Tensor {
    const padding = t.eq(0);
    const x = this.embedding.forward(t);
    const attnMask = F.triu(ones([t.shape[1]!, t.shape[1]!]), { diagonal: 1 }).to('bool');
    const call = { keyPaddingMask: padding, isCausal: true, needWeights: false, attnMask };
    const [y] = this.attention.forward(x, x, x, call);
    return F.maskedFill(y, padding.unsqueeze(-1), 0).sum(1);
  }
}

class Tagger extends Own {
  embedding = new nn.Embedding(11, 6);
  gru = new nn.GRU(6, 5, { bidirectional: true, batchFirst: true, numLayers: 2 });
  output = new nn.Linear(10, 3);

  forward(t: Tensor): Tensor[] {
    const [y, h] = this.gru.forward(this.embedding.forward(t));
    return [this.output.forward(y).logSoftmax(-1), h.mean(0), y.max(1), y.argmax(1)];
  }
}

class Decoder extends Own {
  up = new nn.ConvTranspose2d(4, 6, 3, { stride: 2, padding: 1, outputPadding: 1 });
  norm = new nn.GroupNorm(3, 6);
  conv = new nn.Conv2d(6, 4, 3, { padding: 2, paddingMode: 'circular', dilation: 2 });

  forward(x: Tensor): Tensor {
    const y = this.conv.forward(F.silu(this.norm.forward(this.up.forward(x))));
    const size = [9, 7] as const;
    return F.interpolate(y, { size, mode: 'bicubic', alignCorners: true }).add(
      F.interpolate(x, { size, mode: 'nearest-exact' }),
    );
  }
}

class Products extends Own {
  weight = new nn.Parameter(waves([3, 4, 5]));

  forward(x: Tensor): Tensor[] {
    const y = F.einsum('bij,kjl->bkil', x, this.weight);
    return [F.einsum('bkil->bk', y), F.einsum('bkil,bkil->bil', y, y.flip(1)), F.einsum('...i,...i->...', x, x)];
  }
}

class Indexer extends Own {
  table = new nn.Parameter(waves([7, 6]));

  forward(t: Tensor): Tensor[] {
    const y = this.table.index([t]);
    const [n = 1] = t.shape;
    return [
      y.index([':', tensor(Int32Array.of(0, -1)), ':']),
      y.select(1, -1),
      y.roll(1, { dims: 1 }).slice([null, { start: 2, step: -1 }]),
      y.gather(2, t.unsqueeze(-1)),
      y.reshape([n, -1]).narrow(1, 2, 3),
      y.topk(2).values,
      F.oneHot(t, 7).sum(1),
    ];
  }
}

class Gated extends Own {
  down = new nn.Linear(4, 2);
  up = new nn.Linear(2, 4);
  instance = new nn.InstanceNorm2d(4, { affine: true });
  layer = new nn.LayerNorm([4, 6, 6]);

  forward(x: Tensor): Tensor {
    const pooled = F.adaptiveAvgPool2d(x, 1).flatten(1);
    const gate = this.up.forward(this.down.forward(pooled).relu()).sigmoid().unsqueeze(-1).unsqueeze(-1);
    const y = this.layer.forward(this.instance.forward(x).mul(gate));
    return y.sub(x.mean([2, 3], true)).div(x.std([2, 3], true).add(1e-3));
  }
}

class Mixer extends Own {
  tokens = new nn.Linear(9, 9);
  channels = new nn.Linear(4, 4);
  norm = new nn.RMSNorm(4);

  forward(x: Tensor): Tensor[] {
    const patches = F.unfold(x, 2, { stride: 2 }).reshape([x.shape[0]!, 4, 4, 9]).mean(2);
    let y = patches.transpose(1, 2);
    y = y.add(this.tokens.forward(this.norm.forward(y).transpose(1, 2)).transpose(1, 2));
    y = y.add(F.gelu(this.channels.forward(y)));
    return [y.norm(2, -1), y.logsumexp(1), F.glu(y, 2), y.cumsum(1), F.softmax(y.mul(3), 1)];
  }
}

/** Attention with a bias for each distance. */
class Relative extends Own {
  bias = new nn.Parameter(waves([2, 15]));
  project = new nn.Linear(8, 16);

  forward(x: Tensor): Tensor {
    const [n = 1, t = 1] = x.shape;
    const parts = this.project.forward(x).chunk(2, -1);
    const [q, k] = parts.map((part) => part.reshape([n, t, 2, 4]).transpose(1, 2));
    const distances = Int32Array.from({ length: t * t }, (_, i) => (i % t) - Math.floor(i / t) + t - 1);
    const bias = this.bias.indexSelect(1, tensor(distances)).reshape([2, t, t]);
    const scores = q!.matmul(k!.transpose()).div(2).add(bias.unsqueeze(0));
    const weights = scores.maskedFill(F.tril(ones([t, t])).eq(0), -Infinity).softmax(-1);
    return weights.matmul(k!).transpose(1, 2).flatten(2);
  }
}

class Sequences extends Own {
  encoder = new nn.LSTM(5, 6);
  cell = new nn.LSTMCell(5, 6);
  output = new nn.Linear(6, 5);

  forward(x: Tensor): Tensor[] {
    const [, [h, c]] = this.encoder.forward(x);
    let state: [Tensor, Tensor] = [h.select(0, 0), c.select(0, 0)];
    let y = x.select(0, -1);
    const all: Tensor[] = [];
    for (let i = 0; i < 3; i++) {
      state = this.cell.forward(y, state);
      y = this.output.forward(state[0]).tanh();
      all.push(y);
    }
    return [F.stack(all, 0), F.where(y.gt(0), y, y.mul(0.1)), y.clamp(0, null).pow(2)];
  }
}

class Volumes extends Own {
  conv = new nn.Conv3d(2, 3, [1, 3, 3], { padding: [0, 1, 1] });
  up = new nn.ConvTranspose3d(3, 2, 2, { stride: 2 });
  norm = new nn.BatchNorm3d(3);

  forward(x: Tensor): Tensor[] {
    const y = F.maxPool3d(this.norm.forward(this.conv.forward(x)).relu(), 2);
    return [this.up.forward(y), F.interpolate(y, { scaleFactor: 2, mode: 'trilinear' }), F.adaptiveAvgPool3d(y, 1)];
  }
}

class Audio extends Own {
  first = new nn.Conv1d(1, 4, 5, { padding: 'same', paddingMode: 'replicate' });
  second = new nn.Conv1d(4, 8, 3, { dilation: 2, groups: 2 });

  forward(x: Tensor): Tensor[] {
    const [a, b] = this.second.forward(this.first.forward(x.unsqueeze(1))).chunk(2, 1);
    const y = a!.tanh().mul(b!.sigmoid());
    const pooled = F.avgPool1d(y, 3, { stride: 2, padding: 1, countIncludePad: false });
    return [pooled, y.var(2), y.abs().amax(-1), F.normalize(y, { dim: 1, p: 1 }), y.sort({ dim: 2 }).values];
  }
}

type Case = readonly [make: () => Own, input: (n: number) => Tensor, free?: OnnxOptions['dynamicAxes']];
const cases: Readonly<Record<string, Case>> = {
  'attention with masks': [() => new Masked(), (n) => tokens([n, 5], 11)],
  'both directions, of any length': [
    () => new Tagger(),
    (n) => tokens([n, 4 + n], 11),
    { input: { 0: 'batch', 1: 'time' } },
  ],
  'transposed convolution, group norm, borders, sizes': [() => new Decoder(), (n) => waves([n, 4, 5, 4])],
  einsum: [() => new Products(), (n) => waves([n, 6, 4])],
  indexing: [() => new Indexer(), (n) => tokens([n, 5], 6)],
  gates: [() => new Gated(), (n) => waves([n, 4, 6, 6])],
  'a mixer of windows': [() => new Mixer(), (n) => waves([n, 4, 6, 6])],
  'relative positions': [() => new Relative(), (n) => waves([n, 8, 8])],
  'an encoder and a cell': [() => new Sequences(), (n) => waves([6, n, 5]), { input: { 0: 'time', 1: 'batch' } }],
  'volumes of any width': [
    () => new Volumes(),
    (n) => waves([n, 2, 4, 6, 6 + 2 * (n % 3)]),
    { input: { 0: 'batch', 4: 'width' } },
  ],
  'sound of any length': [() => new Audio(), (n) => waves([n, 18 + n]), { input: { 0: 'batch', 1: 'time' } }],
};

for (const [name, [make, input, dynamicAxes]] of Object.entries(cases))
  withRuntime(
    name,
    async () => void (await sameInRuntime(make(), [input(4), input(1), input(3)], dynamicAxes && { dynamicAxes })),
  );

class Halves extends Own {
  weight = new nn.State(waves([4, 3, 3, 3]).to('float16'));

  forward(x: Tensor): Tensor[] {
    const y = F.conv2d(x, this.weight).relu();
    return [y, y.to('float32').mean([2, 3]), F.softmax(y.flatten(1), 1)];
  }
}

withHalf('halves stay halves outside, and are computed in float32', async () => {
  const input = (n: number) => waves([n, 3, 6, 6]).to('float16');
  const model = new Halves().eval();
  const file = await exportOnnx(model, input(4));
  assert.match(String(file), 'input input: float16 [batch, 3, 6, 6]');
  assert.match(String(file), 'constant weight: float16 [4, 3, 3, 3]');
  assert.match(String(file), 'output output_1: float32 [batch, 4]');
  if (hasRuntime) assert.ok((await distance(file.bytes, model, [input(4), input(2)])) < 3e-3);
});

checkerTest();
test.run();
