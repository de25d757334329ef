// Normalisation, softmax, dropout.
import { at } from '../../../shaders/checked';
import type { normalize } from '../../ops/distance';
import type { dropout } from '../../ops/dropout';
import type { atLeast } from '../../ops/losses';
import type { batchNorm, groupNorm, layerNorm } from '../../ops/norm';
import type { localResponseNorm, rmsNorm } from '../../ops/norm-nd';
import type { softmax } from '../../ops/softmax';
import { size } from '../../tensor/shape';
import type { Tensor } from '../../tensor/tensor';
import type { Draft } from '../draft';
import { axesOf, axis, filled, type Mappings, of, unmapped, whole } from './mapping';

/** A tensor, or a vector of equal numbers in its place. */
const orFilled = (e: Draft, x: Tensor | null | undefined, n: number, value: number): string =>
  x ? e.of(x) : filled(e, n, value);

/** y · weight + bias, both [C] for dimension 1 of y. */
function perChannel(e: Draft, y: string, x: Tensor, weight?: Tensor | null, bias?: Tensor | null): string {
  const planes = [at(x.shape, 1), ...x.shape.slice(2).map(() => 1)];
  const wide = (t: Tensor) => e.reshape(e.of(t), t.shape, planes);
  const scaled = weight ? e.node('Mul', [y, wide(weight)]) : y;
  return bias ? e.node('Add', [scaled, wide(bias)]) : scaled;
}

/** The root mean square over axes, with eps. */
function root(e: Draft, square: string, axes: readonly number[], eps: number): string {
  const mean = e.node('ReduceMean', [square, whole(e, axes)], { keepdims: 1 });
  return e.node('Sqrt', [e.node('Add', [mean, e.number(eps)])]);
}

export const norms: Mappings = {
  batchNorm: of<typeof batchNorm>((e, _, x, options) => {
    const { weight, bias, runningMean, runningVar, training, eps = 1e-5, activation } = options;
    const channels = at(x.shape, 1);
    const value = e.of(x);
    const normal = () => {
      if (!training && runningMean && runningVar) {
        const inputs = [orFilled(e, weight, channels, 1), orFilled(e, bias, channels, 0)];
        const statistics = [e.of(runningMean), e.of(runningVar)];
        return e.node('BatchNormalization', [value, ...inputs, ...statistics], { epsilon: { float: eps } });
      }
      const axes = x.shape.map((_n, d) => d).filter((d) => d !== 1);
      const centered = e.node('Sub', [value, e.node('ReduceMean', [value, whole(e, axes)], { keepdims: 1 })]);
      const deviation = root(e, e.node('Mul', [centered, centered]), axes, eps);
      return perChannel(e, e.node('Div', [centered, deviation]), x, weight, bias);
    };
    const y = normal();
    return activation ? e.node('Relu', [y]) : y;
  }),
  layerNorm: of<typeof layerNorm>((e, _, x, sizes, { weight, bias, eps = 1e-5 } = {}) => {
    const shape = typeof sizes === 'number' ? [sizes] : sizes;
    const ones = () => e.data('float32', shape, new Float32Array(size(shape)).fill(1));
    const inputs = [e.of(x), weight ? e.of(weight) : ones(), bias ? e.of(bias) : null];
    return e.node('LayerNormalization', inputs, { axis: -shape.length, epsilon: { float: eps } });
  }),
  groupNorm: of<typeof groupNorm>((e, _, x, groups, { weight, bias, eps = 1e-5 } = {}) => {
    const lines = [at(x.shape, 0), groups, x.size / at(x.shape, 0) / groups];
    const flat = e.reshape(e.of(x), x.shape, lines);
    const inputs = [flat, filled(e, groups, 1), filled(e, groups, 0)];
    const y = e.node('InstanceNormalization', inputs, { epsilon: { float: eps } });
    return perChannel(e, e.reshape(y, lines, x.shape), x, weight, bias);
  }),
  rmsNorm: of<typeof rmsNorm>((e, _, x, sizes, { weight, eps } = {}) => {
    const count = typeof sizes === 'number' ? 1 : sizes.length;
    const axes = Array.from({ length: count }, (_n, i) => x.ndim - count + i);
    const value = e.of(x);
    const y = e.node('Div', [value, root(e, e.node('Mul', [value, value]), axes, eps ?? 2 ** -23)]);
    return weight ? e.node('Mul', [y, e.of(weight)]) : y;
  }),
  localResponseNorm: of<typeof localResponseNorm>((e, _, x, width, { alpha = 1e-4, beta = 0.75, k = 1 } = {}) => {
    if (width % 2 === 0 || x.ndim !== 4) throw unmapped(e, 'has an even window or no images');
    const floats = { alpha: { float: alpha }, beta: { float: beta }, bias: { float: k } };
    return e.node('LRN', [e.of(x)], { ...floats, size: width });
  }),
  normalize: of<typeof normalize>((e, _, x, { p = 2, dim = 1, eps = 1e-12 } = {}) => {
    if (p !== 1 && p !== 2) throw unmapped(e, `takes the ${p}-norm`);
    const length = e.node(`ReduceL${p}`, [e.of(x), whole(e, axesOf(x, dim))], { keepdims: 1 });
    return e.node('Div', [e.of(x), e.node('Max', [length, e.number(eps)])]);
  }),
  atLeast: of<typeof atLeast>((e, _, x, least) => e.node('Max', [e.of(x), e.number(least)])),
  softmax: of<typeof softmax>((e, _, x, dim = -1) => e.node('Softmax', [e.of(x)], { axis: axis(x, dim) })),
  logSoftmax: of<typeof softmax>((e, _, x, dim = -1) => e.node('LogSoftmax', [e.of(x)], { axis: axis(x, dim) })),
  dropout: of<typeof dropout>((e, _, x, { p = 0.5, training = true } = {}) => {
    if (training && p > 0) throw unmapped(e, 'drops elements in evaluation mode too');
    return e.of(x);
  }),
};
