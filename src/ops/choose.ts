// A choice between elements. Apart from `where`, whose other form gives positions, which a bundle then needs sorts and scans for.

import { mapTuple } from '../../shaders/checked';
import { operation } from '../autograd/operation';
import type { DType } from '../tensor/dtype';
import { isFloat, wgslType } from '../tensor/dtype';
import { evaluate } from '../tensor/elementwise';
import type { Shape } from '../tensor/shape';
import { broadcastShapes } from '../tensor/shape';
import { Tensor } from '../tensor/tensor';
import { type Operand, recordElementwise, requireOperand, requireTensor, resultType } from './operands';

/** The type that elements of a type are chosen in. */
export const computed = (dtype: DType): DType => (dtype === 'bool' ? 'uint32' : isFloat(dtype) ? 'float32' : dtype);

/** `where` of three arguments. */
export const choose = operation('where', function choose(condition: Tensor, a: Operand, b: Operand): Tensor {
  requireTensor('where', condition);
  const like = [a, b].find((x) => x instanceof Tensor);
  const operands: Record<string, Tensor> = { c: condition };
  for (const [name, value] of Object.entries({ a, b })) {
    requireOperand('where', value, condition);
    if (value instanceof Tensor) operands[name] = value;
  }
  const scalars = mapTuple([a, b], (value) => (value instanceof Tensor ? 0 : value));
  const shape = Object.values(operands).reduce<Shape>((all, t) => broadcastShapes('where', all, t.shape), []);
  const dtype = resultType([a, b], like?.dtype ?? 'float32');
  const type = wgslType(computed(dtype));
  const expression = `select(${operands.b ? `${type}(b)` : `${type}(t)`}, ${operands.a ? `${type}(a)` : `${type}(s)`}, bool(c))`;
  const y = evaluate({ name: 'where', expression, operands, scalars, shape, result: dtype });
  const inputs = [operands.a, operands.b].filter((x) => !!x);
  const rules = [operands.a && 'select(0.0, g, bool(c))', operands.b && 'select(g, 0.0, bool(c))'];
  return recordElementwise('where', inputs, y, rules.filter((rule) => !!rule) as string[], operands, [], undefined);
});
