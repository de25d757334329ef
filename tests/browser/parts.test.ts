// The parts of the page that need no browser: settings and links, recipes, archives, histories, turns, and what to do where there is no WebGPU.
import { gzipSync } from 'node:zlib';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { addPoint, crossingsBetween, emptyHistory } from '../../examples/browser/history';
import { remedy } from '../../examples/browser/page/support';
import {
  DEFAULTS,
  fromHash,
  PRESETS,
  readSettings,
  recipesOf,
  settingsOf,
  toHash,
} from '../../examples/browser/settings';
import { readTarGz } from '../../examples/browser/worker/archive';
import { Gate, Turns } from '../../examples/browser/worker/turns';
import { checkRecipe } from '../../examples/shared/recipe';

test('a link holds the settings, and presets come back from theirs', () => {
  assert.is(toHash(DEFAULTS), '');
  for (const { settings } of PRESETS) assert.equal(fromHash(`#${toHash(settings)}`), settings);
});

test('what cannot be is not taken from a link', () => {
  const odd = fromHash('#depth=21&width=-1&network=other&lr=x&sort=maybe&size=17&unknown=1&seed=7&batch=');
  assert.equal(odd, { ...DEFAULTS, depth: 20, size: 16, seed: 7 });
  assert.is(readSettings({ depth: 1000 }).depth, DEFAULTS.depth);
  assert.is(fromHash('#images=1').images, 2);
});

test('recipes are those of cifar-train, and settings come back from them', () => {
  for (const { settings } of PRESETS) {
    const recipes = recipesOf(settings);
    assert.is(recipes.length, settings.compare ? 2 : 1);
    const [first] = recipes;
    assert.ok(first);
    checkRecipe(JSON.parse(JSON.stringify(first)), 'the page');
    assert.equal(recipesOf({ ...settingsOf(first), compare: settings.compare }), recipes);
  }
  const [meanField, vanilla] = recipesOf({ ...DEFAULTS, compare: true });
  assert.equal([meanField?.model, vanilla?.model], ['meanfield-resnet26', 'resnet26']);
  assert.is(vanilla?.seed, meanField?.seed);
});

/** A record of tar: a file of this name and content. */
function tar(name: string, content: Uint8Array): Uint8Array {
  const out = new Uint8Array(512 + 512 * Math.ceil(content.length / 512));
  const write = (text: string, at: number) => out.set(new TextEncoder().encode(text), at);
  write(name, 0);
  write(`${content.length.toString(8).padStart(11, '0')}\0`, 124);
  write('0ustar', 156);
  out.set(content, 512);
  return out;
}

test('an archive gives the files that are wanted; one that ends early is refused', async () => {
  const [a, b] = [Uint8Array.from({ length: 700 }, (_, i) => i), new Uint8Array(512).fill(7)];
  const whole = Buffer.concat([
    tar('folder/other.txt', b),
    tar('folder/a.bin', a),
    tar('b.bin', b),
    new Uint8Array(1024),
  ]);
  const read = (bytes: Uint8Array) =>
    readTarGz(new Blob([new Uint8Array(gzipSync(bytes))]), (name) => name.endsWith('.bin'));
  const found = await read(whole);
  assert.equal([...found.keys()], ['a.bin', 'b.bin']);
  assert.equal(found.get('a.bin'), a);
  assert.equal(found.get('b.bin'), b);
  const error = await read(whole.subarray(0, 2100)).then(
    () => new Error('read'),
    (thrown: Error) => thrown,
  );
  assert.match(error.message, 'ends within');
});

test('crossings are the pairs that stand the other way round', () => {
  const stage = (...order: number[]) => ({ order, tau: order.map((_, i) => i) });
  assert.equal(crossingsBetween([stage(0, 1, 2)], [stage(0, 1, 2)], 5), []);
  assert.equal(crossingsBetween([stage(0, 1, 2)], [stage(1, 0, 2)], 5), [{ step: 5, stage: 0, a: 0, b: 1 }]);
  const reversed = crossingsBetween([stage(0), stage(2, 0, 1)], [stage(0), stage(1, 0, 2)], 9);
  assert.equal(
    reversed.map(({ a, b }) => [a, b]),
    [
      [0, 1],
      [2, 1],
      [2, 0],
    ],
  );
  assert.ok(reversed.every((crossing) => crossing.stage === 1));
});

test('a long history keeps its end, its beginning and every crossing', () => {
  const history = emptyHistory();
  for (let step = 0; step < 10_000; step++)
    addPoint(
      history,
      { step, epoch: 1, loss: 1, error: 1, lr: 1, stages: [] },
      step % 100 ? [] : [{ step, stage: 0, a: 0, b: 1 }],
    );
  assert.ok(history.points.length <= 3000);
  assert.is(history.points[0]?.step, 0);
  assert.equal(
    history.points.slice(-1000).map(({ step }) => step),
    Array.from({ length: 1000 }, (_, i) => 9000 + i),
  );
  assert.is(history.crossings.length, 100);
});

test('turns are taken in the order of asking, one at a time', async () => {
  const turns = new Turns();
  const said: string[] = [];
  const pause = () => new Promise((resolve) => setTimeout(resolve));
  const work = (name: string) =>
    turns.during(async () => {
      said.push(`${name} begins`);
      await pause();
      said.push(`${name} ends`);
    });
  await Promise.all([work('a'), work('b'), work('c')]);
  assert.equal(
    said,
    ['a', 'b', 'c'].flatMap((name) => [`${name} begins`, `${name} ends`]),
  );
  const error = await turns.during(() => Promise.reject(new Error('no'))).catch((thrown: Error) => thrown.message);
  assert.is(error, 'no');
  await work('d');
  assert.is(said.at(-1), 'd ends');
});

test('a closed gate lets through whoever waits, once for each step', async () => {
  const gate = new Gate();
  await gate.pass();
  gate.close();
  let passed = 0;
  const walk = async () => {
    for (;;) {
      await gate.pass();
      if (++passed > 5) return;
    }
  };
  void walk();
  const turn = () => new Promise((resolve) => setTimeout(resolve));
  for (const wanted of [0, 1, 2]) {
    await turn();
    assert.is(passed, wanted);
    gate.step();
  }
  gate.open();
  await turn();
  assert.ok(passed > 5);
});

test('where there is no WebGPU, each browser is told what to do in it', () => {
  const agent = {
    firefox: 'Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0',
    old: 'Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0',
    chrome: 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36',
    safari:
      'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Safari/605.1.15',
  };
  assert.match(remedy(agent.firefox, true), 'dom.webgpu.enabled');
  assert.match(remedy(agent.old, true), 'from version 141 on');
  assert.match(remedy(agent.chrome, true), 'chrome://flags');
  assert.match(remedy(agent.safari, true), 'from version 26 on');
  assert.match(remedy(agent.chrome, false), 'https');
});

test.run();
