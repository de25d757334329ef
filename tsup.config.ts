// What `npm run build` writes to dist/: the library for Node (ESM, CJS, types), the library for browsers, the runnable examples.
import { existsSync, readdirSync } from 'node:fs';
import type { Options } from 'tsup';
import { defineConfig } from 'tsup';

/** examples/<name>/main.ts → dist/examples/<name>.js, and the doctor, which is run the same way. */
function programs(): Record<string, string> {
  const entries: Record<string, string> = { 'examples/doctor': 'scripts/doctor.ts' };
  const names = existsSync('examples') ? readdirSync('examples') : [];
  for (const name of names) {
    const main = `examples/${name}/main.ts`;
    if (existsSync(main)) entries[`examples/${name}`] = main;
  }
  return entries;
}

// An ES module that takes CommonJS packages in needs a `require` for what they require of Node.
const requireInEsm = "import { createRequire as __cr } from 'node:module'; const require = __cr(import.meta.url);";

// The types name WebGPU's own, which `webgpu` brings along.
const types = { banner: '/// <reference types="webgpu" />' };

export default defineConfig(({ dts }): Options[] => [
  {
    entry: { index: 'src/index.node.ts' },
    format: ['esm', 'cjs'],
    platform: 'node',
    target: 'node20',
    external: ['webgpu'],
    noExternal: [/^wgsl-preprocessor/], // ES module only: a CommonJS build could not require it
    shims: true, // import.meta.url in the CommonJS build
    splitting: false,
    dts: dts ?? types,
  },
  {
    entry: { browser: 'src/index.ts' },
    format: ['esm'],
    platform: 'browser',
    target: 'es2022',
    noExternal: [/./],
    splitting: false,
    dts: dts ?? types,
  },
  {
    entry: programs(),
    format: ['esm'],
    platform: 'node',
    target: 'node20',
    external: ['webgpu', 'sharp', 'playwright-core'], // native or optional: looked up when used
    noExternal: [/^(?!webgpu$|sharp$|playwright-core$)/], // development packages are taken in: dist runs without them
    banner: { js: requireInEsm },
    splitting: true,
    esbuildOptions: (options) => {
      options.chunkNames = 'examples/chunk-[hash]';
    },
    dts: false,
  },
]);
