// The command lines as users run them: a run from start to figure, interrupted and resumed, evaluated, used; and what goes wrong.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { completeRecipe } from '../../examples/shared/recipe';
import { checkpointFile, RunFolder } from '../../src/train/run-folder.node.js';
import { programOf } from '../program';

const test = suite('command lines');
const root = fileURLToPath(new URL('../..', import.meta.url));
const base = mkdtempSync(join(tmpdir(), 'dawnfield-cli-'));
test.after(() => rmSync(base, { recursive: true }));

interface Outcome {
  code: number | null;
  stdout: string;
  stderr: string;
  /** The objects of stdout, which must all be JSON. */
  lines(): Record<string, unknown>[];
}

/** Runs an example, or a script, from its source; `onLine` sees lines of stdout as they come, `onError` what stderr has so far. */
function run(
  name: string,
  args: string[],
  options: {
    env?: NodeJS.ProcessEnv;
    onLine?: (line: string, stop: (signal?: NodeJS.Signals) => void, stdout: Readable) => void;
    onError?: (text: string, stop: (signal?: NodeJS.Signals) => void) => void;
  } = {},
): Promise<Outcome> {
  const env = { ...process.env, DAWNFIELD_DATA: '', XDG_CACHE_HOME: base, ...options.env };
  const source = name.endsWith('.ts') ? name : `examples/${name}/main.ts`;
  const child = spawn(process.execPath, [...programOf(source), ...args], {
    env,
    cwd: root,
  });
  const outcome = { stdout: '', stderr: '' };
  let rest = '';
  const stop = (signal: NodeJS.Signals = 'SIGINT') => void child.kill(signal);
  child.stderr.setEncoding('utf8').on('data', (text) => {
    outcome.stderr += text;
    options.onError?.(outcome.stderr, stop);
  });
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    outcome.stdout += text;
    const complete = (rest + text).split('\n');
    rest = complete.pop()!;
    for (const line of complete) options.onLine?.(line, stop, child.stdout);
  });
  return new Promise((resolve) =>
    child.on('close', (code) => {
      const lines = () =>
        outcome.stdout
          .trim()
          .split('\n')
          .map((line) => JSON.parse(line));
      resolve({ ...outcome, code, lines });
    }),
  );
}

const tiny = '--model meanfield-resnet8 --dataset synthetic --subset 64 --test-subset 32 --batch 16'.split(' ');
const first = join(base, 'first');

test('cifar-train --json: one object a line, the last one the summary; a run folder with a figure', async () => {
  const { code, stderr, lines } = await run('cifar-train', [...tiny, '--epochs', '1', '--json', '--out', first]);
  assert.is(code, 0, stderr);
  const types = lines().map((line) => line.type);
  assert.equal([...new Set(types)], ['step', 'epoch', 'summary']);
  const summary = lines().at(-1)!;
  assert.is(summary.finished, true);
  assert.is(summary.step, 4);
  assert.match(stderr, /stage1 {3}order 0 {3}swaps 0 {3}τ /);
  for (const file of ['config.json', 'metrics.jsonl', checkpointFile('last'), checkpointFile('best'), 'figure.svg'])
    assert.ok(existsSync(join(first, file)), file);
  assert.match(readFileSync(join(first, 'figure.svg'), 'utf8'), 'Times τ of stage 1');
  assert.not(existsSync(join(first, 'run.lock')));
});

test('Ctrl-C saves within the epoch and says how to go on; what was typed differently is refused by name', async () => {
  const out = join(base, 'interrupted');
  let stopped = false;
  const interrupted = await run('cifar-train', [...tiny, '--epochs', '50', '--json', '--out', out], {
    onLine(_, stop) {
      if (!stopped) stop();
      stopped = true;
    },
  });
  assert.is(interrupted.code, 130, interrupted.stderr);
  const summary = interrupted.lines().at(-1)!;
  assert.is(summary.finished, false);
  assert.is(summary.resume, `npm run cifar-train -- --resume ${out}`);
  assert.match(
    interrupted.stderr,
    /stopped and saved after step \d+\. Go on with:\n {2}npm run cifar-train -- --resume /,
  );
  const steps = Number(summary.step) + 2;

  const refused = await run('cifar-train', ['--resume', out, '--lr', '0.3', '--seed', '4', '--json']);
  assert.is(refused.code, 1);
  assert.match(refused.stderr, /cannot change these options:\n {2}lr: the run has 0.1, given is 0.3\n {2}seed: /);

  const resumed = await run('cifar-train', ['--resume', out, '--steps', String(steps), '--json']);
  assert.is(resumed.code, 0, resumed.stderr);
  assert.is(resumed.lines().at(-1)!.step, steps);
  const logged = readFileSync(join(out, 'metrics.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  const numbers = logged.filter((line) => line.type === 'step').map((line) => line.step);
  assert.equal(numbers, [...new Set(numbers)], 'no step is logged twice');
  assert.is(numbers.at(-1), steps);
});

test('evaluate finds the error that the run reported; predict names classes', async () => {
  const summary = JSON.parse(readFileSync(join(first, 'metrics.jsonl'), 'utf8').trim().split('\n').at(-1)!);
  const weights = join(first, checkpointFile('best'));
  const { code, stderr, lines } = await run('evaluate', [
    '--weights',
    weights,
    '--subset',
    '32',
    '--batch',
    '16',
    '--json',
  ]);
  assert.is(code, 0, stderr);
  const { error, count, model } = lines()[0];
  assert.equal([error, count, model], [summary.bestError, 32, 'meanfield-resnet8']);

  const image = join(base, 'red.png');
  await sharp({ create: { width: 50, height: 40, channels: 3, background: '#d02020' } })
    .png()
    .toFile(image);
  const predicted = await run('predict', [image, image, '--weights', weights, '--top', '3', '--json']);
  assert.is(predicted.code, 0, predicted.stderr);
  const [one, two] = predicted.lines() as { image: string; top: { class: string; probability: number }[] }[];
  assert.is(one.image, image);
  assert.is(one.top.length, 3);
  assert.equal(two, one);
  const [a, b, c] = one.top.map((x) => x.probability);
  assert.ok(a >= b && b >= c && a + b + c <= 1.0001, `${a} ${b} ${c}`);
});

test('a run that was stopped before its first checkpoint begins; a closed pipe and a hang-up save it', async () => {
  const out = join(base, 'not yet begun');
  const recipe = completeRecipe({
    ...{ model: 'meanfield-resnet8', dataset: 'synthetic', subset: 64, testSubset: 32, batch: 16, epochs: 50 },
  });
  RunFolder.create(out, recipe).close();
  // As `| head -1`.
  const unread = await run('cifar-train', ['--resume', out, '--json'], { onLine: (_, __, stdout) => stdout.destroy() });
  assert.match(unread.stderr, /was stopped before its first step: it begins now/);
  const resume = `npm run cifar-train -- --resume '${out}'`;
  assert.match(unread.stderr, `Go on with:\n  ${resume}`);
  assert.not.match(unread.stderr, /\n {4}at /);
  assert.is(unread.code, 130);

  let stopped = false;
  const hungUp = await run('cifar-train', ['--resume', out, '--json'], {
    onLine(_, stop) {
      if (!stopped) stop('SIGHUP');
      stopped = true;
    },
  });
  assert.match(hungUp.stderr, /going on after step \d/);
  assert.match(hungUp.stderr, /stopped and saved after step/);
  assert.is(hungUp.code, 130);

  const config = join(out, 'config.json');
  writeFileSync(config, readFileSync(config, 'utf8').replace('"lr":0.1', '"lr":0.2'));
  const edited = await run('cifar-train', ['--resume', out]);
  assert.match(
    edited.stderr,
    /config\.json: options .* cannot be edited:\n {2}lr: the run was saved with 0\.1, the file has 0\.2/,
  );
  assert.is(edited.code, 1);
});

test('Ctrl-C before the first step ends at once and says so', async () => {
  let stopped = false;
  const early = await run('cifar-train', [...tiny, '--epochs', '50', '--out', join(base, 'early'), '--json'], {
    onError(text, stop) {
      if (!stopped && text.includes('adapter:')) stop();
      stopped ||= text.includes('adapter:');
    },
  });
  assert.match(early.stderr, /stopped before the first step|stopped and saved after step 0\./);
  assert.is(early.code, 130);
});

test('gpt: trains on a text, saves, writes; mistakes are named', async () => {
  const [data, out] = [join(base, 'text.txt'), join(base, 'gpt.safetensors')];
  writeFileSync(data, 'a cat sat on a mat. '.repeat(20));
  const small = '--layers 1 --heads 2 --width 8 --context 16 --batch 4 --lr 0.02'.split(' ');
  const end = ['--steps', '60', '--generate', '20', '--top-k', '3', '--out', out, '--json'];
  const { code, stderr, lines } = await run('gpt', ['--data', data, ...small, ...end]);
  assert.is(code, 0, stderr);
  const [first, summary] = [lines()[0] as { loss: number }, lines().at(-1) as { loss: number; text: string }];
  assert.ok(summary.loss < first.loss && summary.loss < 2, `${first.loss} → ${summary.loss}`);
  assert.match(summary.text, /^[acmnost .]{20}$/);
  assert.ok(existsSync(out));
  const folder = join(base, 'gpt-run');
  const kept = await run('gpt', [
    '--data',
    data,
    ...small,
    '--steps',
    '4',
    '--generate',
    '0',
    '--run',
    folder,
    '--json',
  ]);
  assert.is(kept.code, 0, kept.stderr);
  const more = await run('gpt', ['--resume', folder, '--steps', '6', '--generate', '0', '--json']);
  assert.equal((more.lines().at(-1) as { steps: number }).steps, 6, more.stderr);
  const fixed = await run('gpt', ['--resume', folder, '--width', '16']);
  assert.match(fixed.stderr, /error: --width: a run that is resumed keeps its own; leave it out/);
  const taken = await run('export', [folder, '--onnx', join(base, 'gpt.onnx'), '--torch', join(base, 'gpt-torch')]);
  assert.match(taken.stdout, /tokens \[batch, time\] to logits, at most 16 at once/, taken.stderr);
  const shape = await run('gpt', ['--data', data, '--width', '9', '--heads', '2']);
  assert.match(shape.stderr, /error: --width 9 is no multiple of --heads 2/);
  const short = await run('gpt', ['--data', data, '--context', '1000']);
  assert.match(short.stderr, /has 400 characters: too few for a context of 1000/);
  assert.is(short.code, 2);
});

test('doctor and browser have help', async () => {
  for (const name of ['scripts/doctor.ts', 'browser']) {
    const { code, stdout } = await run(name, ['--help']);
    assert.is(code, 0);
    assert.match(stdout, /Usage: npm run (doctor|browser) -- \[options\]/);
  }
});

test('each mistake has one clear message and the right exit code', async () => {
  const cases: [string, string[], RegExp, number?, NodeJS.ProcessEnv?][] = [
    ['cifar-train', ['--model', 'resnet21'], /error: model 'resnet21': depth 21 is not 6n \+ 2/, 1],
    ['cifar-train', ['--epoch', '3'], /unknown option '--epoch'\n\(Did you mean --epochs\?\)/, 2],
    ['cifar-train', ['--resume', ''], /error: the value of --resume is empty; is a variable of the shell unset\?/, 2],
    ['cifar-train', ['--mixup', '0'], /--mixup <alpha>' argument '0' is invalid. It must be above 0/, 2],
    ['cifar-train', ['--rand-augment', '2'], /argument '2' is invalid. It needs 2 numbers separated by commas/, 2],
    [
      'cifar-train',
      ['--rand-augment', '2,40'],
      /argument '2,40' is invalid. It must be a whole number from 0 to 30/,
      2,
    ],
    ['cifar-train', ['--ema', '1.5'], /argument '1.5' is invalid. It must be from 0 to 1/, 2],
    ['cifar-train', ['--schedule', 'onecycle'], /Did you mean one-cycle/, 2],
    ['cifar-train', ['--batch', '0'], /--batch <images>' argument '0' is invalid/, 2],
    ['cifar-train', ['--model', 'resnet60000002'], /error: model 'resnet60000002' is too deep: .* at most 6002/, 1],
    ['cifar-train', ['--batch', '99999999'], /argument '99999999' is invalid.* from 1 to 60000/, 2],
    ['cifar-train', ['--seed', '4294967296'], /argument '4294967296' is invalid.* from 0 to 4294967295/, 2],
    ['table-1', ['--rows', '20,60000002', '--plan'], /error: model 'resnet60000002' is too deep/, 1],
    ['cifar-train', ['--resume', base], /is not the folder of a run/, 1],
    ['cifar-train', [...tiny, '--out', first], /holds a run already; resume that run, or choose another folder/, 1],
    ['cifar-train', tiny, /error: no adapter matches 'unicorn'/, 1, { DAWNFIELD_ADAPTER: 'unicorn' }],
    [
      'evaluate',
      ['--weights', join(base, 'none.safetensors')],
      /none\.safetensors: could not be read \(no such file/,
      1,
    ],
    ['predict', ['--weights', join(first, checkpointFile('best')), 'none.png'], /none\.png: no such image/, 1],
  ];
  for (const [name, args, message, code, env] of cases) {
    const outcome = await run(name, args, { env });
    assert.match(outcome.stderr, message);
    assert.is(outcome.code, code, `${name} ${args.join(' ')}`);
    assert.not.match(outcome.stderr, /\n {4}at /, 'no stack');
  }
});

test('a truncated batch file and half a checkpoint are named', async () => {
  const data = join(base, 'cifar-10-batches-bin');
  mkdirSync(data);
  for (const name of [1, 2, 3, 4, 5].map((i) => `data_batch_${i}.bin`).concat('test_batch.bin'))
    writeFileSync(join(data, name), new Uint8Array(1000));
  const truncated = await run('cifar-train', ['--data', data, '--model', 'resnet8']);
  assert.match(truncated.stderr, /data_batch_1\.bin: expected 30730000 bytes.* found 1000: the file is truncated/);
  assert.is(truncated.code, 1);

  truncateSync(join(first, checkpointFile('last')), 5000);
  const half = await run('cifar-train', ['--resume', first]);
  assert.match(half.stderr, /checkpoint-last\.safetensors: .* it was cut off while being written or copied/);
  assert.is(half.code, 1);
});

test.run();
