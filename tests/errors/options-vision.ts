// Calls of operations on images with the options in their place, for options.test.ts.
import { F, nn, tensor, zeros } from '../../src/index.node.js';

export function visionCalls(): Record<string, (options: never) => unknown> {
  const line = zeros([1, 2, 6]);
  const image = zeros([1, 2, 6, 6]);
  const volume = zeros([1, 2, 4, 4, 4]);
  const indices = tensor(new Int32Array([0, 3]), { shape: [1, 1, 2] });
  const planes = tensor(new Int32Array([0]), { shape: [1, 1, 1, 1] });
  const volumes = tensor(new Int32Array([0]), { shape: [1, 1, 1, 1, 1] });
  const kernel = (o: object) => ({ kernel: 2, ...o });
  return {
    'F.interpolate': (o) => F.interpolate(image, { size: 2, ...(o as object) }),
    'F.unfold': (o) => F.unfold(image, 2, o),
    'F.fold': (o) => F.fold(zeros([1, 4, 4]), 3, 2, o),
    'F.maxPool1d': (o) => F.maxPool1d(line, kernel(o)),
    'F.maxPool3d': (o) => F.maxPool3d(volume, kernel(o)),
    'F.avgPool1d': (o) => F.avgPool1d(line, kernel(o)),
    'F.avgPool3d': (o) => F.avgPool3d(volume, kernel(o)),
    'F.lpPool1d': (o) => F.lpPool1d(line, 2, 2, o),
    'F.lpPool2d': (o) => F.lpPool2d(image, 2, 2, o),
    'F.lpPool3d': (o) => F.lpPool3d(volume, 2, 2, o),
    'F.maxUnpool1d': (o) => F.maxUnpool1d(zeros([1, 1, 2]), indices, 2, o),
    'F.maxUnpool2d': (o) => F.maxUnpool2d(zeros([1, 1, 1, 1]), planes, 2, o),
    'F.maxUnpool3d': (o) => F.maxUnpool3d(zeros([1, 1, 1, 1, 1]), volumes, 2, o),
    'F.conv3d': (o) => F.conv3d(volume, zeros([1, 2, 1, 1, 1]), null, o),
    'F.convTranspose1d': (o) => F.convTranspose1d(line, zeros([2, 1, 1]), null, o),
    'F.convTranspose3d': (o) => F.convTranspose3d(volume, zeros([2, 1, 1, 1, 1]), null, o),
    'F.instanceNorm': (o) => F.instanceNorm(image, o),
    'F.rmsNorm': (o) => F.rmsNorm(image, 6, o),
    'F.localResponseNorm': (o) => F.localResponseNorm(image, 3, o),
    'F.gridSample': (o) => F.gridSample(image, zeros([1, 1, 1, 2]), o),
    'F.affineGrid': (o) => F.affineGrid(zeros([1, 2, 3]), [1, 1, 2, 2], o),
    'nn.Conv3d': (o) => new nn.Conv3d(1, 1, 1, o),
    'nn.ConvTranspose1d': (o) => new nn.ConvTranspose1d(1, 1, 1, o),
    'nn.ConvTranspose3d': (o) => new nn.ConvTranspose3d(1, 1, 1, o),
    'nn.BatchNorm3d': (o) => new nn.BatchNorm3d(1, o),
    'nn.InstanceNorm1d': (o) => new nn.InstanceNorm1d(1, o),
    'nn.InstanceNorm2d': (o) => new nn.InstanceNorm2d(1, o),
    'nn.InstanceNorm3d': (o) => new nn.InstanceNorm3d(1, o),
    'nn.RMSNorm': (o) => new nn.RMSNorm(1, o),
    'nn.LocalResponseNorm': (o) => new nn.LocalResponseNorm(3, o),
    'nn.MaxPool1d': (o) => new nn.MaxPool1d(kernel(o)),
    'nn.MaxPool3d': (o) => new nn.MaxPool3d(kernel(o)),
    'nn.AvgPool1d': (o) => new nn.AvgPool1d(kernel(o)),
    'nn.AvgPool3d': (o) => new nn.AvgPool3d(kernel(o)),
    'nn.LPPool1d': (o) => new nn.LPPool1d(2, 2, o),
    'nn.LPPool2d': (o) => new nn.LPPool2d(2, 2, o),
    'nn.LPPool3d': (o) => new nn.LPPool3d(2, 2, o),
    'nn.AdaptiveMaxPool1d': (o) => new nn.AdaptiveMaxPool1d(2, o),
    'nn.AdaptiveMaxPool2d': (o) => new nn.AdaptiveMaxPool2d(2, o),
    'nn.AdaptiveMaxPool3d': (o) => new nn.AdaptiveMaxPool3d(2, o),
    'nn.MaxUnpool1d': (o) => new nn.MaxUnpool1d(2, o),
    'nn.MaxUnpool2d': (o) => new nn.MaxUnpool2d(2, o),
    'nn.MaxUnpool3d': (o) => new nn.MaxUnpool3d(2, o),
    'nn.Upsample': (o) => new nn.Upsample({ size: 2, ...(o as object) }),
    'nn.Unfold': (o) => new nn.Unfold(2, o),
    'nn.Fold': (o) => new nn.Fold(3, 2, o),
  };
}
