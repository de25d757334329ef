// Singular values of small matrices, with gradients of any order: what the norms of matrices that go by them are made of.
import { tuple } from '../../../shaders/checked';
import { singular as kernel } from '../../../shaders/singular';
import { recordOutputs } from '../../autograd/custom-function';
import { operation } from '../../autograd/operation';
import { needsGradient } from '../../autograd/tape';
import { device } from '../../gpu';
import { eye } from '../../tensor/create';
import { bind, contiguous } from '../../tensor/elementwise';
import { size } from '../../tensor/shape';
import { empty, type Tensor } from '../../tensor/tensor';
import { add, div, mul, sub } from '../elementwise';
import { matmul } from '../matmul';
import { expression } from '../operands';
import { transpose, unsqueeze } from '../views';

/**
 * The singular values of matrices [..., m, n], in no order: [..., min(m, n)]. With B = Rᵀ·diag(s)·U (R orthogonal, rows of U orthonormal; B is the
 * matrix, or its transpose where it has more rows than columns) the gradient is, as in PyTorch's svd,
 *
 *   dB = Rᵀ · ((skew(R·dRᵀ)·s + s·skew(U·dUᵀ)) / E + diag(ds)) · U  +  Rᵀ · s⁻¹ · dU · (1 − Uᵀ·U),   E_ij = s_j² − s_i²
 *
 * whose terms in dR and dU are those of second derivatives alone: equal singular values have none.
 */
export const singularValues = operation('singularValues', function singularValues(x: Tensor): Tensor {
  const [rows, columns] = tuple(x.shape.slice(-2), 2);
  const b = contiguous(rows <= columns ? x : transpose(x));
  const [k, l] = tuple(b.shape.slice(-2), 2);
  const batch = b.shape.slice(0, -2);
  const name = 'singularValues';
  const [s, r, u] = [empty(name, [...batch, k]), empty(name, [...batch, k, k]), empty(name, b.shape)];
  device().launch(kernel(), [b, u, r, s].map(bind), [size(batch), k, l], size(batch));
  const input = rows <= columns ? x : transpose(x);
  if (!needsGradient(input)) return s;
  const skew = (t: Tensor): Tensor => sub(t, transpose(t));
  const rule = ([ds, dr, du]: readonly (Tensor | undefined)[]) => {
    const across = unsqueeze(s, -2);
    const down = unsqueeze(s, -1);
    const terms: Tensor[] = [];
    if (ds) terms.push(mul(unsqueeze(ds, -1), eye(k)));
    const gaps = { i: down, j: across, e: eye(k) };
    const between = (t: Tensor) => div(t, expression(name, 'select(j * j - i * i, 1.0, e == 1.0)', gaps));
    if (dr) terms.push(mul(between(skew(matmul(r, transpose(dr)))), across));
    if (du) terms.push(mul(between(skew(matmul(u, transpose(du)))), down));
    const inner = matmul(terms.reduce(add), u);
    const rest = du && l > k && div(sub(du, matmul(matmul(du, transpose(u)), u)), down);
    return [matmul(transpose(r), rest ? add(inner, rest) : inner)];
  };
  recordOutputs(name, [input], [s, r, u], [s, r, u], { pull: rule, differentiable: rule });
  return s;
});
