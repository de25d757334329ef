// Files of other frameworks: PyTorch's and NumPy's. Arrays come as `StoredTensor`s, as those of safetensors do.
export { parseNpy, parseNpz, serializeNpy, serializeNpz } from './numpy';
export type { TorchFile } from './torch';
export { parseTorch } from './torch';
