// Networks with torchvision's names: parameter counts and keys, and what PyTorch 2.13 (float64) gives for weights by the formula of
// tests/examples/ported.test.ts.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { models, type nn, noGrad, tensor, zeros } from '../../src/index.node.js';
import { close, useGpu } from '../util';

useGpu();

const count = (model: nn.AnyModule) => [...model.parameters()].reduce((sum, p) => sum + p.size, 0);

test('ResNet-18 and ResNet-50 have the parameters and keys of torchvision', () => {
  const small = models.resnet18();
  assert.is(count(small), 11_689_512);
  const shapes = Object.entries(small.stateDict()).map(([key, { shape }]) => `${key} [${shape}]`);
  assert.is(shapes.length, 122);
  for (const key of [
    'conv1.weight [64,3,7,7]',
    'bn1.running_mean [64]',
    'layer1.1.conv2.weight [64,64,3,3]',
    'layer2.0.downsample.0.weight [128,64,1,1]',
    'layer2.0.downsample.1.running_var [128]',
    'layer4.1.bn2.bias [512]',
    'fc.weight [1000,512]',
  ])
    assert.ok(shapes.includes(key), key);
  const large = models.resnet50({ numClasses: 10 });
  assert.is(count(large), 25_557_032 - 990 * 2049);
  const { shape } = large.stateDict()['layer3.5.conv3.weight'];
  assert.equal(shape, [1024, 256, 1, 1]);
});

/** The parameters by the formula, and the rest as it is. */
function byFormula<M extends nn.Module>(module: M): M {
  const made = [...module.namedParameters()].map(([name, { shape, size }], k) => {
    const values = Float32Array.from({ length: size }, (_, i) => Math.sin(0.7 * i + k + 1) / 4);
    return [name, tensor(values, { shape })] as const;
  });
  module.loadStateDict(Object.fromEntries(made), { strict: false });
  module.eval();
  return module;
}

const waves = Float32Array.from({ length: 2 * 3 * 32 * 32 }, (_, i) =>
  Math.sin(0.3 * (Math.floor(i / 32) % 32) + 0.5 * (i % 32) + (Math.floor(i / 1024) % 3) + Math.floor(i / 3072)),
);

test('logits in evaluation', async () => {
  const images = tensor(waves, { shape: [2, 3, 32, 32] });
  const basic = new models.ImageResNet({ block: 'basic', layers: [2, 1, 1, 1], width: 8, numClasses: 5 });
  const narrow = { width: 8, groups: 2, widthPerGroup: 32, numClasses: 5 };
  const bottleneck = new models.ImageResNet({ block: 'bottleneck', layers: [1, 2, 1, 1], ...narrow });
  const logits = (model: nn.Module) => noGrad(() => byFormula(model).forward(images)).data();
  close(
    await logits(basic),
    [
      -0.287435877, -0.102148236, 0.174334147, 0.380600372, 0.380818565, -0.287455194, -0.102163843, 0.174332116,
      0.380613201, 0.380838144,
    ],
    2e-5,
  );
  close(
    await logits(bottleneck),
    [
      -0.678177574, 0.498563649, -0.426101593, 0.819096841, -0.360098146, -0.678177612, 0.498563684, -0.426101626,
      0.81909687, -0.360098172,
    ],
    2e-5,
  );
});

test('a vision transformer has the keys of torchvision and learns', async () => {
  const shape = { imageSize: 8, patchSize: 4, numLayers: 2, numHeads: 2, hiddenDim: 8, mlpDim: 16, numClasses: 3 };
  const model = new models.VisionTransformer(shape);
  const block = (i: number) =>
    [
      ...['ln_1.weight', 'ln_1.bias', 'self_attention.in_proj_weight', 'self_attention.in_proj_bias'],
      ...['self_attention.out_proj.weight', 'self_attention.out_proj.bias', 'ln_2.weight', 'ln_2.bias'],
      ...['mlp.0.weight', 'mlp.0.bias', 'mlp.3.weight', 'mlp.3.bias'],
    ].map((name) => `encoder.layers.encoder_layer_${i}.${name}`);
  assert.equal(Object.keys(model.stateDict()), [
    ...['class_token', 'conv_proj.weight', 'conv_proj.bias', 'encoder.pos_embedding', ...block(0), ...block(1)],
    ...['encoder.ln.weight', 'encoder.ln.bias', 'heads.head.weight', 'heads.head.bias'],
  ]);
  const x = tensor(waves.subarray(0, 384), { shape: [2, 3, 8, 8] });
  const loss = model.forward(x).square().mean();
  loss.backward();
  for (const [name, p] of model.namedParameters()) assert.ok(p.grad, name);
  assert.throws(() => model.forward(zeros([1, 3, 4, 4])), /made for images of 8×8.*\[1, 3, 4, 4\]/);
  assert.throws(() => new models.VisionTransformer({ ...shape, patchSize: 3 }), /patches of 3 do not fill/);
});

test('U-Net: shapes and a refusal', () => {
  const model = new models.UNet({ inChannels: 2, outChannels: 3, channels: [4, 8] });
  assert.equal(model.forward(zeros([1, 2, 6, 4])).shape, [1, 3, 6, 4]);
  assert.throws(() => model.forward(zeros([1, 2, 5, 4])), /multiples of 2.*\[1, 2, 5, 4\]/);
});

test.run();
