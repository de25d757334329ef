// What `npm run build` writes to dist/, below its types (scripts/publish): the library as modules (src/, shaders/, datasets/), as one CommonJS file
// for Node and one minified file for pages without a bundler, and the programs.
import { existsSync, readdirSync } from 'node:fs';
import type { Options } from 'tsup';
import { defineConfig } from 'tsup';
import { modules, prepared, unbundled } from './scripts/publish/modules';

/** examples/<name>/main.ts → dist/examples/<name>.js, and the doctor and the benchmarks, which are run the same way. */
function programs(): Record<string, string> {
  const entries: Record<string, string> = {
    'examples/doctor': 'scripts/doctor.ts',
    'examples/bench': 'bench/main.ts',
    'examples/bench-child': 'bench/child.ts',
  };
  const names = existsSync('examples') ? readdirSync('examples') : [];
  for (const name of names) {
    const main = `examples/${name}/main.ts`;
    if (existsSync(main)) entries[`examples/${name}`] = main;
  }
  return entries;
}

// An ES module that takes CommonJS packages in needs a `require` for what they require of Node.
const requireInEsm = "import { createRequire as __cr } from 'node:module'; const require = __cr(import.meta.url);";

export default defineConfig([
  {
    entry: Object.fromEntries([...modules()].map((path) => [path.replace(/\.ts$/, ''), path])),
    format: ['esm'],
    platform: 'neutral',
    target: 'es2022',
    external: ['webgpu', /^wgsl-preprocessor/],
    noExternal: ['fflate', /^@bufbuild\/protobuf/],
    splitting: false,
    sourcemap: true,
    dts: false,
    esbuildPlugins: [prepared(), unbundled()],
  },
  {
    entry: { index: 'src/index.cjs.ts' },
    format: ['cjs'],
    platform: 'node',
    target: 'node20',
    external: ['webgpu'],
    // ES module only, where a CommonJS build could not require it, or for development
    noExternal: [/^wgsl-preprocessor/, /^@bufbuild\/protobuf/],
    shims: true, // import.meta.url in the CommonJS build
    splitting: false,
    dts: false,
    esbuildPlugins: [prepared()],
  },
  {
    entry: { 'dawnfield.min': 'src/index.ts' },
    format: ['esm'],
    platform: 'browser',
    target: 'es2022',
    noExternal: [/./],
    splitting: false,
    minify: true,
    sourcemap: true,
    dts: false,
    esbuildPlugins: [prepared()],
  },
  {
    entry: programs(),
    format: ['esm'],
    platform: 'node',
    target: 'node20',
    external: ['webgpu', 'sharp', 'bullmq', 'ioredis'], // native or optional: looked up when used
    noExternal: [/^(?!(webgpu|sharp|bullmq|ioredis)$)/], // development packages are taken in: dist runs without them
    banner: { js: requireInEsm },
    splitting: true,
    esbuildOptions: (options) => {
      options.chunkNames = 'examples/chunk-[hash]';
      options.minifyWhitespace = true; // charts and the like are large
      options.minifySyntax = true;
    },
    dts: false,
    esbuildPlugins: [unbundled('examples')],
  },
] satisfies Options[]);
