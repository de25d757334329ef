// The user's line in stack traces as engines write them: recorded in Chromium, Node and Firefox, with the framework in files of its own, behind
// Vite, and in one file with the program.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { framesOf, userFrame } from '../../src/tensor/call-site';

test('frames of V8, Firefox and Safari', () => {
  const places = (stack: string) => framesOf(stack).map(({ file, line, column }) => `${file} ${line} ${column}`);
  assert.equal(
    places(
      'Error: a (b) c\n    at f (http://localhost:8/a.js?v=1:12:3)\n    at async Promise.all (index 0)\n' +
        '    at new Net (/home/me/my app/net.js:1:20)\n    at /home/me/x.js:7:1\n    at async file:///x.mjs:2:3\n' +
        '    at Object.run [as go] (C:\\app\\x.js:4:5)\n    at eval (webpack-internal:///./src/x.js:8:1)',
    ),
    [
      'http://localhost:8/a.js?v=1 12 3',
      '/home/me/my app/net.js 1 20',
      '/home/me/x.js 7 1',
      'file:///x.mjs 2 3',
      'C:\\app\\x.js 4 5',
      'webpack-internal:///./src/x.js 8 1',
    ],
  );
  assert.equal(
    places('f@http://localhost:8/a.js?v=1:12:3\nasync*g/<@http://localhost:8/b.js:1:2\n@http://localhost:8/c.js:3:4\n'),
    ['http://localhost:8/a.js?v=1 12 3', 'http://localhost:8/b.js 1 2', 'http://localhost:8/c.js 3 4'],
  );
});

/** The same stack as both families of engines write it. */
const stacks = (...frames: [name: string, place: string][]): string[] => [
  `Error\n${frames.map(([name, place]) => `    at ${name} (${place})`).join('\n')}`,
  frames.map(([name, place]) => `${name}@${place}\n`).join(''),
];

function names(
  want: string,
  frames: [name: string, place: string][],
  ...places: Parameters<typeof userFrame>[1][]
): void {
  for (const stack of stacks(...frames)) assert.match(userFrame(stack, ...places), want);
}

test('modules that are served one by one', () => {
  const host = 'http://localhost:5173';
  names(`${host}/app/src/models/net.js:14:9`, [
    ['callSite', `${host}/lib/src/tensor/call-site.js:60:21`],
    ['inputError', `${host}/lib/src/tensor/context.js:49:3`],
    ['matmul', `${host}/lib/src/ops/matmul.js:20:11`],
    ['forward', `${host}/app/src/models/net.js:14:9`],
    ['main', `${host}/app/src/main.js:3:1`],
  ]);
});

test("the framework as Vite's dependency: packages are passed over", () => {
  const deps = 'http://localhost:5173/node_modules/.vite/deps';
  names('http://localhost:5173/src/main.ts?t=17:12:15', [
    ['callSite', `${deps}/chunk-QX3.js?v=8a1b:9211:22`],
    ['inputError', `${deps}/chunk-QX3.js?v=8a1b:9160:10`],
    ['Linear.forward', `${deps}/dawnfield.js?v=8a1b:21:5`],
    ['step', 'http://localhost:5173/src/main.ts?t=17:12:15'],
  ]);
  // Webpack's modules in development have their paths.
  names('webpack-internal:///./src/main.js:5:3', [
    ['callSite', 'webpack-internal:///./node_modules/dawnfield/dist/src/tensor/call-site.js:60:21'],
    ['matmul', 'webpack-internal:///./node_modules/dawnfield/dist/src/ops/matmul.js:20:11'],
    ['eval', 'webpack-internal:///./src/main.js:5:3'],
  ]);
});

test('one file with the program: what lies between the first and the last of the framework is passed over', () => {
  const file = 'https://me.example/assets/index-B2x.js';
  const noted = [
    { file, line: 1, column: 40_000 },
    { file, line: 1, column: 300 },
  ];
  const frames: [string, string][] = [
    ['a', `${file}:1:420`],
    ['b', `${file}:1:9000`],
    ['c', `${file}:1:39999`],
    ['d', `${file}:1:41234`],
    ['e', `${file}:2:7`],
  ];
  names(`${file}:1:41234`, frames, noted);
  for (const stack of stacks(...frames))
    assert.is(userFrame(stack, []), '', 'bounds unknown: nothing rather than a wrong line');
});

test.run();
