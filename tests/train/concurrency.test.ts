// Functions that run at the same time: what one of them sets for itself, the others do not see, or the conflict is an error.
import { setImmediate as turn } from 'node:timers/promises';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { detectAnomaly } from '../../src/autograd/anomaly';
import { backward } from '../../src/autograd/backward';
import { checkpoint } from '../../src/autograd/checkpoint';
import { jvp } from '../../src/autograd/forward-mode';
import { Mode } from '../../src/autograd/modes';
import { enableGrad, isRecording, noGrad } from '../../src/autograd/tape';
import { InputError } from '../../src/gpu';
import { provider, setProvider } from '../../src/gpu/provider';
import { mul } from '../../src/ops/elementwise';
import { sum } from '../../src/ops/reduce';
import { tensor } from '../../src/tensor/create';
import type { Tensor } from '../../src/tensor/tensor';
import { evaluate } from '../../src/train/evaluate';
import { close, useGpu } from '../util';
import { tinyData, tinyTrainer } from './tiny';

useGpu();

test('an async noGrad elsewhere leaves the gradients of other functions as they are', async () => {
  const w = tensor([1, 2, 3], { requiresGrad: true });
  const seen: boolean[] = [];
  const elsewhere = noGrad(async () => {
    for (let i = 0; i < 4; i++) {
      seen.push(isRecording(), enableGrad(isRecording), mul(w, 2).requiresGrad);
      await turn();
    }
    await enableGrad(async () => {
      await turn();
      seen.push(!isRecording(), isRecording(), !mul(w, 2).requiresGrad);
    });
  });
  const x = mul(w, w);
  await turn();
  const loss = sum(mul(x, w)); // half of the graph was recorded before, half while the other one waits
  await turn();
  backward(loss);
  close(await w.grad!.data(), [3, 12, 27]);
  await elsewhere;
  assert.equal(seen, Array.from({ length: 5 }, () => [false, true, false]).flat());
  assert.ok(isRecording());
});

test('a body that returns a promise without being async is refused, and the mode is as before', async () => {
  const later = async (): Promise<unknown> => 1;
  const x = tensor([1], { requiresGrad: true });
  for (const run of [
    () => noGrad(() => later()),
    () => enableGrad(() => later()),
    () => detectAnomaly(() => later()),
    () => checkpoint((() => later()) as never, x),
    () => jvp((() => later()) as never, [x], [x]),
  ]) {
    const error = await Promise.resolve()
      .then(run)
      .catch((caught: Error) => caught);
    assert.instance(error, InputError, String(run));
    assert.ok(isRecording());
  }
});

test('where async bodies cannot be followed they are refused before they run', () => {
  const given = provider();
  setProvider({ ...given, asyncContext: undefined });
  try {
    const mode = new Mode(true);
    let ran = false;
    assert.throws(
      () => mode.run('noGrad', false, async () => (ran = true)),
      (error: Error) => error instanceof InputError && /noGrad: an async body.*Await outside/s.test(error.message),
    );
    assert.not(ran);
    assert.is(
      mode.run('noGrad', false, () => mode.get()),
      false,
    );
    assert.ok(mode.get());
  } finally {
    setProvider(given);
  }
});

test('evaluate() that is not awaited and the training of the same model do not change each other', async () => {
  const { test: images } = tinyData();
  const trained = async (disturb: boolean) => {
    const { model, trainer } = tinyTrainer({ readEvery: 1 });
    const running = trainer.run();
    const results: unknown[] = [];
    const evaluating = (async () => {
      for (let i = 0; disturb && i < 3; i++)
        results.push(await evaluate(model, images, { batchSize: 16, readEvery: 1 }));
    })();
    await running;
    await evaluating;
    const state: number[][] = [];
    for (const [, x] of model.namedTensors()) state.push([...(await (x as Tensor).data())]);
    return state;
  };
  assert.equal(await trained(true), await trained(false));
});

test('evaluate() leaves each module the mode that it had', async () => {
  const { model } = tinyTrainer();
  const frozen = model.modules().at(-1)!;
  frozen.eval();
  await evaluate(model, tinyData().test, { batchSize: 16 });
  assert.is(frozen.training, false);
  assert.is(model.training, true);
});

test('one model in two runs, or put into another mode while it is trained: errors', async () => {
  const { model, trainer } = tinyTrainer({ readEvery: 1, onStep: () => void elsewhere() });
  const elsewhere = async () => model.eval();
  const running = trainer.run();
  assert.match(String(await trainer.run().catch(String)), /InputError: Trainer: this model is in training already/);
  assert.match(String(await running.catch(String)), /InputError: Trainer: the model was put into evaluation mode/);
});

test.run();
