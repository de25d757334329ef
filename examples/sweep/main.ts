// `dawnfield sweep`: trains networks at many points of the options of cifar-train, here or by the workers of a queue.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { writeAtomic } from '../../src/files/files.node.js';
import { checkQueueOptions } from '../queue/options';
import { runQueued } from '../queue/planner';
import { adapterName, hasGpu, withDevice } from '../shared/device';
import { epochsLeft, planRuns, Session, trainHere } from '../shared/grid';
import { writePng } from '../shared/image';
import { SharedImages } from '../shared/images';
import { watchInterrupts } from '../shared/interrupts';
import { runProgram } from '../shared/options';
import type { Wanted } from '../shared/recipe';
import { createReport, type Report } from '../shared/report';
import { createOptions, type Given, OF_SWEEP } from './options';
import { runsOf, type SweepRun } from './points';
import { describeSweep, gather } from './results';

const program = createOptions();

await runProgram<Given>(program, async (given) => {
  checkQueueOptions(given);
  const report = createReport(given.json ?? false);
  const { out, queue: url } = given;
  const isFixed = ([key]: [string, unknown]) =>
    program.getOptionValueSource(key) === 'cli' && !(OF_SWEEP as readonly string[]).includes(key);
  const runs = runsOf(given, Object.fromEntries(Object.entries(given).filter(isFixed)) as Wanted);
  if (given.report) return report.say(await writeResults(runs, out, report, true));
  const interrupts = watchInterrupts(report);
  interrupts.remedy = ' The same command begins again.';
  const images = new SharedImages(given, report);
  const plan = await planRuns(runs, out, images);
  const open = plan.filter((run) => epochsLeft(run, out) > 0);
  report.say(
    `${plan.length} runs at ${new Set(runs.map(({ point }) => JSON.stringify(point))).size} points, ${open.length} to go`,
  );
  report.emit({ type: 'plan', runs: plan.map(({ name }) => name), open: open.length });
  if (given.plan) {
    for (const { name } of plan) report.say(`  ${name}`);
    return;
  }
  mkdirSync(out, { recursive: true });
  const limit = given.timeLimit === undefined ? [] : [AbortSignal.timeout(60_000 * given.timeLimit)];
  const signal = AbortSignal.any([interrupts.signal, ...limit]);
  const onEnd = async () => void (await writeResults(runs, out, report, false));
  interrupts.begin();
  let finished = false;
  if (url) finished = await runQueued(plan, { ...given, url, signal, report, onEnd });
  else
    await withDevice(async () => {
      report.say(`adapter: ${adapterName()}${hasGpu() ? '' : ' (no GPU)'}`);
      finished = await trainHere(plan, out, new Session(given, images, report), signal, report, onEnd);
    }, given);
  if (given.detach) return;
  report.say(`\n${await writeResults(runs, out, report, true)}`);
  if (finished) return report.say(`results and runs: ${out}`);
  report.say(url ? 'no longer waiting: the workers go on.' : 'stopped and saved. The same command goes on from here.');
  process.exitCode = 130;
});

/** Writes sweep.json and sweep.md with what is there, and the figure, if it is wanted; returns the Markdown. */
async function writeResults(
  runs: readonly SweepRun[],
  out: string,
  report: Report,
  withFigure: boolean,
): Promise<string> {
  const results = gather(runs, out);
  const text = describeSweep(results, 'sweep.svg');
  writeAtomic(join(out, 'sweep.json'), `${JSON.stringify({ results }, null, 2)}\n`);
  writeAtomic(join(out, 'sweep.md'), text);
  if (withFigure && results.some((result) => result.runs.length)) {
    const { drawSweep } = await import('./figure'); // a chart library: not before it is needed
    const svg = drawSweep(results);
    await writePng(join(out, 'sweep.png'), svg);
    writeAtomic(join(out, 'sweep.svg'), svg);
  }
  report.emit({ type: 'sweep', results, folder: out });
  return text;
}
