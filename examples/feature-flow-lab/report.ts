// One page with the outcome of every experiment that a folder holds.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readJson, writeAtomic } from '../../src/files/files.node.js';
import { commandOf } from '../shared/options';
import { formatDuration } from '../shared/progress';
import { quote } from '../shared/shell';

/** What is written to `<name>.json`, with the result; the figure is in `<name>.svg`. */
export interface Outcome {
  name: string;
  summary: string;
  options: Record<string, unknown>;
  said: string[];
  seconds: number;
  date: string;
  adapter: string;
}

const escaped = (text: string): string => text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;');

/** The command that repeats an experiment. */
function command({ name, options }: Outcome): string {
  const flags = Object.entries(options).map(([key, value]) => {
    const flag = key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    return `--${flag} ${quote(Array.isArray(value) ? value.join(',') : String(value))}`;
  });
  return `${commandOf('feature-flow-lab')} ${name} ${flags.join(' ')}`;
}

/** Figures are images of their own: names inside of several SVGs in one page would clash. */
const section = (outcome: Outcome, figure: Buffer): string => `
<section>
<h2 id="${outcome.name}">${outcome.name}</h2>
<p>${escaped(outcome.summary)}</p>
<img alt="${outcome.name}" src="data:image/svg+xml;base64,${figure.toString('base64')}">
<ul>${outcome.said.map((line) => `<li>${escaped(line)}</li>`).join('\n')}</ul>
<p class="small">${outcome.date}, ${escaped(outcome.adapter)}, ${formatDuration(outcome.seconds)} minutes<br><code>${escaped(command(outcome))}</code></p>
</section>`;

/** The outcome in a file; none where it is damaged or of something else. */
function readOutcome(path: string): Outcome[] {
  try {
    const outcome = readJson(path) as Partial<Outcome>;
    return outcome.name && Array.isArray(outcome.said) && outcome.options ? [outcome as Outcome] : [];
  } catch {
    return [];
  }
}

/** Writes report.html from the experiments in the folder, and returns its path. */
export function writeReport(folder: string): string {
  const sections = readdirSync(folder)
    .filter((file) => file.endsWith('.json') && existsSync(join(folder, file.replace(/json$/, 'svg'))))
    .sort()
    .flatMap((file) =>
      readOutcome(join(folder, file)).map((outcome) =>
        section(outcome, readFileSync(join(folder, file.replace(/json$/, 'svg')))),
      ),
    );
  const path = join(folder, 'report.html');
  writeAtomic(
    path,
    `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Feature flows</title>
<style>
body { font: 15px/1.5 Helvetica, Arial, sans-serif; color: #22262b; max-width: 980px; margin: 2em auto; padding: 0 1em; }
img { max-width: 100%; height: auto; }
.small { color: #6a717a; font-size: 12px; }
</style>
<h1>Feature flows</h1>
<p>Experiments with Fang, Lee, Yang, Zhang 2020, <em>Modeling from features: a mean-field framework for over-parameterized deep neural
networks</em>. Numbers, options and commands are those of the runs themselves.</p>
${sections.join('\n')}
</html>
`,
  );
  return path;
}
