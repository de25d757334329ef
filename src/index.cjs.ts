// What the CommonJS file holds: all entries in one, which no program then has twice. `dawnfield/onnx` is a part of it.
export * from './index.node.js';
export * as onnx from './onnx';
