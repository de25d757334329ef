// node scripts/bundlers.mjs PACKAGE.tgz: builds a small program with esbuild, Rollup, Vite and webpack, for browsers and for servers, and runs each bundle;
// bundlers come from the registry, into a folder that is removed. `npm pack` makes the package; npx dawnfield run gives it a driver.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { gzipSync } from 'node:zlib';

if (!process.argv[2]) throw new Error('name the package: node scripts/bundlers.mjs dawnfield-….tgz; npm pack makes it');
const tarball = resolve(process.argv[2]);
const folder = mkdtempSync(join(tmpdir(), 'dawnfield-bundlers-'));
/** @param {string} name @param {string} text */
const write = (name, text) => writeFileSync(join(folder, name), text);
/** @param {string} tool @param {string[]} args */
const sh = (tool, ...args) =>
  execFileSync(tool, args, { cwd: folder, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });

const train = `
  await init();
  const model = new nn.Linear(2, 1);
  const optimizer = new optim.SGD(model.parameters(), { lr: 0.01 });
  const x = tensor([[1, 2], [3, 4]]);
  const losses = [];
  for (let i = 0; i < 3; i++) {
    optimizer.zeroGrad();
    const loss = F.mseLoss(model.forward(x), x.sum(1, { keepdim: true }));
    loss.backward();
    optimizer.step();
    losses.push(await loss.item());
  }
  console.log(losses.at(-1) < losses[0] ? 'trained' : 'failed');
  process.exit(0);
`;
const lean = train
  .replace('x.sum(1, { keepdim: true })', 'F.sum(x, 1, { keepdim: true })')
  .replace('loss.backward()', 'backward(loss)');

try {
  write('package.json', '{ "type": "module", "private": true }');
  sh(
    'npm',
    'i',
    '--silent',
    tarball,
    'esbuild',
    'rollup',
    '@rollup/plugin-node-resolve',
    '@rollup/plugin-terser',
    'vite',
    'webpack',
    'webpack-cli',
  );
  write('methods.js', `import { F, init, nn, optim, tensor } from 'dawnfield';${train}`);
  write('lean.js', `import { backward, F, init, nn, optim, tensor } from 'dawnfield/lean';${lean}`);
  write(
    'rollup.config.js',
    `import resolve from '@rollup/plugin-node-resolve'; import terser from '@rollup/plugin-terser';
     export default { plugins: [resolve({ browser: !process.env.SERVER }), terser()], external: process.env.SERVER ? ['webgpu', /^node:/] : [] };`,
  );
  write(
    'vite.config.js',
    `export default { logLevel: 'error', ssr: { external: ['webgpu'], noExternal: ['dawnfield', 'wgsl-preprocessor'] },
     build: { target: 'es2022', minify: true, modulePreload: false, rollupOptions: { input: process.env.ENTRY, output: { entryFileNames: 'vite.mjs' } }, outDir: process.env.OUT, emptyOutDir: true } };`,
  );
  write(
    'webpack.config.cjs',
    `const server = process.env.SERVER;
     module.exports = { mode: 'production', target: server ? 'node20' : 'web', experiments: { outputModule: true }, performance: false,
       externals: server ? { webgpu: 'module webgpu' } : {}, output: { module: true, library: { type: 'module' }, chunkFormat: 'module' } };`,
  );
  // A page's navigator.gpu, for bundles that are for browsers.
  write(
    'page.mjs',
    `import { create, globals } from 'webgpu'; Object.assign(globalThis, globals);
     Object.defineProperty(globalThis, 'navigator', { value: { gpu: create([]) }, configurable: true });
     await import(process.argv[2]);`,
  );
  const run = (/** @type {string[]} */ ...args) => sh('npx', 'dawnfield', 'run', ...args).trim();
  for (const entry of ['methods', 'lean'])
    for (const where of ['browser', 'server']) {
      const server = where === 'server';
      process.env.SERVER = server ? '1' : '';
      /** @type {Record<string, (out: string) => unknown>} */
      const builds = {
        esbuild: (out) =>
          sh(
            'npx',
            'esbuild',
            `${entry}.js`,
            '--bundle',
            '--minify',
            '--format=esm',
            `--platform=${server ? 'node' : 'browser'}`,
            '--target=es2022',
            '--external:webgpu',
            `--outfile=${out}/esbuild.mjs`,
            '--log-level=error',
          ),
        rollup: (out) => sh('npx', 'rollup', '-c', '--silent', '-i', `${entry}.js`, '-o', `${out}/rollup.mjs`),
        vite: (out) => {
          Object.assign(process.env, { ENTRY: `${entry}.js`, OUT: out });
          sh('npx', 'vite', 'build', ...(server ? ['--ssr', `${entry}.js`] : []));
        },
        webpack: (out) =>
          sh(
            'npx',
            'webpack',
            '-c',
            'webpack.config.cjs',
            '--entry',
            `./${entry}.js`,
            '-o',
            out,
            '--output-filename',
            'webpack.mjs',
          ),
      };
      for (const [tool, build] of Object.entries(builds)) {
        const out = `out-${entry}-${where}-${tool}`;
        build(out);
        const files = readdirSync(join(folder, out), { recursive: true, encoding: 'utf8' }).filter((name) =>
          name.endsWith('.mjs'),
        );
        const [file = ''] = files;
        const size = gzipSync(readFileSync(join(folder, out, file))).length / 1000;
        const said = server ? run(`./${out}/${file}`) : run('page.mjs', `./${out}/${file}`);
        const { version } = JSON.parse(readFileSync(join(folder, 'node_modules', tool, 'package.json'), 'utf8'));
        console.log(
          `${entry.padEnd(8)} ${where.padEnd(8)} ${`${tool} ${version}`.padEnd(18)} ${size.toFixed(0).padStart(4)} kB gz  ${said}`,
        );
      }
    }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
