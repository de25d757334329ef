// What kernel families share when they put WGSL together: one kernel object per set of options, and the entry point's first line.
import type { Kernel } from './kernel';

const kernels = new Map<string, Kernel>();

/** The kernel for `key` (family, kernel and options), made on first use, so that its pipeline is found again by identity. */
export function cached(key: readonly unknown[], make: () => Kernel): Kernel {
  const text = JSON.stringify(key);
  const kernel = kernels.get(text) ?? make();
  kernels.set(text, kernel);
  return kernel;
}

/** The head of `main` over a grid folded into two dimensions: `wid`, `grid` and `local`. */
export const entry = (size: number): string =>
  `@compute @workgroup_size(${size}) fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) local: u32)`;

/** Declares `name`, the linear index of the thread in such a grid. */
export const threadIndex = (name: string, size: number): string =>
  `let ${name} = (wid.y * grid.x + wid.x) * ${size}u + local;`;
