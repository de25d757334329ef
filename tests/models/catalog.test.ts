// Table 1 of Lu et al.: exact parameter counts of all networks by name, both arms equal at step 0, a training step of the deep and wide kinds.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import '../../src/ops/methods';
import { backward } from '../../src/autograd/backward';
import { device } from '../../src/gpu';
import type { MeanFieldOptions } from '../../src/meanfield/mean-field';
import { MeanField, meanFieldsIn } from '../../src/meanfield/mean-field';
import { solve } from '../../src/meanfield/ode';
import { createModel, TABLE_1 } from '../../src/models/catalog';
import { MeanFieldResNet, PreActResNet } from '../../src/models/resnet';
import { Linear } from '../../src/nn/linear';
import { crossEntropy } from '../../src/ops/loss';
import { SGD } from '../../src/optim/sgd';
import { tensor } from '../../src/tensor/create';
import { manualSeed } from '../../src/tensor/seed';
import type { Classifier } from '../../src/train/task';
import { numbers, useGpu } from '../util';

useGpu();

/** Parameters with shortcut B, B with its own batch norm, A (where methods.md has it); particles of the mean-field net. */
const COUNTS: Record<string, [b: number, own: number, particles: number, a?: number]> = {
  resnet20: [272_282, 272_378, 7, 269_722],
  resnet32: [466_714, 466_810, 13],
  resnet44: [661_146, 661_242, 19],
  resnet56: [855_578, 855_674, 25, 853_018],
  resnet110: [1_730_522, 1_730_618, 52, 1_727_962],
  resnet164: [1_703_258, 1_703_674, 51],
  'resnext29-8x64d': [34_515_364, 34_517_028, 6],
  'resnext29-16x64d': [68_243_876, 68_245_540, 6],
};

/** Shapes alone: no numbers are drawn or written, so that the memory of 68 million weights is never touched. */
function countParameters(name: string): number {
  const { map } = Float32Array.prototype;
  const { write } = device();
  Float32Array.prototype.map = function (this: Float32Array<ArrayBuffer>) {
    return this;
  };
  Object.assign(device(), { write: () => {} });
  try {
    const model = createModel(name, { classes: name.includes('resnext') ? 100 : 10 });
    for (const [, x] of model.namedTensors()) x.dispose();
    return model.parameterCount;
  } finally {
    Float32Array.prototype.map = map;
    Object.assign(device(), { write });
  }
}

test('the table has a count for each of its networks', () => assert.equal(Object.keys(COUNTS), [...TABLE_1]));

for (const [name, [b, own, particles, a]] of Object.entries(COUNTS))
  test(`${name} has as many parameters as it must, in both arms`, () => {
    assert.is(countParameters(name), own);
    assert.is(countParameters(`${name}-b`), b);
    // The widest nets differ in nothing but widths: one of them tells how many particles there are.
    if (name !== 'resnext29-16x64d') assert.is(countParameters(`meanfield-${name}`), own + particles);
    if (a) assert.is(countParameters(`${name}-a`), a);
  });

/** ResNeXt-29 in small: three bottleneck blocks a stage, grouped convolutions, widths that change before the first block. */
const SLIM = { blocks: 3, bottleneck: true, groups: 4, stem: 8, inner: [8, 16, 32], outer: [16, 32, 64] } as const;

type Make = (particles?: MeanFieldOptions) => Classifier;
const PAIRS: [name: string, vanilla: Make, meanField: Make][] = [
  ...['resnet20', 'resnet110', 'resnet164', 'resnet20-a'].map((name): [string, Make, Make] => [
    name,
    () => createModel(name) as Classifier,
    (particles) => createModel(`meanfield-${name}`, { particles }) as Classifier,
  ]),
  ['a slim resnext29', () => new PreActResNet(SLIM), (particles) => new MeanFieldResNet({ ...SLIM, particles })],
];
const images = () => tensor(Float32Array.from(numbers(2 * 3 * 16 * 16, 5)), { shape: [2, 3, 16, 16] });
const labels = () => tensor(new Int32Array([3, 8]));

for (const [name, vanilla, meanField] of PAIRS)
  test(`${name}: from one seed both arms give the same bits, in training and in evaluation`, async () => {
    const outputs = async (make: Make) => {
      manualSeed(21);
      const model = make();
      const trained = await model.forward(images()).data();
      model.eval();
      return [trained, await model.forward(images()).data()];
    };
    const got = await outputs(meanField);
    assert.ok(got[0].every(Number.isFinite) && new Set(got[0]).size > 10, 'outputs that tell something');
    assert.equal(got, await outputs(vanilla));
  });

for (const name of ['resnet164', 'a slim resnext29'])
  test(`${name}: steps on one batch lower its loss in both arms, and times move; frozen at 1 … n they change no bit`, async () => {
    const [, vanilla, meanField] = PAIRS.find(([other]) => other === name)!;
    const train = async (make: () => Classifier, timesMove: boolean) => {
      manualSeed(22);
      const model = make() as Classifier & { sortParticles?(): void };
      const optimizer = new SGD(model.parameters(), { lr: 0.02, momentum: 0.9, weightDecay: 1e-4 });
      const losses: number[] = [];
      for (let step = 0; step < 3; step++) {
        const loss = crossEntropy(model.forward(images()), labels());
        backward(loss);
        optimizer.step();
        model.sortParticles?.();
        optimizer.zeroGrad();
        losses.push(await loss.item());
      }
      assert.ok(losses[2] < losses[0], losses.join(', '));
      for (const [, stage] of meanFieldsIn(model)) {
        const { tau } = await stage.telemetry();
        assert.ok(
          tau.every((t, i) => Number.isFinite(t) && (t !== i + 1) === timesMove),
          tau.join(', '),
        );
      }
      return losses;
    };
    const losses = await train(vanilla, false);
    assert.not.equal(await train(meanField, true), losses);
    assert.equal(await train(() => meanField({ trainTimes: false }), false), losses);
  });

test('names of no network are refused with what there is', () => {
  const refuse = (name: string, message: RegExp) => assert.throws(() => createModel(name), message);
  refuse('resnet21', /depth 21 is not 6n \+ 2 or 9n \+ 2/);
  refuse('resnext28-8x64d', /depth 28 is not 9n \+ 2/);
  refuse('resnext29', /unknown model 'resnext29'.*resnext29-8x64d/s);
  refuse('resnext29-0x64d', /unknown model/);
  refuse('resnet20-8x64d', /unknown model/);
  refuse('meanfield-resnet20-post', /pre-activation/);
  refuse('resnet47-post', /not 6n/);
});

test('networks that nobody can want are refused at once, with the limit', () => {
  const refuse = (make: () => unknown, message: RegExp) => assert.throws(make, message);
  for (const name of ['resnet60002', 'meanfield-resnet600000002', 'resnet99999998-post', 'feature-flow-resnet60002'])
    refuse(() => createModel(name), /too deep: its depth may be at most 6002/);
  refuse(() => createModel('resnet99999998'), /too deep|not 6n/);
  refuse(() => createModel('resnext29-999999999x64d'), /groups times width may be at most 16384/);
  refuse(() => createModel('resnet20', { classes: 1e9 }), /classes is 1000000000: .* from 1 to 65536/);
  refuse(() => createModel('feature-flow-resnet8', { featureFlow: { width: 1e9 } }), /width .* at most 1024/);
  refuse(() => new PreActResNet({ blocks: 1e9 }), /blocks is 1000000000: it must be a whole number from 1 to 1000/);
  refuse(() => new PreActResNet({ blocks: 1, inner: [16, 1e12, 64] }), /inner is 1000000000000/);
  refuse(() => new MeanField(1e9, () => new Linear(1, 1)), /number of particles is 1000000000: .* to 10000/);
  refuse(() => solve(tensor([1]), [], tensor([]), { substeps: 1e9 }), /substeps is 1000000000: .* to 10000/);
});

test('a width is a factor on all channels', () => {
  const channels = (name: string, width: number) => {
    const shapes = new Map([...createModel(name, { width }).namedParameters()].map(([key, p]) => [key, p.shape]));
    return ['conv1.weight', 'layer1.1.conv1.weight', 'layer3.1.conv1.weight'].map((key) => shapes.get(key)![0]);
  };
  for (const name of ['resnet20', 'meanfield-resnet20', 'resnet20-post-a'])
    assert.equal(channels(name, 0.5), [8, 8, 32], name);
  assert.equal(channels('resnext29-2x4d', 2), [128, 16, 64]);
  assert.throws(() => createModel('resnet20', { width: 0.03 }), /width 0\.03 gives .* whole numbers/);
  assert.throws(() => createModel('resnext29-4x1d', { width: 0.25 }), /multiples of 4 groups inside/);
});

test.run();
