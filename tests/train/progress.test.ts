// Progress on a terminal, in a log file, and silent.

import { Writable } from 'node:stream';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createProgress, formatDuration } from '../../examples/shared/progress';

const test = suite('progress');

function sink(isTTY: boolean) {
  const stream = Object.assign(
    new Writable({
      write(chunk, _encoding, done) {
        stream.text += chunk;
        done();
      },
    }),
    { isTTY, columns: 200, text: '' },
  );
  return stream;
}

test('a log file gets a line every few seconds and the last state of the epoch', () => {
  const stream = sink(false);
  let time = 0;
  const progress = createProgress({ stream, every: 10, now: () => time });
  progress.begin('epoch 1/2', 1000, 200);
  for (time = 1000; time <= 16_000; time += 1000) {
    progress.update(200 + time / 20, { loss: 2 - time / 10_000, accuracy: time / 1000 });
  }
  progress.end();
  progress.log('done');
  assert.equal(stream.text.split('\n'), [
    'epoch 1/2  700/1,000  50 images/s  loss 1.000  accuracy 10.0 %  0:06 left',
    'epoch 1/2  1,000/1,000  50 images/s  loss 0.400  accuracy 16.0 %',
    'done',
    '',
  ]);
});

test('a terminal gets a bar, and keeps the SIGINT handlers of the run', () => {
  const stream = sink(true);
  const listeners = process.listenerCount('SIGINT');
  const progress = createProgress({ stream });
  progress.begin('epoch 1/2', 100);
  assert.is(process.listenerCount('SIGINT'), listeners);
  progress.log('a word');
  progress.update(100, { loss: 0.5, accuracy: 90 });
  progress.end();
  assert.match(stream.text, /epoch 1\/2 .*100\/100.*loss 0\.500 {2}accuracy 90\.0 %/);
  assert.match(stream.text, 'a word\n');
});

test('silent is silent', () => {
  for (const stream of [sink(true), sink(false)]) {
    const progress = createProgress({ stream, silent: true, every: 0 });
    progress.begin('epoch', 10);
    progress.update(5, { loss: 1 });
    progress.log('a word');
    progress.end();
    assert.is(stream.text, '');
  }
});

test('durations', () => {
  assert.equal([7, 59.6, 61, 3700].map(formatDuration), ['0:07', '1:00', '1:01', '1:01:40']);
});

test.run();
