// Matrix products, and what is made of several: einsum, attention.

import { fromEnd } from '../../../shaders/checked';
import { callWith } from '../../autograd/operation';
import type { scaledDotProductAttention } from '../../ops/attention';
import type { einsum } from '../../ops/einsum';
import type { linear, matmul } from '../../ops/matmul';
import type { Tensor } from '../../tensor/tensor';
import type { Draft } from '../draft';
import { as, type Instead, insteadOf, type Mappings, of, unmapped } from './mapping';

const swapLast = (e: Draft, value: string, rank: number): string =>
  e.node('Transpose', [value], { perm: [...Array.from({ length: rank - 2 }, (_, d) => d), rank - 1, rank - 2] });

/** Each head of keys or values [..., H, S, D] as often as queries share it. */
function repeated(e: Draft, x: Tensor, times: number): string {
  const lead = x.shape.slice(0, -3);
  const [heads, length, width] = [fromEnd(x.shape, 3), fromEnd(x.shape, 2), fromEnd(x.shape, 1)];
  const apart = [...lead, heads, 1, length, width];
  const wide = e.node('Expand', [e.reshape(e.of(x), x.shape, apart), e.sizes([...lead.map(() => 1), 1, times, 1, 1])]);
  return e.reshape(wide, [...lead, heads, times, length, width], [...lead, heads * times, length, width]);
}

/** True where the key is not after the query: [L, S]. */
function causal(e: Draft, queries: number, keys: number): string {
  const ones = e.node('Expand', [e.number(1), e.sizes([queries, keys])]);
  return e.cast(e.node('Trilu', [ones], { upper: 0 }), 'bool');
}

const attention = of<typeof scaledDotProductAttention>((e, _, query, key, value, options = {}) => {
  const { attnMask: mask, isCausal, dropoutP, enableGqa } = options;
  if (dropoutP) throw unmapped(e, 'drops weights');
  const scale = options.scale ?? 1 / Math.sqrt(fromEnd(query.shape, 1));
  const times = enableGqa ? fromEnd(query.shape, 3) / fromEnd(key.shape, 3) : 1;
  const [k, v] = [key, value].map((x) => (times > 1 ? repeated(e, x, times) : e.of(x)));
  const rank = key.ndim;
  const scaled = e.node('Mul', [e.of(query), e.number(scale)]);
  let scores = e.node('MatMul', [scaled, swapLast(e, k ?? '', rank)]);
  const hidden = e.number(-Infinity);
  const seen = [
    ...(mask?.dtype === 'bool' ? [e.of(mask)] : []),
    ...(isCausal ? [causal(e, fromEnd(query.shape, 2), fromEnd(key.shape, 2))] : []),
  ];
  if (mask && mask.dtype !== 'bool') scores = e.node('Add', [scores, as(e, mask, 'float32')]);
  for (const one of seen) scores = e.node('Where', [one, scores, hidden]);
  let weights = e.node('Softmax', [scores], { axis: -1 });
  // A row that sees no key is zero, not 0/0.
  if (mask) weights = e.node('Where', [e.node('IsNaN', [weights]), e.number(0), weights]);
  return e.node('MatMul', [weights, v ?? '']);
});

/** Letters that stand once in an operand, without '...': ONNX takes the rest too, but runtimes do not all. */
function isPlain(equation: string, tensors: readonly Tensor[]): boolean {
  const sizes = new Map<string, number>();
  if (!equation.includes('->') || /[^a-z,>\s-]/i.test(equation)) return false;
  const operands = (equation.split('->')[0] ?? '').replaceAll(/\s/g, '').split(',');
  return operands.every((letters, k) => {
    if (new Set(letters).size !== letters.length) return false;
    return [...letters].every((letter, d) => {
      const n = tensors[k]?.shape[d] ?? 0;
      const known = sizes.get(letter) ?? n;
      sizes.set(letter, n);
      return known === n;
    });
  });
}

export const products: Mappings = {
  matmul: of<typeof matmul>((e, _, a, b) => e.node('MatMul', [e.of(a), e.of(b)])),
  linear: of<typeof linear>((e, _, x, weight, bias) => {
    const inputs = [e.of(x), e.of(weight), bias ? e.of(bias) : null];
    if (x.ndim === 2) return e.node('Gemm', inputs, { transB: 1 });
    const y = e.node('MatMul', [e.of(x), e.node('Transpose', [e.of(weight)], { perm: [1, 0] })]);
    return bias ? e.node('Add', [y, e.of(bias)]) : y;
  }),
  einsum: of<typeof einsum>((e, _, equation, ...tensors) =>
    e.node(
      'Einsum',
      tensors.map((x) => e.of(x)),
      { equation: equation.replaceAll(/\s/g, '') },
    ),
  ),
  scaledDotProductAttention: attention,
};

export const insteadOfProducts: Readonly<Record<string, Instead>> = {
  einsum: insteadOf<typeof einsum>((f, equation, ...tensors) =>
    isPlain(equation, tensors) ? null : () => callWith(f, [equation, ...tensors]),
  ),
};
