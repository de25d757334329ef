// The public face of dawnfield, for browsers: everything, with operations also as methods of Tensor; `index.node.ts` is that of Node.
import './ops/methods';

export * from './lean';
