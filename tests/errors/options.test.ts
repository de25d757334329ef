// Options: everything public that takes an object of options refuses a name that there is not, a value of the wrong kind, and something else
// in the place of the object; nothing is launched.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { unwrapped } from '../../src/autograd/operation';
import * as dawnfield from '../../src/index.node.js';
import {
  DataLoader,
  device,
  F,
  featureFlow,
  InputError,
  MeanField,
  mixBatches,
  mixImages,
  models,
  nn,
  optim,
  tensor,
  zeros,
} from '../../src/index.node.js';
import { useGpu } from '../util';
import { functionCalls } from './options-functions';
import { visionCalls } from './options-vision';

useGpu();

type Options = Record<string, unknown>;
/** Calls with the options in their place, by the name of what is called. */
function calls(): Record<string, (options: never) => unknown> {
  const x = zeros([2, 3], { requiresGrad: true });
  const image = zeros([1, 2, 6, 6]);
  const labels = tensor(new Int32Array([0, 2]));
  const opt = () => new optim.SGD(p(), { lr: 1 });
  const p = () => [new nn.Parameter(zeros([2]))];
  const scaled = () => [new featureFlow.ScaledParameter(zeros([2]), 1)];
  const loss = x.mul(2).sum();
  const linear = new nn.Linear(2, 2);
  const stage = new MeanField([linear]);
  const source = { count: 2, batches: () => [] };
  const net = new featureFlow.FeatureFlowNet({ inputs: 3, width: 4, layers: 2 });
  return {
    init: (o) => dawnfield.init(o),
    tune: (o) => dawnfield.tune(o),
    compile: (o) => dawnfield.compile(() => x, o),
    tensor: (o) => tensor([1], o),
    full: (o) => dawnfield.full([1], 1, o),
    zeros: (o) => zeros([1], o),
    ones: (o) => dawnfield.ones([1], o),
    fullLike: (o) => dawnfield.fullLike(x, 1, o),
    zerosLike: (o) => dawnfield.zerosLike(x, o),
    onesLike: (o) => dawnfield.onesLike(x, o),
    arange: (o) => dawnfield.arange(0, 3, 1, o),
    linspace: (o) => dawnfield.linspace(0, 1, 3, o),
    eye: (o) => dawnfield.eye(2, 2, o),
    rand: (o) => dawnfield.rand([1], o),
    randn: (o) => dawnfield.randn([1], o),
    randint: (o) => dawnfield.randint(0, 2, [1], o),
    randLike: (o) => dawnfield.randLike(x, o),
    randnLike: (o) => dawnfield.randnLike(x, o),
    backward: (o) => dawnfield.backward(loss, o),
    'Tensor.backward': (o) => loss.backward(o),
    grad: (o) => dawnfield.grad(loss, [x], o),
    gradcheck: (o) => dawnfield.gradcheck((a) => a.square(), [x], o),
    customFunction: (o) =>
      dawnfield.customFunction({ name: 'f', forward: () => x, backward: () => null, ...(o as object) }),
    defineKernel: (o) =>
      dawnfield.defineKernel({ name: 'f', bindings: { y: 'write float32' }, code: ' ', ...(o as object) }),
    solve: (o) => dawnfield.solve(x, [(a) => a], tensor([1]), o),
    evaluate: (o) => dawnfield.evaluate(linear as never, source as never, o),
    loadWeights: (o) => dawnfield.loadWeights(new nn.ReLU(), {}, o),
    RandomSampler: (o) => new dawnfield.RandomSampler([1], o),
    SubsetRandomSampler: (o) => new dawnfield.SubsetRandomSampler([1], o),
    WeightedRandomSampler: (o) => new dawnfield.WeightedRandomSampler([1], 1, o),
    randomSplit: (o) => dawnfield.randomSplit([1], [1], o),
    DataLoader: (o) => new DataLoader([1, 2], o),
    mixBatches: (o) => mixBatches({ count: 1, batches: () => [] }, o),
    mixImages: (o) => mixImages(zeros([1, 1, 2, 2]), tensor(new Int32Array([0])), o),
    'optim.AveragedModel': (o) => new optim.AveragedModel(new nn.Linear(1, 1), o),
    ImageFolder: (o) => new dawnfield.ImageFolder('/', o),
    Trainer: (o) =>
      new dawnfield.Trainer({
        model: linear,
        optimizer: new optim.Adam(p()),
        train: source,
        epochs: 1,
        batchSize: 1,
        ...(o as object),
      } as never),
    MeanField: (o) => new MeanField([linear], o),
    'MeanField.from': (o) => MeanField.from([linear], o),
    'MeanField.solve': (o) => stage.solve(zeros([1, 2]), o),
    createModel: (o) => models.createModel('resnet20', o),
    PreActResNet: (o) => new models.PreActResNet({ blocks: 1, ...(o as object) }),
    PostActResNet: (o) => new models.PostActResNet({ blocks: 1, ...(o as object) }),
    MeanFieldResNet: (o) => new models.MeanFieldResNet({ blocks: 1, ...(o as object) }),
    FeatureFlowResNet: (o) => new models.FeatureFlowResNet({ blocks: 1, ...(o as object) }),
    'featureFlow.FeatureFlowNet': (o) =>
      new featureFlow.FeatureFlowNet({ inputs: 1, width: 1, layers: 1, ...(o as object) }),
    'featureFlow.regress': (o) => featureFlow.regress(net, x, { form: 'hard', ...(o as object) }),
    'featureFlow.FeatureFlow': (o) => new featureFlow.FeatureFlow(x, x, null as never, o),
    'FeatureFlow.run': (o) => featureFlow.FeatureFlow.prototype.run(1, o),
    'FeatureFlowResNet.initialise': (o) =>
      models.FeatureFlowResNet.prototype.initialise.call({ parametrisation: 'mean-field' } as never, image, o),
    'featureFlow.flowStart': (o) => featureFlow.flowStart(x, { layers: 1, particles: 2, ...(o as object) }),
    'featureFlow.pseudoHuber': (o) => featureFlow.pseudoHuber(x, x, o),
    'optim.StepLR': (o) => new optim.StepLR(opt(), 1, o),
    'optim.MultiStepLR': (o) => new optim.MultiStepLR(opt(), [1], o),
    'optim.ConstantLR': (o) => new optim.ConstantLR(opt(), o),
    'optim.LinearLR': (o) => new optim.LinearLR(opt(), o),
    'optim.CosineAnnealingLR': (o) => new optim.CosineAnnealingLR(opt(), 1, o),
    'optim.CosineAnnealingWarmRestarts': (o) => new optim.CosineAnnealingWarmRestarts(opt(), 1, o),
    'optim.PolynomialLR': (o) => new optim.PolynomialLR(opt(), o),
    'optim.CyclicLR': (o) => new optim.CyclicLR(opt(), 0.1, 1, o),
    'optim.OneCycleLR': (o) => new optim.OneCycleLR(opt(), 1, o),
    'optim.ReduceLROnPlateau': (o) => new optim.ReduceLROnPlateau(opt(), o),
    'optim.ChainedScheduler': (o) => new optim.ChainedScheduler([new optim.ExponentialLR(opt(), 1)], o),
    'optim.Adadelta': (o) => new optim.Adadelta(p(), o),
    'optim.ASGD': (o) => new optim.ASGD(p(), o),
    'optim.GradScaler': (o) => new optim.GradScaler(o),
    'optim.Lion': (o) => new optim.Lion(p(), o),
    'optim.LBFGS': (o) => new optim.LBFGS(p(), o),
    'optim.Muon': (o) => new optim.Muon(p(), o),
    'optim.NAdam': (o) => new optim.NAdam(p(), o),
    'optim.RAdam': (o) => new optim.RAdam(p(), o),
    'optim.Rprop': (o) => new optim.Rprop(p(), o),
    'featureFlow.ScaledGradientDescent': (o) =>
      new featureFlow.ScaledGradientDescent(scaled(), { lr: 1, ...(o as object) }),
    'F.conv2d': (o) => F.conv2d(image, zeros([1, 2, 3, 3]), null, o),
    'F.conv1d': (o) => F.conv1d(zeros([1, 2, 6]), zeros([1, 2, 3]), null, o),
    'F.convTranspose2d': (o) => F.convTranspose2d(image, zeros([2, 1, 3, 3]), null, o),
    'F.crossEntropy': (o) => F.crossEntropy(x, labels, o),
    'F.nllLoss': (o) => F.nllLoss(x, labels, o),
    'F.mseLoss': (o) => F.mseLoss(x, x, o),
    'F.l1Loss': (o) => F.l1Loss(x, x, o),
    'F.huberLoss': (o) => F.huberLoss(x, x, o),
    'F.pseudoHuberLoss': (o) => F.pseudoHuberLoss(x, x, o),
    'F.smoothL1Loss': (o) => F.smoothL1Loss(x, x, o),
    'F.binaryCrossEntropy': (o) => F.binaryCrossEntropy(x, x, o),
    'F.klDiv': (o) => F.klDiv(x, x, o),
    'F.cdist': (o) => F.cdist(x, x, o),
    'F.tripletMarginLoss': (o) => F.tripletMarginLoss(x, x, x, o),
    'F.tripletMarginWithDistanceLoss': (o) => F.tripletMarginWithDistanceLoss(x, x, x, o),
    'F.cosineSimilarity': (o) => F.cosineSimilarity(x, x, o),
    'F.pairwiseDistance': (o) => F.pairwiseDistance(x, x, o),
    'F.normalize': (o) => F.normalize(x, o),
    'F.pdist': (o) => F.pdist(x, o),
    'F.ctcLoss': (o) => F.ctcLoss(x, labels, 1, 1, o),
    'F.gaussianNllLoss': (o) => F.gaussianNllLoss(x, x, 1, o),
    'F.poissonNllLoss': (o) => F.poissonNllLoss(x, x, o),
    'F.softMarginLoss': (o) => F.softMarginLoss(x, x, o),
    'F.hingeEmbeddingLoss': (o) => F.hingeEmbeddingLoss(x, x, o),
    'F.marginRankingLoss': (o) => F.marginRankingLoss(x, x, x, o),
    'F.cosineEmbeddingLoss': (o) => F.cosineEmbeddingLoss(x, x, labels, o),
    'F.multiMarginLoss': (o) => F.multiMarginLoss(x, labels, o),
    'F.multilabelMarginLoss': (o) => F.multilabelMarginLoss(x, labels, o),
    'F.multilabelSoftMarginLoss': (o) => F.multilabelSoftMarginLoss(x, x, o),
    'F.binaryCrossEntropyWithLogits': (o) => F.binaryCrossEntropyWithLogits(x, x, o),
    'F.bceWithLogits': (o) => F.bceWithLogits(x, x, o),
    'F.dropout': (o) => F.dropout(x, o),
    'F.gelu': (o) => F.gelu(x, o),
    'F.maxPool2d': (o) => F.maxPool2d(image, { kernel: 2, ...(o as object) }),
    'F.maxPool2dWithIndices': (o) => F.maxPool2dWithIndices(image, { kernel: 2, ...(o as object) }),
    'F.avgPool2d': (o) => F.avgPool2d(image, { kernel: 2, ...(o as object) }),
    'F.globalAvgPool2d': (o) => F.globalAvgPool2d(image, o),
    'F.batchNorm': (o) => F.batchNorm(image, { training: true, ...(o as object) }),
    'F.layerNorm': (o) => F.layerNorm(x, [3], o),
    'F.groupNorm': (o) => F.groupNorm(image, 2, o),
    'F.cumsum': (o) => F.cumsum(x, 0, o),
    'F.cumprod': (o) => F.cumprod(x, 0, o),
    'F.sort': (o) => F.sort(x, o),
    'F.argsort': (o) => F.argsort(x, o),
    'F.topk': (o) => F.topk(x, 1, o),
    'F.pad': (o) =>
      F.pad(
        x,
        [
          [0, 0],
          [1, 1],
        ],
        o,
      ),
    'nn.Conv2d': (o) => new nn.Conv2d(1, 1, 1, o),
    'nn.Conv1d': (o) => new nn.Conv1d(1, 1, 1, o),
    'nn.ConvTranspose2d': (o) => new nn.ConvTranspose2d(1, 1, 1, o),
    'nn.Linear': (o) => new nn.Linear(1, 1, o),
    'nn.BatchNorm1d': (o) => new nn.BatchNorm1d(1, o),
    'nn.BatchNorm2d': (o) => new nn.BatchNorm2d(1, o),
    'nn.LayerNorm': (o) => new nn.LayerNorm(1, o),
    'nn.GroupNorm': (o) => new nn.GroupNorm(1, 1, o),
    'nn.MaxPool2d': (o) => new nn.MaxPool2d({ kernel: 2, ...(o as object) }),
    'nn.AvgPool2d': (o) => new nn.AvgPool2d({ kernel: 2, ...(o as object) }),
    'nn.CrossEntropyLoss': (o) => new nn.CrossEntropyLoss(o),
    'nn.NLLLoss': (o) => new nn.NLLLoss(o),
    'nn.MSELoss': (o) => new nn.MSELoss(o),
    'nn.L1Loss': (o) => new nn.L1Loss(o),
    'nn.HuberLoss': (o) => new nn.HuberLoss(o),
    'nn.BCEWithLogitsLoss': (o) => new nn.BCEWithLogitsLoss(o),
    'nn.init.kaimingNormal': (o) => nn.init.kaimingNormal([2, 2], o),
    'nn.init.kaimingUniform': (o) => nn.init.kaimingUniform([2, 2], o),
    'Module.loadStateDict': (o) => linear.loadStateDict({}, o),
    'optim.SGD': (o) => new optim.SGD(p(), { lr: 1, ...(o as object) }),
    'optim.Adam': (o) => new optim.Adam(p(), o),
    'optim.AdamW': (o) => new optim.AdamW(p(), o),
    'optim.Adamax': (o) => new optim.Adamax(p(), o),
    'optim.Adagrad': (o) => new optim.Adagrad(p(), o),
    'optim.RMSprop': (o) => new optim.RMSprop(p(), o),
    'a group of optim.Adam': (o) => new optim.Adam([{ params: p(), ...(o as object) }]),
    'optim.clipGradNorm': (o) => optim.clipGradNorm([], 1, o),
    ...functionCalls(),
    ...visionCalls(),
  };
}

async function refusal(call: () => unknown): Promise<string> {
  try {
    await call();
  } catch (error) {
    assert.instance(error, InputError, String(error));
    return (error as Error).message;
  }
  return 'was accepted';
}

test('an option that there is not is refused by all, before anything is launched', async () => {
  const all = calls();
  const before = device().stats().dispatches;
  for (const [name, call] of Object.entries(all)) {
    const message = await refusal(() => call({ no_such_option: 1 } as never));
    assert.match(message, /there is no option 'no_such_option'/, name);
    assert.is(device().stats().dispatches, before, name);
  }
});

/** Public functions and classes whose source takes an object of options: none is missing above. */
test('the list above is complete', () => {
  // Tried by way of a method and of the subclasses.
  const known = [...Object.keys(calls()), 'nn.Module', 'optim.Optimizer'];
  const spaces = {
    '': dawnfield,
    'F.': F,
    'nn.': nn,
    'nn.init.': nn.init,
    'optim.': optim,
    'featureFlow.': featureFlow,
  };
  const missing = Object.entries(spaces).flatMap(([prefix, space]) =>
    Object.entries(space)
      .filter(
        ([name, f]) =>
          typeof f === 'function' &&
          /\b(given|options|o)\d? ?= ?\{\} ?[,)]|\bchecked\(/.test(String(unwrapped(f))) &&
          !known.includes(prefix + name),
      )
      .map(([name]) => prefix + name),
  );
  assert.equal(missing, []);
});

test('names near a known one are told, values of the wrong kind and positional ones are refused', async () => {
  const x = zeros([2, 3]);
  const labels = tensor(new Int32Array([0, 2]));
  const p = [new nn.Parameter(zeros([2]))];
  const rows: [() => unknown, RegExp][] = [
    [
      () => new optim.SGD(p, { lr: 1, weight_decay: 0.1 } as Options as never),
      /SGD: there is no option 'weight_decay': did you mean weightDecay\?/,
    ],
    [() => new optim.Adam([{ params: p, wieghtDecay: 1 } as never]), /Adam, group 0: .*did you mean weightDecay\?/],
    [
      () => new featureFlow.ScaledGradientDescent(p, {} as never),
      /ScaledGradientDescent: the learning rate is missing/,
    ],
    [
      () => new optim.SGD(p, 0.1 as never),
      /SGD: options are an object \{ lr, momentum, .*\}, such as \{ lr: 0.1 \}; given was 0.1/,
    ],
    [() => new optim.Adam(p, { lr: '0.1' } as never), /Adam: lr '0.1' must be a number/],
    [() => F.dropout(x, 0.9 as never), /dropout: options are an object \{ p, training \}, such as \{ p: 0.9 \}/],
    [() => F.dropout(x, { p: Number.NaN }), /dropout: p NaN must be a number/],
    [() => F.crossEntropy(x, labels, 'sum' as never), /crossEntropy: options .* such as \{ reduction: 'sum' \}/],
    [() => F.crossEntropy(x, labels, { reduction: 'avg' } as never), /reduction 'avg' must be 'none', 'mean' or 'sum'/],
    [() => F.layerNorm(x, [3], x as never), /layerNorm: options .*given was \(Tensor\)/],
    [() => new nn.Conv2d(1, 8, 3, 2 as never), /Conv2d: options .* such as \{ stride: 2 \}/],
    [
      () => new nn.Conv2d(1, 8, 3, { stride: '2' } as never),
      /Conv2d: stride '2' must be a number or an array of numbers/,
    ],
    [() => new nn.Linear(1, 1, false as never), /Linear: options .* such as \{ bias: false \}/],
    [() => new DataLoader([1], 4 as never), /DataLoader: options .* such as \{ batchSize: 4 \}/],
    [() => new DataLoader([1], { shuffle: 1 } as never), /DataLoader: shuffle 1 must be true or false/],
    [() => zeros([2], 'int32' as never), /full: options .* such as \{ dtype: 'int32' \}/],
    [
      () => F.maxPool2d(zeros([1, 1, 4, 4]), { kernel_size: 2 } as never),
      /maxPool2d: there is no option 'kernel_size'/,
    ],
  ];
  for (const [call, message] of rows) assert.match(await refusal(call), message);
  assert.is(new optim.Adam(p, { lr: undefined, eps: 1e-3 }).groups[0].lr, 1e-3, 'undefined stands for the default');
});

test.run();
