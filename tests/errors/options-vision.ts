// Calls of operations on images with the options in their place, for options.test.ts.
import { F, tensor, zeros } from '../../src/index.node.js';

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
  };
}
