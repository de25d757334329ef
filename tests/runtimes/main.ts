// `npm run runtimes`: the table of docs/runtimes.md, what each implementation of WebGPU on this machine passes and how fast it trains.
//   --untimed    without images/s, which mean nothing while other programs run
import { readFileSync, writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { root } from '../bundle';
import { OWN_CASES } from './own-cases';
import { agree, conformanceCases, isThere, RUNTIMES, report } from './runtimes';

const { untimed } = parseArgs({ options: { untimed: { type: 'boolean' } } }).values;
/** Timed steps; one tells the launches. */
const timing = untimed ? { timed: 1, batch: 4 } : { timed: 5, batch: 32 };
const IMPLEMENTATIONS = {
  node: 'Dawn',
  deno: 'wgpu, Naga',
  chromium: 'Dawn, sandboxed',
  firefox: 'wgpu, Naga, sandboxed',
};
const cases = conformanceCases();
const rows = [
  '| runtime | implementation | adapter | conformance passed | as in Node | losses as in Node | launches | images/s |',
];
rows.push('|---|---|---|---|---|---|---|---|');
let node: Awaited<ReturnType<typeof report>> | undefined;
for (const name of RUNTIMES.filter(isThere)) {
  // One that fails leaves the others their rows.
  const found = await report(name, { cases, steps: 4, ...timing }).catch((error: Error) => {
    rows.push(`| ${name} | ${IMPLEMENTATIONS[name]} | failed: ${error.message.split('\n')[0]} | | | | | |`);
    console.log(rows.at(-1));
  });
  if (!found) continue;
  node ??= found;
  const { vendor, architecture, description } = found.adapter;
  const adapter = description || [vendor, architecture].filter(Boolean).join(' ') || 'not named';
  const lanes = found.target.subgroupSize ? `subgroups of ${found.target.subgroupSize}` : 'no subgroups';
  const { values, losses } = agree(found, node);
  const cells = [
    ...[
      name,
      IMPLEMENTATIONS[name],
      `${adapter}; ${lanes}`,
      `${found.passed} of ${found.passed + found.failures.length}`,
    ],
    ...[`${values} of ${Object.keys(OWN_CASES).length}`, losses ? 'yes' : 'no', found.launches],
    untimed ? '–' : Math.round(found.imagesPerSecond),
  ];
  rows.push(`| ${cells.join(' | ')} |`);
  console.log(rows.at(-1));
  for (const problem of [...found.failures, ...found.errors, ...found.lost.map((what) => `device lost at ${what}`)])
    console.log(`  ${problem}`);
}
const file = join(root, 'docs/runtimes.md');
const [load = 0] = loadavg();
const where = untimed
  ? `Counted on ${new Date().toISOString().slice(0, 10)}, without times.`
  : `Measured on ${new Date().toISOString().slice(0, 10)}: ${cpus()[0]?.model.trim()}, ${cpus().length} processors, load ${load.toFixed(1)}.`;
const made = `<!-- table -->\n${rows.join('\n')}\n\n${where}\n<!-- end -->`;
writeFileSync(
  file,
  readFileSync(file, 'utf8').replace(/<!-- table -->[\s\S]*<!-- end -->/, () => made),
);
process.exit();
