// The public face of dawnfield in Node: everything of `index.ts`, Dawn as the GPU, and what needs a file system.
import './ops/methods';

export * from './lean.node.js';
