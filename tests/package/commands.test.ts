// The commands that README.md, CONTRIBUTING.md and docs/ tell are there: programs, their studies, options, and files. Commands take minutes to days, so
// they are not run here; tests/examples runs the programs in small.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { COMMANDS } from '../../scripts/setup/commands.mjs';
import { root } from '../bundle';

const pages = ['README.md', 'CONTRIBUTING.md', ...readdirSync(join(root, 'docs')).map((name) => `docs/${name}`)].filter(
  (name) => name.endsWith('.md'),
);
const textOf = (path: string) => readFileSync(join(root, path), 'utf8');
const { scripts } = JSON.parse(textOf('package.json')) as { scripts: Record<string, string> };

/** Where the options of a program are that is no folder of examples/. */
const ELSEWHERE: Record<string, string> = {
  bench: 'bench',
  doctor: 'scripts/doctor.ts',
  kills: 'tests/kills',
  runtimes: 'tests/runtimes',
  test: 'tests/run.ts',
  site: 'docs/site/main.ts',
};

/** The sources of a program, and those of other folders of examples/ that they import. */
function sourcesOf(program: string): string {
  const place = ELSEWHERE[program] ?? join('examples', program);
  const files = statSync(join(root, place)).isFile()
    ? [place]
    : readdirSync(join(root, place))
        .filter((name) => name.endsWith('.ts'))
        .map((name) => join(place, name));
  const texts = files.map(textOf).join();
  const imported = [...texts.matchAll(/'\.\.\/([\w-]+\/[\w-]+)'/g)].map(([, name]) => `examples/${name}.ts`);
  return (
    texts +
    imported
      .filter((file) => existsSync(join(root, file)))
      .map(textOf)
      .join()
  );
}

/** Each command of a page: the program and what follows it. */
function commandsOf(page: string): [name: string, args: string][] {
  const text = textOf(page).replaceAll(/ \\\n\s+/g, ' ');
  const found = text.matchAll(/(?:npm run|npx dawnfield) ([a-z][\w-]*)(?: --(?= ))?((?: [^#`\n|]*)?)/g);
  return [...found].map(([, name = '', args = '']) => [name, args.replace(/\s{2,}\S.*/, '')]);
}

for (const page of pages)
  test(`${page}: its commands and their options exist`, () => {
    for (const [name, args] of commandsOf(page)) {
      if (name === 'dawnfield') continue;
      assert.ok(name in scripts || name in COMMANDS, `npm run ${name}`);
      for (const [option] of args.matchAll(/(?<= )--[a-z][\w-]*/g)) {
        const own = new RegExp(`['\`,] ?${option}\\b|'?${option.slice(2)}'?: \\{ type: `);
        assert.ok(option === '--help' || own.test(sourcesOf(name)), `${name} ${option}`);
      }
    }
    for (const [, file = ''] of textOf(page).matchAll(/(?:^ {4}|`)node (?:--import tsx )?([\w./-]+\.(?:ts|mjs))/gm))
      assert.ok(existsSync(join(root, file)), file);
  });

test('the files for clusters in docs/sweeps.md: shells take them, and programs their arguments', () => {
  const files = [...textOf('docs/sweeps.md').matchAll(/```bash\n([\s\S]*?)```/g)].map(([, code = '']) => code);
  assert.is(files.length, 3);
  for (const input of files) assert.is(spawnSync('bash', ['-n'], { input, encoding: 'utf8' }).stderr, '');
  const containers = [...textOf('docs/sweeps.md').matchAll(/args: \[([\w-]+), (--queue|--rows)(.*)\]/g)];
  assert.is(containers.length, 2);
  for (const [, name = '', ...args] of containers)
    for (const [option] of args.join('').matchAll(/--[a-z][\w-]*/g))
      assert.ok(name in COMMANDS && new RegExp(`'${option}[ ']`).test(sourcesOf(name)), `${name} ${option}`);
});

test('most commands are found', () => {
  assert.ok(pages.flatMap(commandsOf).length > 80, `${pages.flatMap(commandsOf).length}`);
});

test('the options in the table of docs/training.md are those of cifar-train', () => {
  const table = /^## Options$([\s\S]*?)^## /m.exec(textOf('docs/training.md'))?.[1] ?? '';
  const options = [...table.matchAll(/`(--[\w-]+)`/g)].map(([, option]) => option);
  assert.ok(options.length > 20);
  for (const option of options) assert.ok(sourcesOf('cifar-train').includes(`'${option}`), option);
});

test.run();
