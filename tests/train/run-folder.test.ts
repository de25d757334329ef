// The folder of a run: metrics, checkpoints, and what is refused when a run is resumed.

import fs, {
  appendFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parseSafetensors, serializeSafetensors } from '../../src/formats/safetensors';
import { type Checkpoint, checkResumable, decodeCheckpoint, encodeCheckpoint } from '../../src/train/checkpoint';
import type { MetricsLine } from '../../src/train/metrics';
import {
  bestWeights,
  checkpointFile,
  defaultRunPath,
  isRun,
  RunFolder,
  readCheckpoint,
  readMetrics,
} from '../../src/train/run-folder.node.js';

const test = suite('run folder');
const base = mkdtempSync(join(tmpdir(), 'dawnfield-run-'));
test.after(() => rmSync(base, { recursive: true }));
let count = 0;
const newPath = () => join(base, 'nested', `run-${count++}`);

const state: Checkpoint = {
  tensors: {
    'conv1.weight': { dtype: 'F32', shape: [2, 2], data: Float32Array.of(0.1, -0, 1e-40, 3) },
    'stage1.order': { dtype: 'I32', shape: [3], data: Int32Array.of(2, 0, 1) },
  },
  progress: { epoch: 3, step: 117, lossSum: 0.1 + 0.2, best: null },
  options: { model: 'meanfield-resnet20', seed: 1, rates: [0.1, 0.01] },
  engine: { adapter: 'llvmpipe', kernels: { 'conv2d.forward': 'software' } },
};
const step = (n: number): MetricsLine => ({
  type: 'step',
  step: n,
  epoch: 0,
  loss: 1 / n,
  lr: 0.1,
  imagesPerSecond: 9,
  time: n,
});

test('a run keeps its options and logs one object a line', () => {
  const path = newPath();
  const run = RunFolder.create(path, state.options);
  run.appendMetrics(step(1));
  run.appendMetrics(step(2));
  assert.equal(run.readMetrics(), [step(1), step(2)]);
  run.close();
  const again = RunFolder.open(path);
  assert.equal(again.config.options, state.options);
  again.appendMetrics(step(3));
  assert.is(readMetrics(path).length, 3);
  again.saveCheckpoint(state);
  again.close();
  assert.throws(() => RunFolder.create(path, {}), /holds a run already/);
  assert.not(existsSync(join(path, 'run.lock')), 'a refused folder is not left locked');
});

test('a folder whose run was stopped before its first checkpoint is no run: it is taken over, with nothing of before', () => {
  const path = newPath();
  const begun = RunFolder.create(path, { lr: 1 });
  begun.appendMetrics(step(1));
  begun.close();
  // As a killed process leaves it: half a line, temporary files of ours and of others, a lock.
  appendFileSync(join(path, 'metrics.jsonl'), '{"type":');
  const left = `.${checkpointFile('last')}.0f8fad5b-d9cb-469f-a165-70867728950e.tmp`;
  for (const name of [left, '.config.json.4711.tmp', '.run.lock.4712.tmp', '.notes.tmp'])
    writeFileSync(join(path, name), 'half');
  writeFileSync(join(path, 'run.lock'), '');
  assert.not(isRun(path));
  assert.is(bestWeights(path), null);
  const run = RunFolder.create(path, { lr: 2 });
  assert.equal([run.config.options, run.readMetrics(), run.resume()], [{ lr: 2 }, [], null]);
  assert.equal(readdirSync(path).sort(), ['.notes.tmp', 'config.json', 'metrics.jsonl', 'run.lock']);
  run.saveCheckpoint(state, 'best');
  assert.ok(isRun(path), 'from its first checkpoint on');
  run.close();
});

const at = (epoch: number, bestEpoch: number | null, bestError: number | null): Checkpoint => ({
  ...state,
  progress: { epoch, position: 0, bestEpoch, bestError },
});

/** A run with these checkpoints, opened and resumed. */
function resumed(last: Checkpoint | null, best: Checkpoint | null, changeable?: string[]) {
  const run = RunFolder.create(newPath(), state.options);
  for (const n of [1, 2]) run.appendMetrics(step(n));
  if (last) run.saveCheckpoint(last);
  if (best) run.saveCheckpoint(best, 'best');
  run.close();
  const notices: string[] = [];
  const found = bestWeights(run.path);
  const again = RunFolder.open(run.path);
  const checkpoint = again.resume(changeable, (text) => notices.push(text))!;
  again.close();
  const bytes = (name: 'last' | 'best') => readFileSync(again.file(checkpointFile(name)));
  return { checkpoint, notices, bytes, found: basename(found!), path: run.path };
}

test('a best checkpoint that was lost between two writes is made again from the last one, bit for bit', () => {
  for (const best of [null, at(1, 1, 50)]) {
    const { checkpoint, notices, bytes, found } = resumed(at(2, 2, 40), best);
    assert.equal(bytes('best'), bytes('last'));
    assert.equal([checkpoint.progress, notices], [at(2, 2, 40).progress, []]);
    assert.is(found, checkpointFile('last'), 'and is not used before');
  }
});

test('a best checkpoint of its epoch, or of a later one, is left alone', () => {
  for (const [last, best] of [
    [at(3, 2, 40), at(2, 2, 40)],
    [at(1, 1, 50), at(2, 2, 40)],
    [at(1, null, null), at(2, 2, 40)],
  ] as const) {
    const { checkpoint, notices, bytes, found } = resumed(last, best);
    assert.equal(decodeCheckpoint(bytes('best')).progress, best.progress);
    assert.equal([checkpoint.progress, notices, found], [last.progress, [], checkpointFile('best')]);
  }
});

test('best weights that are lost for good are told of, and the next better ones count', () => {
  const overtaken = resumed(at(3, 2, 40), at(1, 1, 50));
  assert.equal(overtaken.checkpoint.progress, at(3, 1, 50).progress);
  assert.match(overtaken.notices[0]!, /weights of the best epoch, 2, are lost: the best that is left is epoch 1/);
  assert.is(overtaken.found, checkpointFile('last'));
  const none = resumed(at(3, 2, 40), null);
  assert.equal(none.checkpoint.progress, at(3, null, null).progress);
  assert.match(none.notices[0]!, /are lost: the next one that is tested counts as the best/);
});

test('without a last checkpoint a run goes on from the best one', () => {
  const { checkpoint, notices, found } = resumed(null, at(2, 2, 40));
  assert.is(basename(checkpoint.path), checkpointFile('best'));
  assert.match(notices[0]!, /has no last checkpoint: going on from the best one/);
  assert.is(found, checkpointFile('best'));
});

test('options edited in config.json are refused by name, unless they may change; metrics must be as long as they were', () => {
  const { path } = resumed(at(1, null, null), null);
  const open = (changeable?: string[]) => {
    const run = RunFolder.open(path);
    try {
      return run.resume(changeable);
    } finally {
      run.close();
    }
  };
  const file = join(path, 'config.json');
  const config = readFileSync(file, 'utf8');
  writeFileSync(file, config.replace('"seed":1', '"seed":2').replace('"rates"', '"raten"'));
  assert.throws(
    () => open(['rates', 'raten']),
    (error: Error) =>
      error.message ===
      `${file}: options of a run that has begun cannot be edited:\n  seed: the run was saved with 1, the file has 2\n` +
        'restore them, or start a new run',
  );
  assert.throws(() => open(['seed']), /raten: the run was saved with not set, the file has \[0\.1,0\.01\]/);
  assert.ok(open(['seed', 'rates', 'raten']));
  writeFileSync(file, JSON.stringify({ ...JSON.parse(config), options: [] }));
  assert.throws(() => open(), /config\.json: 'options' is no object/);
  writeFileSync(file, config);
  writeFileSync(join(path, 'metrics.jsonl'), `${JSON.stringify(step(1))}\n`);
  assert.throws(
    () => open(),
    /last\.safetensors: metricsLines is 2, but metrics\.jsonl has 1 lines; restore that file/,
  );
  rmSync(join(path, 'metrics.jsonl'));
  assert.is(open()!.metricsLines, 2, 'a log that was deleted begins again');
});

test('metadata that cannot be is refused with the file and the field', () => {
  const good = { tensors: state.tensors, metadata: parseSafetensors(encodeCheckpoint(state)).metadata };
  const path = join(base, 'odd.safetensors');
  const read = (change: Record<string, string>) => {
    writeFileSync(path, serializeSafetensors(good.tensors, { ...good.metadata, metricsLines: '2', ...change }));
    return readCheckpoint(path);
  };
  assert.is(read({}).metricsLines, 2);
  for (const [change, message] of [
    [{ progress: '"2"' }, `metadata 'progress' is "2", it must be a JSON object`],
    [{ progress: 'null' }, `metadata 'progress' is null, it must be a JSON object`],
    [{ options: '[]' }, `metadata 'options' is [], it must be a JSON object`],
    [{ engine: '{' }, `metadata 'engine' is not JSON (`],
    [{ metricsLines: '1e3' }, `metadata 'metricsLines' is "1e3", it must be the number of lines`],
    [{ metricsLines: '-1' }, `metadata 'metricsLines' is "-1"`],
    [{ metricsLines: '' }, `metadata 'metricsLines' is ""`],
    [{ version: '1.5' }, 'this checkpoint has no valid format version'],
  ] as const)
    assert.throws(
      () => read(change),
      (error: Error) => error.message.startsWith(`${path}: ${message}`),
      JSON.stringify(change),
    );
});

test('a folder without a run, or of a newer version, is refused', () => {
  assert.throws(() => RunFolder.open(base), /is not the folder of a run: it has no config\.json/);
  assert.not(existsSync(join(base, 'run.lock')));
  const path = newPath();
  RunFolder.create(path, {}).close();
  const config = JSON.parse(readFileSync(join(path, 'config.json'), 'utf8'));
  writeFileSync(join(path, 'config.json'), JSON.stringify({ ...config, version: 2 }));
  assert.throws(() => RunFolder.open(path), /config\.json: this run has format version 2.*reads up to version 1/);
});

test('a checkpoint is read back exactly', () => {
  const run = RunFolder.create(newPath(), state.options);
  assert.not(run.hasCheckpoint());
  run.saveCheckpoint(state);
  run.saveCheckpoint({ ...state, progress: { epoch: 2 } }, 'best');
  assert.equal(run.loadCheckpoint(), { ...state, metricsLines: 0 });
  assert.ok(Object.is((run.loadCheckpoint().tensors['conv1.weight']!.data as Float32Array)[1], -0));
  assert.equal(run.loadCheckpoint('best').progress, { epoch: 2 });
  assert.equal(readdirSync(run.path).sort(), [
    'checkpoint-best.safetensors',
    'checkpoint-last.safetensors',
    'config.json',
    'metrics.jsonl',
    'run.lock',
  ]);
  run.close();
});

test('half a checkpoint, a weights file and a newer version are refused by name', () => {
  const run = RunFolder.create(newPath(), {});
  const path = run.saveCheckpoint(state);
  const bytes = readFileSync(path);
  truncateSync(path, bytes.length - 10);
  assert.throws(
    () => run.loadCheckpoint(),
    (error: Error) => {
      return error.message.startsWith(`${path}: the file ends after ${bytes.length - 10} of ${bytes.length} bytes`);
    },
  );
  rmSync(path);
  assert.throws(
    () => run.loadCheckpoint(),
    /checkpoint-last\.safetensors: could not be read \(no such file or folder\)/,
  );
  run.close();

  const weights = serializeSafetensors(state.tensors, { format: 'pt' });
  assert.throws(() => decodeCheckpoint(weights, 'w'), /w: holds weights, but is not a checkpoint.*'pt'/);
  const { tensors, metadata } = parseSafetensors(encodeCheckpoint(state));
  const newer = serializeSafetensors(Object.fromEntries(tensors), { ...metadata, version: '9' });
  assert.throws(() => decodeCheckpoint(newer, 'c'), /c: this checkpoint has format version 9.*up to version 1/);
  const { progress: _, ...rest } = metadata;
  const lacking = serializeSafetensors(Object.fromEntries(tensors), rest);
  assert.throws(() => decodeCheckpoint(lacking, 'c'), /c: the checkpoint lacks 'progress'/);
});

test('a number that JSON cannot hold is refused, not turned into null', () => {
  const broken = { ...state, progress: { best: Number.POSITIVE_INFINITY } };
  assert.throws(() => encodeCheckpoint(broken), /progress: 'best' is Infinity/);
});

test('metrics are cut back to what the checkpoint had seen, half a line included', () => {
  const run = RunFolder.create(newPath(), {});
  for (const n of [1, 2, 3]) run.appendMetrics(step(n));
  run.saveCheckpoint(state);
  for (const n of [4, 5]) run.appendMetrics(step(n));
  run.close();
  appendFileSync(run.file('metrics.jsonl'), '{"type":"step","ste');
  assert.is(readMetrics(run.path).length, 5, 'half a line is not read');

  const resumed = RunFolder.open(run.path);
  assert.is(resumed.loadCheckpoint().metricsLines, 3);
  resumed.truncateMetrics(resumed.loadCheckpoint());
  for (const n of [4, 5, 6]) resumed.appendMetrics(step(n));
  assert.equal(readMetrics(run.path), [1, 2, 3, 4, 5, 6].map(step));
  resumed.saveCheckpoint(state);
  assert.is(resumed.loadCheckpoint().metricsLines, 6);
  resumed.close();
});

test('a full disk leaves whole lines', () => {
  const run = RunFolder.create(newPath(), {});
  run.appendMetrics(step(1));
  const { writeFileSync: original } = fs;
  fs.writeFileSync = ((file: number, bytes: Uint8Array) => {
    original(file, bytes.subarray(0, 9));
    throw Object.assign(new Error('write'), { code: 'ENOSPC' });
  }) as typeof original;
  syncBuiltinESMExports();
  try {
    assert.throws(
      () => run.appendMetrics(step(2)),
      /metrics\.jsonl: could not be written \(no space left on the device\)/,
    );
  } finally {
    fs.writeFileSync = original;
    syncBuiltinESMExports();
  }
  run.appendMetrics(step(3));
  assert.equal(run.readMetrics(), [step(1), step(3)]);
  run.close();
});

test('half a line is not continued by the next one', () => {
  const path = newPath();
  RunFolder.create(path, {}).close();
  writeFileSync(join(path, 'metrics.jsonl'), `${JSON.stringify(step(1))}\n{"type":"st`);
  const run = RunFolder.open(path);
  run.appendMetrics(step(2));
  assert.equal(run.readMetrics(), [step(1), step(2)]);
  run.close();
});

test('a damaged line is named', () => {
  const path = newPath();
  RunFolder.create(path, {}).close();
  writeFileSync(join(path, 'metrics.jsonl'), `${JSON.stringify(step(1))}\nnot json\n`);
  assert.throws(() => readMetrics(path), /metrics\.jsonl: line 2 is not JSON/);
});

test('options that cannot change are all named, with both values', () => {
  const saved = { model: 'resnet20', seed: 1, batch: 128, milestones: [80, 120], tau: { init: 'n', lr: 0.1 } };
  const keys = ['model', 'seed', 'batch', 'milestones', 'tau', 'clip'];
  checkResumable(saved, { ...saved, tau: { lr: 0.1, init: 'n' }, epochs: 9 }, keys);
  checkResumable(saved, {}, keys);
  assert.throws(
    () => checkResumable(saved, { model: 'resnet32', batch: 64, milestones: [80], seed: 1, clip: true }, keys),
    (e: Error) => {
      assert.match(e.message, 'model: the run has "resnet20", given is "resnet32"');
      assert.match(e.message, 'batch: the run has 128, given is 64');
      assert.match(e.message, 'milestones: the run has [80,120], given is [80]');
      assert.match(e.message, 'clip: the run has not set, given is true');
      assert.not.match(e.message, 'seed');
      return true;
    },
  );
});

test('default folders tell runs apart', () => {
  const time = new Date(2026, 0, 2, 3, 4, 5);
  assert.is(defaultRunPath('resnet20', 'cifar10', 7, time), join('runs', 'resnet20-cifar10-7-20260102-030405'));
});

test.run();
