// The mean-field laboratory: what Lu et al. 2020 say of residual networks, looked at in trained checkpoints and in the toy of their analysis.
// `npm run mean-field-lab -- --help` lists the studies.

import { mkdirSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { Command } from 'commander';
import { at, there } from '../../shaders/checked';
import { writeAtomic } from '../../src/files/files.node.js';
import { drawChart, type Panel } from '../shared/chart';
import { adapterName, withDevice } from '../shared/device';
import {
  choice,
  count,
  createProgram,
  imageCount,
  integerFrom,
  numberFrom,
  numberList,
  printJson,
  runProgram,
  seedNumber,
  stepCount,
  UsageError,
} from '../shared/options';
import { newestRun } from '../shared/runs';
import { adjointBound } from './adjoint';
import { type BirthDeathOptions, birthDeathOfNetwork, birthDeathOfToy } from './birth-death';
import { type DepthTransferOptions, depthTransfer } from './depth-transfer';
import { discretisation } from './discretisation';
import { expansion } from './expansion';
import { gradients } from './gradients';
import { type LesionOptions, lesion } from './lesion';
import { type NetworkOptions, networkSubject } from './network';
import type { Subject } from './subject';
import { type ToyOptions, toySubject } from './toy';

interface Options extends LesionOptions, ToyOptions, NetworkOptions, BirthDeathOptions, DepthTransferOptions {
  updates: number;
  run?: string[];
  toy?: boolean;
  substeps: number;
  out?: string;
  json?: boolean;
}

/** Studies of the toy alone. */
const OF_TOY = ['depth-transfer', 'adjoint'];
/** Learning rates that depth-transfer tries. */
const RATES = [1 / 16, 1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8];

let chosen: { name: string; options: Options } | null = null;
const program = createProgram('mean-field-lab', 'Studies of trained residual networks, vanilla and mean-field.')
  .optionsGroup('What to look at:')
  .option('--run <folders...>', 'run folders of cifar-train, such as one of each arm (default: the newest run)')
  .option('--checkpoint <name>', 'last or best', choice(['last', 'best'] as const), 'last')
  .option('--data <path>', 'folder or archive of the data set; else DAWNFIELD_DATA, the cache, a download')
  .option('--images <number>', 'test images to measure with (default: all)', imageCount)
  .option('--batch <images>', 'images at a time, and of activations and gradients', imageCount, 100)
  .option('--toy', 'instead the toy f = tanh(θX), trained first: vanilla (frozen times) and mean-field')
  .option('--particles <number>', 'of the toy', integerFrom(2, 10_000), 16)
  .option('--steps <number>', 'that train the toy', stepCount, 300)
  .option('--seed <number>', 'of the toy, and of what is drawn at random', seedNumber, 0)
  .optionsGroup('Where to write:')
  .option('--out <file>', 'the figure (default: <run folder>/<study>.svg, runs/toy-<study>.svg)')
  .configureHelp({ showGlobalOptions: true });

const study = (name: string, summary: string): Command =>
  program
    .command(name)
    .description(summary)
    .action((_, command: Command) => {
      chosen = { name, options: command.optsWithGlobals() };
    });
study('lesion', 'delete, shuffle and exchange blocks (Veit et al. 2016)')
  .option('--delete <blocks>', 'at most', count, 6)
  .option('--samples <number>', 'random choices for each number of blocks', count, 4);
study('expansion', 'the network as an ensemble of shallow ones (Section 2.2): terms of first and second order');
study('gradients', 'the gradients of the deep network and of its two-layer counterpart (Figure 1)');
study('discretisation', 'halve every step, or take a better method than Euler: what the learned times mean').option(
  '--substeps <number>',
  'most steps a particle',
  count,
  8,
);
study('birth-death', 'births and deaths of particles (Section 6.2): in training the toy; one round in a checkpoint')
  .option('--rate <number>', 'of deaths and births, per step and unit of effect on the loss', numberFrom(0), 1)
  .option('--every <steps>', 'between two rounds, for the toy', count, 20)
  .option('--seeds <number>', 'to train the toy with', count, 4);

study('depth-transfer', 'of the toy: the best learning rate at each depth, gradients scaled by n and not (flow (3.14))')
  .option('--depths <numbers>', 'of particles', numberList(), [4, 8, 16, 32, 64])
  .option('--rates <numbers>', 'to try; unscaled gradients get further ones', numberList(), RATES)
  .option('--updates <number>', 'at each rate', stepCount, 100)
  .option('--seeds <number>', 'to average over', count, 2)
  .option('--time-rate <number>', "of the times, as a factor on the weights' rate; 0 freezes them", numberFrom(0), 0);
study('adjoint', 'of the toy: the bound on the adjoint by the loss (Lemma 3.3)');

await runProgram(program, () => {
  const { name, options } = there(chosen, 'study, although the program has run');
  return withDevice(() => perform(name, options));
});

async function perform(name: string, options: Options): Promise<void> {
  const { json } = options;
  const say = (line: string) => void (json ? process.stderr : process.stdout).write(`${line}\n`);
  const table = createTable(say);
  const show = (row: object) => {
    if (json) printJson({ study: name, ...row });
    else table(row);
  };
  say(`adapter: ${adapterName()}`);
  const toy = options.toy || OF_TOY.includes(name);
  const folders = toy ? [] : foldersOf(options);
  const file = options.out ?? (folders.length ? join(at(folders, 0), `${name}.svg`) : join('runs', `toy-${name}.svg`));

  let panels: Panel[][] = [];
  let what = 'toy';
  if (name === 'depth-transfer') panels = (await depthTransfer({ ...options, steps: options.updates }, show)).panels;
  else if (name === 'adjoint') panels = (await adjointBound(options, show)).panels;
  else if (name === 'birth-death' && options.toy) panels = (await birthDeathOfToy(options, options, show)).panels;
  else {
    const subjects = await subjectsOf(folders, options);
    what = [...new Set(subjects.map((s) => s.name))].join(' and ');
    if (name === 'lesion') panels = (await lesion(subjects, options, show)).panels;
    if (name === 'expansion') panels = (await expansion(subjects, show)).panels;
    if (name === 'gradients') {
      const { losses, panels: drawn } = await gradients(subjects, show);
      for (const loss of losses) show(loss);
      panels = drawn;
    }
    if (name === 'discretisation') {
      const { steps, panels: drawn } = await discretisation(subjects, options.substeps, show);
      for (const stage of steps) show(stage);
      panels = drawn;
    }
    if (name === 'birth-death')
      for (const subject of subjects) {
        const { rows, before, after } = await birthDeathOfNetwork(subject, options);
        for (const row of rows) show({ subject: subject.name, ...row });
        show({ subject: subject.name, before, after });
      }
  }
  if (!panels.length) return;
  mkdirSync(dirname(file), { recursive: true });
  writeAtomic(file, drawChart(`mean-field-lab ${name}`, what, panels));
  if (json) printJson({ study: name, figure: file });
  else say(`figure: ${file}`);
}

function foldersOf({ run }: Options): string[] {
  if (run) return run;
  const newest = newestRun();
  if (!newest) throw new UsageError('there is no run under runs/: name its folder, --run FOLDER, or take --toy');
  return [newest];
}

/** Subjects with names of their own. */
async function subjectsOf(folders: readonly string[], options: Options): Promise<Subject[]> {
  if (options.toy) return [await toySubject(options, false), await toySubject(options, true)];
  const subjects: Subject[] = [];
  for (const folder of folders) {
    const subject = await networkSubject(folder, options);
    const taken = subjects.some(({ name }) => name === subject.name);
    subjects.push(taken ? { ...subject, name: `${subject.name} (${basename(folder)})` } : subject);
  }
  return subjects;
}

/** Rows as a table, whose heading is printed where the columns change. */
function createTable(print: (line: string) => void): (row: object) => void {
  let heading = '';
  return (row) => {
    const cells = Object.entries(row).map(([key, value]) => [key, text(value)] as const);
    const width = ([key, value]: readonly [string, string]) =>
      Math.max(key.length, value.length, Number.isNaN(Number(value)) ? 16 : 10) + 2;
    const line = (part: 0 | 1) => cells.map((cell) => cell[part].padEnd(width(cell))).join('');
    const columns = cells.map(([key]) => key).join();
    if (columns !== heading) print(`\n${line(0)}`.trimEnd());
    heading = columns;
    print(line(1).trimEnd());
  };
}

function text(value: unknown): string {
  if (typeof value === 'number') return String(Number(value.toPrecision(4)));
  if (Array.isArray(value)) return value.map(text).join(' ') || '–';
  if (value && typeof value === 'object')
    return Object.entries(value)
      .map(([key, entry]) => `${key} ${text(entry)}`)
      .join(', ');
  return String(value ?? '–');
}
