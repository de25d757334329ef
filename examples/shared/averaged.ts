// Images made smaller by averaging, batch by batch, after crops and flips: small networks then train in minutes.

import type { BatchSource } from '../../src/data/batches';
import { F, noGrad } from '../../src/index';

/** The same batches with images of `size` by `size` pixels, each the mean of those that it covers; without a size as they are. */
export function averaged(source: BatchSource, size = 32): BatchSource {
  if (size === 32) return source;
  return {
    count: source.count,
    *batches(options) {
      for (const batch of source.batches(options))
        yield { ...batch, images: noGrad(() => F.adaptiveAvgPool2d(batch.images, [size, size])) };
    },
  };
}
