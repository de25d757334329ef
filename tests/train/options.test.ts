// Command lines: values are parsed and checked, and mistakes end with code 2 and a sentence that helps.

import { InvalidArgumentError } from 'commander';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  choice,
  count,
  createProgram,
  didYouMean,
  integerFrom,
  numberFrom,
  numberList,
  printJson,
  runProgram,
  UsageError,
} from '../../examples/shared/options';
import { quote } from '../../examples/shared/shell';

const test = suite('options');
test.before.each(() => {
  delete process.env.DEBUG;
});

function refused(parse: (text: string) => unknown, text: string, message: RegExp): void {
  assert.throws(
    () => parse(text),
    (error: Error) => error instanceof InvalidArgumentError && message.test(error.message),
    `'${text}'`,
  );
}

test('numbers', () => {
  assert.is(count('128'), 128);
  assert.is(integerFrom(0, 9)('0'), 0);
  assert.is(numberFrom(0, 1)('.5'), 0.5);
  assert.equal(numberList(3)('.485,.456,.406'), [0.485, 0.456, 0.406]);
  assert.equal(numberList()('80,120'), [80, 120]);
  assert.equal(numberList()(''), []);
  for (const text of ['0', '-1', '1.5', '1e99', '100001']) refused(count, text, /whole number from 1 to 100000\./);
  for (const text of ['', 'ten', '3x', 'NaN', 'Infinity']) refused(count, text, /is not a number/);
  refused(numberFrom(0, 1), '1.1', /from 0 to 1/);
  refused(numberFrom(0), '-0.1', /at least 0/);
  refused(numberList(3), '1,2', /needs 3 numbers separated by commas, got 2/);
  refused(numberList(), '1,,2', /'' is not a number/);
});

test('choices name what is allowed and guess what was meant', () => {
  const model = choice(['resnet20', 'resnet56', 'meanfield-resnet20']);
  assert.is(model('resnet56'), 'resnet56');
  refused(model, 'resnt20', /Did you mean resnet20\? Allowed are resnet20, resnet56, meanfield-resnet20\./);
  refused(model, 'transformer', /^Allowed are resnet20/);
  assert.is(didYouMean('Meanfield-ResNet21', ['resnet20', 'meanfield-resnet20']), 'Did you mean meanfield-resnet20? ');
});

/** Calls a small program, with the end of the process and its output caught. */
async function run(...args: string[]) {
  const { exit, stdout, stderr } = process;
  const writes = [stdout.write, stderr.write] as const;
  const result = { status: 0, stdout: '', stderr: '' };
  process.exit = ((code: number) => {
    result.status = code;
    throw new Error('exit');
  }) as typeof exit;
  const capture = (name: 'stdout' | 'stderr') => (text: string) => {
    result[name] += text;
    return true;
  };
  stdout.write = capture('stdout');
  stderr.write = capture('stderr');
  try {
    const program = createProgram('demo', 'A demonstration.')
      .option('--epochs <n>', 'epochs', count, 3)
      .option('--out <folder>')
      .option('--resume [folder]')
      .option('--runs <folders...>');
    const main = async (options: { epochs: number }) => {
      if (options.epochs === 13) throw new Error('no luck');
      if (options.epochs === 14) throw new UsageError('fourteen needs --lucky');
      printJson(options);
    };
    await runProgram(program, main, ['node', 'demo', ...args]);
  } catch (error) {
    if ((error as Error).message !== 'exit') throw error;
  } finally {
    [stdout.write, stderr.write] = writes;
    process.exit = exit;
  }
  return result;
}

test('an empty value is refused by name', async () => {
  for (const args of [['--out', ''], ['--out='], ['--resume', ''], ['--runs', 'a', '']]) {
    const { status, stderr } = await run(...args);
    assert.is(status, 2);
    assert.match(stderr, `the value of ${args[0]!.replace('=', '')} is empty; is a variable of the shell unset?`);
  }
});

test('folders are quoted for the shell', () => {
  assert.equal(['runs/a-1', "it's here", '$HOME', '-x', 'a b', ''].map(quote), [
    'runs/a-1',
    "'it'\\''s here'",
    "'$HOME'",
    './-x',
    "'a b'",
    "''",
  ]);
});

test('exit codes and messages', async () => {
  const good = await run('--epochs', '5', '--json');
  assert.equal([good.status, JSON.parse(good.stdout)], [0, { epochs: 5, json: true }]);

  const help = await run('--help');
  assert.is(help.status, 0);
  assert.match(help.stdout, /Usage: npm run demo -- \[options\]/);

  const unknown = await run('--epoch', '5');
  assert.is(unknown.status, 2);
  assert.match(unknown.stderr, /unknown option '--epoch'[\s\S]*Did you mean --epochs\?[\s\S]*--help lists the options/);

  const bad = await run('--epochs', 'many');
  assert.is(bad.status, 2);
  assert.match(bad.stderr, /option '--epochs <n>' argument 'many' is invalid. 'many' is not a number/);

  assert.equal(await run('--epochs', '13'), { status: 1, stdout: '', stderr: 'error: no luck\n' });
  assert.is((await run('--epochs', '14')).status, 2);
  assert.is((await run('stray')).status, 2);
});

test('DEBUG shows where an error came from', async () => {
  process.env.DEBUG = '1';
  assert.match((await run('--epochs', '13')).stderr, /error: no luck\n[\s\S]* at main/);
});

test.run();
