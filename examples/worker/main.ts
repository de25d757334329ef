// `dawnfield worker`: takes runs from a queue and has them trained on this machine, each in a process of its own.

import { connect } from '../queue/connect';
import { checkShared } from '../queue/guarantees';
import { queueOf } from '../queue/jobs';
import { watchInterrupts } from '../shared/interrupts';
import { runProgram } from '../shared/options';
import { createReport } from '../shared/report';
import { Machine } from './machine';
import { createOptions, type Given } from './options';
import { Slot } from './slot';
import { serve, TRAINEE } from './trainee';

if (process.env[TRAINEE]) await serve(JSON.parse(process.env[TRAINEE]));
else
  await runProgram<Given>(createOptions(), async (given) => {
    const report = createReport(given.json ?? false);
    const interrupts = watchInterrupts(report);
    checkShared(given.out);
    const queue = queueOf(given.out);
    const connection = await connect(given.queue, report.say);
    try {
      const slots = Array.from({ length: given.concurrency }, (_, i) => {
        const { adapter } = given;
        return new Slot(given, adapter?.[i % adapter.length], report.say);
      });
      await Promise.all(slots.map((slot) => slot.start()));
      interrupts.begin();
      await new Machine(given, queue, connection, slots, report).work(interrupts.signal);
    } finally {
      connection.close();
    }
  });
