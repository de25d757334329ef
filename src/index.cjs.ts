// What the CommonJS file holds: all entries in one, which no program then has twice. `dawnfield/onnx` and `dawnfield/torch` are parts of it.
export * from './index.node.js';
export * as onnx from './onnx';
export * as torch from './torch';
