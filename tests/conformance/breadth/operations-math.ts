// Elementwise functions, reductions, products and linear algebra under PyTorch's names.
import { glu, prelu, rrelu, softmin } from '../../../src/ops/activations';
import * as b from '../../../src/ops/binary';
import { einsum } from '../../../src/ops/einsum';
import * as elementwise from '../../../src/ops/elementwise';
import * as linalg from '../../../src/ops/linalg';
import { logdet } from '../../../src/ops/linalg/determinant';
import { matrixNorm } from '../../../src/ops/matrix-norm';
import * as pointwise from '../../../src/ops/pointwise';
import * as products from '../../../src/ops/products';
import { nanquantile, quantile } from '../../../src/ops/quantile';
import * as statistics from '../../../src/ops/statistics';
import * as u from '../../../src/ops/unary';
import { dist, renorm, vectorNorm } from '../../../src/ops/vector-norm';
import { clamp } from '../../../src/ops/where';
import type { Operation } from './operations';

/** Functions of one tensor, by their names here where those differ in more than the case. */
const unary: Record<string, keyof typeof u> = {
  ...Object.fromEntries(
    ['erfinv', 'lgamma', 'digamma', 'sinc', 'frac', 'deg2rad', 'rad2deg', 'signbit', 'neg', 'sign', 'floor', 'ceil', 'round', 'trunc',
      'isnan', 'isinf', 'isfinite', 'asin', 'acos', 'tan', 'sinh', 'cosh'].map((name) => [`torch.${name}`, name]), // biome-ignore format: one list
  ),
  ...Object.fromEntries(
    [
      'i0',
      'i0e',
      'i1',
      'i1e',
      'entr',
      'ndtr',
      'ndtri',
      'erfinv',
      'digamma',
      'sinc',
      'expm1',
      'exp2',
      'log1p',
      'erf',
      'erfc',
      'round',
    ].map((name) => [`torch.special.${name}`, name]),
  ),
  'torch.i0': 'i0',
  'torch.special.log_ndtr': 'logNdtr',
  'torch.special.gammaln': 'lgamma',
  'torch.special.psi': 'digamma',
  'torch.special.expit': 'sigmoid',
  'torch.logical_not': 'logicalNot',
  'F.tanhshrink': 'tanhshrink',
};

const binary: Record<string, keyof typeof b> = {
  ...Object.fromEntries(
    ['xlogy', 'logaddexp', 'logaddexp2', 'copysign', 'ldexp', 'heaviside', 'gcd', 'lcm'].map((name) => [
      `torch.${name}`,
      name,
    ]),
  ),
  'torch.special.xlogy': 'xlogy',
  'torch.special.xlog1py': 'xlog1py',
  'torch.float_power': 'floatPower',
  'torch.floor_divide': 'floorDiv',
  'torch.bitwise_and': 'bitwiseAnd',
  'torch.bitwise_or': 'bitwiseOr',
  'torch.bitwise_xor': 'bitwiseXor',
  'torch.bitwise_left_shift': 'bitwiseLeftShift',
  'torch.bitwise_right_shift': 'bitwiseRightShift',
  'torch.logical_and': 'logicalAnd',
  'torch.logical_or': 'logicalOr',
  'torch.logical_xor': 'logicalXor',
  ...Object.fromEntries(['eq', 'ne', 'lt', 'le', 'gt', 'ge'].map((name) => [`torch.${name}`, name])),
};

export const math: Record<string, Operation> = {
  ...Object.fromEntries(
    Object.entries(unary).map(([name, ours]): [string, Operation] => [name, ([x]) => (u[ours] as typeof u.abs)(x)]),
  ),
  ...Object.fromEntries(
    Object.entries(binary).map(([name, ours]): [string, Operation] => [
      name,
      ([x, y], { other, exponent, values, input }) => b[ours](x ?? input, y ?? other ?? exponent ?? values),
    ]),
  ),
  'torch.logit': ([x], o) => pointwise.logit(x, o),
  'torch.special.logit': ([x], o) => pointwise.logit(x, o),
  'torch.polygamma': ([x], { n }) => pointwise.polygamma(x, n),
  'torch.special.polygamma': ([x], { n }) => pointwise.polygamma(x, n),
  'torch.nan_to_num': ([x], o) => pointwise.nanToNum(x, o),
  'torch.bitwise_not': ([x]) => pointwise.bitwiseNot(x),
  'torch.sgn': ([x]) => pointwise.sgn(x),
  'torch.positive': ([x]) => pointwise.positive(x),
  'torch.add': ([x, y], { other, ...o }) => elementwise.add(x, y ?? other, o),
  'torch.sub': ([x, y], { other, ...o }) => elementwise.sub(x, y ?? other, o),
  'torch.rsub': ([x, y], { other, ...o }) => pointwise.rsub(x, y ?? other, o),
  'torch.div': ([x, y], { other, ...o }) => elementwise.div(x, y ?? other, o),
  'torch.true_divide': ([x, y], { other }) => pointwise.trueDivide(x, y ?? other),
  'torch.lerp': ([x, y, w], { weight }) => pointwise.lerp(x, y, w ?? weight),
  'torch.addcmul': ([x, y, z], o) => pointwise.addcmul(x, y, z, o),
  'torch.addcdiv': ([x, y, z], o) => pointwise.addcdiv(x, y, z, o),
  'torch.isclose': ([x, y], o) => pointwise.isclose(x, y, o),
  'torch.clamp': ([x, low, high], { min, max }) => clamp(x, low ?? min, high ?? max),
  'torch.clip': ([x, low, high], { min, max }) => clamp(x, low ?? min, high ?? max),
  'F.hardshrink': ([x], { lambd = 0.5 }) => u.hardshrink(x, lambd),
  'F.softshrink': ([x], { lambd = 0.5 }) => u.softshrink(x, lambd),
  'F.threshold': ([x], { threshold, value }) => u.threshold(x, threshold, value),
  'F.hardtanh': ([x], { minVal = -1, maxVal = 1 }) => u.hardTanh(x, minVal, maxVal),
  'F.glu': ([x], { dim = -1 }) => glu(x, dim),
  'F.softmin': ([x], { dim }) => softmin(x, dim),
  'F.prelu': ([x, w]) => prelu(x, w),
  'F.rrelu': ([x], o) => rrelu(x, o),
  'F.hardsigmoid': ([x]) => u.hardSigmoid(x),
  'torch.einsum': (operands, { equation }) => einsum(equation, ...operands.flat()),
  'torch.bmm': ([a, b]) => products.bmm(a, b),
  'torch.mv': ([a, b]) => products.mv(a, b),
  'torch.dot': ([a, b]) => products.dot(a, b),
  'torch.vdot': ([a, b]) => products.vdot(a, b),
  'torch.inner': ([a, b]) => products.inner(a, b),
  'torch.outer': ([a, b]) => products.outer(a, b),
  'torch.ger': ([a, b]) => products.outer(a, b),
  'torch.kron': ([a, b]) => products.kron(a, b),
  'torch.tensordot': ([a, b], { dims = 2 }) => products.tensordot(a, b, dims),
  'torch.addmm': ([x, a, b], o) => products.addmm(x, a, b, o),
  'torch.addmv': ([x, a, b], o) => products.addmv(x, a, b, o),
  'torch.addr': ([x, a, b], o) => products.addr(x, a, b, o),
  'torch.baddbmm': ([x, a, b], o) => products.baddbmm(x, a, b, o),
  'torch.addbmm': ([x, a, b], o) => products.addbmm(x, a, b, o),
  'torch.chain_matmul': (matrices) => products.chainMatmul(...matrices.flat()),
  'torch.linalg.multi_dot': ([matrices]) => products.multiDot(matrices),
  'torch.cross': ([a, b], { dim }) => products.cross(a, b, dim),
  'torch.linalg.cross': ([a, b], { dim = -1 }) => products.cross(a, b, dim),
  'F.bilinear': ([a, b, w, bias]) => products.bilinear(a, b, w, bias),
  'torch.quantile': ([x, given], { q, dim, keepdim, ...o }) => quantile(x, given ?? q, dim, keepdim, o),
  'torch.nanquantile': ([x, given], { q, dim, keepdim, ...o }) => nanquantile(x, given ?? q, dim, keepdim, o),
  'torch.cov': ([x], o) => statistics.cov(x, o),
  'torch.corrcoef': ([x]) => statistics.corrcoef(x),
  'torch.var_mean': ([x], { dim, keepdim, correction }) =>
    Object.values(statistics.varMean(x, dim, keepdim, correction)),
  'torch.std_mean': ([x], { dim, keepdim, correction }) =>
    Object.values(statistics.stdMean(x, dim, keepdim, correction)),
  'torch.nansum': ([x], { dim, keepdim }) => statistics.nansum(x, dim, keepdim),
  'torch.nanmean': ([x], { dim, keepdim }) => statistics.nanmean(x, dim, keepdim),
  'torch.trace': ([x]) => statistics.trace(x),
  'torch.trapezoid': ([y, x], { x: places, ...o }) => statistics.trapezoid(y, { ...o, x: x ?? places }),
  'torch.cumulative_trapezoid': ([y, x], { x: places, ...o }) =>
    statistics.cumulativeTrapezoid(y, { ...o, x: x ?? places }),
  'torch.linalg.vector_norm': ([x], { ord, dim, keepdim }) => vectorNorm(x, ord, dim, keepdim),
  'torch.linalg.matrix_norm': ([x], { ord, dim, keepdim }) => matrixNorm(x, ord, dim, keepdim),
  'torch.norm': ([x], { p, dim, keepdim }) => vectorNorm(x, p === 'fro' || p === null ? 2 : p, dim, keepdim),
  'torch.dist': ([a, b], { p }) => dist(a, b, p),
  'torch.renorm': ([x], { p, dim, maxnorm }) => renorm(x, p, dim, maxnorm),
  'torch.linalg.inv': ([a]) => linalg.inv(a),
  'torch.inverse': ([a]) => linalg.inv(a),
  'torch.linalg.det': ([a]) => linalg.det(a),
  'torch.det': ([a]) => linalg.det(a),
  'torch.logdet': ([a]) => logdet(a),
  'torch.linalg.slogdet': ([a]) => Object.values(linalg.slogdet(a)),
  'torch.slogdet': ([a]) => Object.values(linalg.slogdet(a)),
  'torch.linalg.solve': ([a, b], o) => linalg.solve(a, b, o),
  'torch.linalg.solve_triangular': ([a, b], o) => linalg.solveTriangular(a, b, o as linalg.SolveTriangularOptions),
  'torch.linalg.cholesky': ([a], o) => linalg.cholesky(a, o),
  'torch.linalg.matrix_power': ([a], { n }) => linalg.matrixPower(a, n),
  'torch.matrix_power': ([a], { n }) => linalg.matrixPower(a, n),
  'torch.linalg.matmul': ([a, b]) => linalg.matmul(a, b),
  'torch.linalg.norm': ([x], { ord, dim, keepdim }) => linalg.norm(x, ord, dim, keepdim),
  'torch.linalg.vecdot': ([a, b], { dim }) => linalg.vecdot(a, b, dim),
};
