// The public face of dawnfield, for browsers: everything, with operations also as methods of Tensor; `index.node.ts` is that of Node.
import './ops/methods';
import { notePlace } from './tensor/call-site';

notePlace(); // after all that is imported

export * from './lean';
