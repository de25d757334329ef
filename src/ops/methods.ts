// Operations as methods of Tensor: `x.add(y)`, `x.sum(0)`, `x.backward()`. The functions tell what they do; those of several tensors alike, such as `concat`, are none.

import * as backward from '../autograd/backward';
import * as hooks from '../autograd/hooks';
import * as tape from '../autograd/tape';
import { safePoint } from '../tensor/memory';
import { Tensor } from '../tensor/tensor';
import * as activations from './activations';
import * as assign from './assign';
import * as binary from './binary';
import * as elementwise from './elementwise';
import { IN_PLACE, type InPlace, inPlace } from './in-place';
import { indexingMethods, type OverloadedMethods, pick } from './indexing-methods';
import * as join from './join';
import * as determinant from './linalg/determinant';
import * as solve from './linalg/solve';
import * as matmul from './matmul';
import * as pad from './pad';
import * as pointwise from './pointwise';
import * as print from './print';
import { describe, inspect } from './print';
import * as products from './products';
import * as quantile from './quantile';
import * as reduce from './reduce';
import * as softmax from './softmax';
import * as statistics from './statistics';
import * as unary from './unary';
import * as vectorNorm from './vector-norm';
import * as views from './views';
import * as whereFunctions from './where';

/** A function of a tensor as a method of it. */
type Method<F> = F extends (x: Tensor, ...rest: infer R) => infer Y ? (...rest: R) => Y : never;
type Methods<T> = { [K in keyof T]: Method<T[K]> };

const { variance, ...reductions } = reduce;

const functions = {
  ...unary,
  ...pick(elementwise, 'add', 'sub', 'div', 'gelu', 'cast'),
  ...pick(activations, 'prelu'),
  ...pointwise,
  ...pick(whereFunctions, 'clamp'),
  /** `cast`: the same values in another dtype, as PyTorch's `to`. */
  to: elementwise.cast,
  ...reductions,
  /** `variance`: over some axes, as `torch.var`. */
  var: variance,
  ...pick(statistics, 'corrcoef', 'cov', 'nanmean', 'nansum', 'stdMean', 'trace', 'varMean'),
  ...pick(vectorNorm, 'dist', 'renorm'),
  ...pick(quantile, 'nanquantile', 'quantile'),
  ...pick(matmul, 'matmul'),
  ...pick(determinant, 'cholesky', 'det', 'logdet', 'matrixPower', 'slogdet'),
  ...pick(solve, 'inv'),
  /** `inv`: the inverse of each matrix, as `torch.inverse`. */
  inverse: solve.inv,
  ...pick(
    products,
    'addbmm',
    'addmm',
    'addmv',
    'addr',
    'baddbmm',
    'bmm',
    'cross',
    'dot',
    'inner',
    'kron',
    'mv',
    'outer',
    'vdot',
  ),
  ...views,
  ...pick(join, 'chunk', 'split'),
  ...pick(pad, 'pad'),
  ...pick(softmax, 'logSoftmax', 'softmax'),
  ...indexingMethods,
  ...pick(print, 'print', 'show'),
  ...pick(assign, 'assign_', 'zero_'),
  ...pick(backward, 'backward'),
  ...pick(tape, 'detach'),
  ...pick(hooks, 'registerHook', 'retainGrad'),
};

type UnaryFunctions = Omit<typeof unary, 'clamp' | keyof typeof pointwise>;
type UnaryMethods = Methods<UnaryFunctions>;
type BinaryMethods = {
  [K in keyof Omit<typeof binary, keyof typeof functions>]: (other: elementwise.Operand) => Tensor;
};
type OtherMethods = Methods<Omit<typeof functions, keyof UnaryFunctions | keyof OverloadedMethods>>;

type OutOfPlace = UnaryMethods & BinaryMethods & OtherMethods & OverloadedMethods;
type InPlaceMethods = {
  [K in InPlace as `${K}_`]: OutOfPlace[K] extends (...rest: infer R) => unknown ? (...rest: R) => Tensor : never;
};

declare module '../tensor/tensor' {
  interface Tensor extends UnaryMethods, BinaryMethods, OtherMethods, OverloadedMethods, InPlaceMethods {}
}

const named: Record<string, unknown> = { ...binary, ...functions };
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
