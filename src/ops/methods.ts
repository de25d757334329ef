// Operations as methods of Tensor: `x.add(y)`, `x.sum(0)`, `x.backward()`. The functions tell what they do; those of several tensors alike, such as `concat`, are none.

import { backward } from '../autograd/backward';
import { registerHook, retainGrad } from '../autograd/hooks';
import { detach } from '../autograd/tape';
import { safePoint } from '../tensor/memory';
import { Tensor } from '../tensor/tensor';
import { prelu } from './activations';
import { assign_, zero_ } from './assign';
import type { BinaryFunctions, UnaryFunctions as OfTable } from './elementwise';
import * as elementwise from './elementwise';
import { IN_PLACE, type InPlace, inPlace } from './in-place';
import { indexingMethods, type OverloadedMethods } from './indexing-methods';
import { chunk, split } from './join';
import { cholesky, det, logdet, matrixPower, slogdet } from './linalg/determinant';
import { inv } from './linalg/solve';
import { matmul } from './matmul';
import { pad } from './pad';
import * as pointwise from './pointwise';
import { describe, inspect, print, show } from './print';
import { addbmm, addmm, addmv, addr, baddbmm, bmm, cross, dot, inner, kron, mv, outer, vdot } from './products';
import { nanquantile, quantile } from './quantile';
import * as reduce from './reduce';
import { logSoftmax, softmax } from './softmax';
import { corrcoef, cov, nanmean, nansum, stdMean, trace, varMean } from './statistics';
import { dist, renorm } from './vector-norm';
import * as views from './views';
import { clamp } from './where';

/** A function of a tensor as a method of it. */
type Method<F> = F extends (x: Tensor, ...rest: infer R) => infer Y ? (...rest: R) => Y : never;
type Methods<T> = { [K in keyof T]: Method<T[K]> };

const { variance, ...reductions } = reduce;

const functions = {
  ...elementwise.unaryFunctions,
  add: elementwise.add,
  sub: elementwise.sub,
  div: elementwise.div,
  prelu,
  ...pointwise,
  clamp,
  gelu: elementwise.gelu,
  cast: elementwise.cast,
  to: elementwise.cast,
  ...reductions,
  var: variance,
  corrcoef,
  cov,
  dist,
  nanmean,
  nanquantile,
  nansum,
  quantile,
  renorm,
  stdMean,
  trace,
  varMean,
  matmul,
  cholesky,
  det,
  inv,
  inverse: inv,
  logdet,
  matrixPower,
  slogdet,
  addbmm,
  addmm,
  addmv,
  addr,
  baddbmm,
  bmm,
  cross,
  dot,
  inner,
  kron,
  mv,
  outer,
  vdot,
  ...views,
  split,
  chunk,
  pad,
  softmax,
  logSoftmax,
  ...indexingMethods,
  show,
  print,
  assign_,
  zero_,
  backward,
  detach,
  registerHook,
  retainGrad,
};

type UnaryFunctions = Omit<OfTable, 'clamp' | keyof typeof pointwise>;
type UnaryMethods = Methods<UnaryFunctions>;
type BinaryMethods = {
  [K in Exclude<keyof BinaryFunctions, keyof typeof functions>]: (other: elementwise.Operand) => Tensor;
};
type OtherMethods = Methods<Omit<typeof functions, keyof UnaryFunctions | keyof OverloadedMethods>>;

type OutOfPlace = UnaryMethods & BinaryMethods & OtherMethods & OverloadedMethods;
type InPlaceMethods = {
  [K in InPlace as `${K}_`]: OutOfPlace[K] extends (...rest: infer R) => unknown ? (...rest: R) => Tensor : never;
};

declare module '../tensor/tensor' {
  interface Tensor extends UnaryMethods, BinaryMethods, OtherMethods, OverloadedMethods, InPlaceMethods {}
}

const named: Record<string, unknown> = { ...elementwise.binaryFunctions, ...functions };
type OfTensor = (x: Tensor, ...rest: never[]) => Tensor;

for (const [name, f] of Object.entries({
  ...named,
  ...Object.fromEntries(IN_PLACE.map((name) => [`${name}_`, inPlace(`${name}_`, named[name] as OfTensor)])),
  toString: describe,
  toJSON: describe,
}))
  Object.defineProperty(Tensor.prototype, name, {
    value(this: Tensor, ...rest: never[]) {
      safePoint();
      return (f as (x: Tensor, ...rest: never[]) => unknown)(this, ...rest);
    },
    writable: true,
    configurable: true,
  });

// What `console.log` shows in Node.
Object.defineProperty(Tensor.prototype, Symbol.for('nodejs.util.inspect.custom'), {
  value(this: Tensor) {
    return inspect(this);
  },
  configurable: true,
});
