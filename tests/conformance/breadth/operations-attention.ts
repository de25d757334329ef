// Attention.
import { scaledDotProductAttention } from '../../../src/ops/attention';
import type { Operation } from './operations';

export const attention: Record<string, Operation> = {
  'F.scaled_dot_product_attention': ([q, k, v, attnMask], o) =>
    scaledDotProductAttention(q, k, v, attnMask ? { attnMask, ...o } : o),
};
