// Conversions between float32 and float16 that are left in a compiled step under autocast: exact counts, and the bytes that its launches bind. The
// steps are traced and rewritten, not run: to compile them takes a software driver minutes.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { elementsOf, F16, F32 } from '../../shaders/elements';
import { autocast } from '../../src/autograd/autocast';
import { backward } from '../../src/autograd/backward';
import { device, init } from '../../src/gpu';
import { fused } from '../../src/gpu/graph';
import { createModel, GPT } from '../../src/models';
import * as nn from '../../src/nn';
import { crossEntropy } from '../../src/ops/loss';
import { SGD } from '../../src/optim';
import '../../src/ops/methods';
import { tensor, zeros } from '../../src/tensor/create';
import { type Memory, tracedMemories } from '../../src/tensor/memory';
import type { Tensor } from '../../src/tensor/tensor';
import { targetFor, useGpu, withTarget } from '../util';

await init(); // what is skipped depends on the adapter
const has = device().features.has('shader-f16');
/** Skipped where the adapter has no shader-f16: float16 tensors are refused there. */
const withHalf = (name: string, body: () => void | Promise<void>) =>
  has ? test(name, body) : test.skip(`${name} (the adapter has no shader-f16)`, body);

useGpu();

interface Step {
  readonly parameters: Tensor[];
  loss(): Tensor;
}

/** What a step's launches convert and bind, with the kernels for GPUs. */
async function costOf({ parameters, loss }: Step, amp: boolean) {
  const optimizer = new SGD(parameters as nn.Parameter[], { lr: 0.1 });
  let made: Memory[] = [];
  let result: Tensor | undefined;
  const { launches } = await withTarget(targetFor('gpu'), () =>
    device().traced(() => {
      ({ made } = tracedMemories(() => {
        result = autocast(amp, loss);
        backward(result);
        optimizer.step();
        optimizer.zeroGrad();
      }));
    }),
  );
  const { launches: kept } = fused(launches, new Set([result!.storage.block]), 256, 16);
  for (const memory of made) if (memory.live && !memory.kept) memory.release();
  const count = (from: number, to: number) =>
    kept.filter(({ kernel }) => {
      if (kernel.name !== 'copy') return false;
      const [a, b] = elementsOf(kernel);
      return a.element === from && b.element === to;
    }).length;
  const bytes = kept.reduce((sum, { bindings }) => sum + bindings.reduce((all, b) => all + b.bytes, 0), 0);
  return { launches: kept.length, narrowed: count(F32, F16), widened: count(F16, F32), bytes };
}

const integers = (shape: number[], below: number) =>
  tensor(
    Int32Array.from({ length: shape.reduce((a, b) => a * b) }, (_, i) => (7 * i) % below),
    { shape },
  );

function gpt(): Step {
  const model = new GPT({ vocabSize: 65, blockSize: 32, nLayer: 2, nHead: 4, nEmbd: 64 });
  const [x, y] = [integers([4, 32], 65), integers([128], 65)];
  return { parameters: [...model.parameters()], loss: () => crossEntropy(model.forward(x).flatten(0, 1), y) };
}

function resnet(): Step {
  const model = createModel('resnet20');
  const [x, y] = [zeros([8, 3, 32, 32]), integers([8], 10)];
  return { parameters: [...model.parameters()], loss: () => crossEntropy(model.forward(x), y) };
}

function lstm(): Step {
  const [embedding, layers, output] = [new nn.Embedding(65, 64), new nn.LSTM(64, 64, { numLayers: 2 }), new nn.Linear(64, 65)]; // biome-ignore format: a line
  const [x, y] = [integers([8, 4], 65), integers([32], 65)];
  return {
    parameters: [embedding, layers, output].flatMap((module) => [...module.parameters()]),
    loss: () => crossEntropy(output.forward(layers.forward(embedding.forward(x))[0]).flatten(0, 1), y),
  };
}

// What is left is what PyTorch's autocast converts too: the weights and biases of products, their inputs where these are float32 (norms and residual sums
// are), the gradients of all of these, and the logits. An LSTM carries c, and the gradients of its states, in float32.
const expected = {
  gpt: { step: gpt, launches: [163, 105], narrowed: 27, widened: 23, bytes: 0.85 },
  resnet20: { step: resnet, launches: [282, 129], narrowed: 27, widened: 26, bytes: 0.86 },
  lstm: { step: lstm, launches: [93, 81], narrowed: 12, widened: 12, bytes: 0.69 },
};

for (const [name, { step, launches, narrowed, widened, bytes }] of Object.entries(expected))
  withHalf(`${name}: ${narrowed} conversions to float16, ${widened} to float32`, async () => {
    const [narrow, wide] = [await costOf(step(), true), await costOf(step(), false)];
    assert.equal([narrow.launches, wide.launches], launches);
    assert.equal([narrow.narrowed, narrow.widened], [narrowed, widened]);
    assert.equal([wide.narrowed, wide.widened], [0, 0]);
    assert.ok(narrow.bytes < bytes * wide.bytes, `${narrow.bytes} bytes bound, ${wide.bytes} in float32`);
  });

test.run();
