// Operations on images inside compiled steps: the same bits as eager ones, with tables that were there before the trace and with new ones.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { compile, F, type Tensor } from '../../src/index.node.js';
import { random } from '../ops/linear-maps';
import { useGpu } from '../util';

useGpu();

const step = (image: Tensor, grid: Tensor): Tensor[] => {
  const x = image.clone().detach().requiresGrad_();
  const places = grid.clone().detach().requiresGrad_();
  const larger = F.interpolate(x, { scaleFactor: 1.5, mode: 'bilinear' });
  const framed = F.pad(larger, [1, 2, 0, 1], { mode: 'reflect' });
  const { values, indices } = F.maxPool2dWithIndices(framed, 2);
  const back = F.maxUnpool2d(values, indices, 2, { outputSize: framed.shape });
  const columns = F.fold(F.unfold(back, 2), back.shape.slice(2) as [number, number], 2);
  const seen = F.gridSample(columns, places);
  F.rmsNorm(F.localResponseNorm(seen, 3), seen.shape[3]).square().sum().backward();
  return [seen, x.grad!, places.grad!];
};

test('compiled and eager steps give the same bits', async () => {
  for (const size of [4, 6]) {
    const args = [random([1, 2, size, size], 1), random([1, 3, 2, 2], 2)] as const;
    const read = async (results: Tensor[]) => Promise.all(results.map(async (t) => [...(await t.data())]));
    const want = await read(step(...args));
    const compiled = compile(step);
    for (let call = 0; call < 3; call++) assert.equal(await read(compiled(...args)), want, `call ${call}`);
    // Another shape, whose tables are made while it is traced.
    const other = [random([1, 2, size + 1, size + 3], 3), args[1]] as const;
    const traced = await read(compiled(...other));
    assert.equal(traced, await read(step(...other)));
  }
});

test.run();
