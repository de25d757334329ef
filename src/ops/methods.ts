// Operations as methods of Tensor: `x.add(y)`, `x.sum(0)`, `x.backward()`. The functions tell what they do; those of several tensors alike, such as `concat`, are none.

import { backward } from '../autograd/backward';
import { registerHook, retainGrad } from '../autograd/hooks';
import { detach } from '../autograd/tape';
import { safePoint } from '../tensor/memory';
import { Tensor } from '../tensor/tensor';
import { prelu } from './activations';
import * as assign from './assign';
import type { BinaryFunctions, UnaryFunctions as OfTable } from './elementwise';
import * as elementwise from './elementwise';
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
  ...assign,
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

declare module '../tensor/tensor' {
  interface Tensor extends UnaryMethods, BinaryMethods, OtherMethods, OverloadedMethods {}
}

for (const [name, f] of Object.entries({
  ...elementwise.binaryFunctions,
  ...functions,
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
