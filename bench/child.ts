// Measures one case with one contestant in a process of its own and prints what it found as one line of JSON.
//   child.ts CONTESTANT CASE REPEAT
import { ceilings } from '../scripts/ceilings';
import { findCase, workOf } from './cases';
import type { Finding, Findings } from './examine';
import { countCommands, openAdapter, waiter } from './gpu';
import { type Contestant, measure, measureHost } from './workload';

/** Peers are looked up by name: they may be absent, and so may their types. */
async function create(who: string): Promise<Contestant> {
  const { create } =
    who === 'dawnfield' ? await import('./dawnfield') : await import(new URL(`peers/${who}.ts`, import.meta.url).href);
  return create();
}

async function examine(who: string, name: string, repeat: number): Promise<Findings> {
  const given = findCase(name)!;
  if (given.kind === 'ceiling') {
    const adapter = await openAdapter();
    const device = await adapter.requestDevice();
    const found = await ceilings(device, adapter.info.isFallbackAdapter, waiter(adapter.info));
    const findings = [
      { part: 'multiply-add', value: found.gflops, unit: 'GFLOP/s' },
      { part: 'copy', value: found.gigabytesPerSecond, unit: 'GB/s' },
    ];
    return { ...describe(adapter.info), findings };
  }
  if (given.kind === 'memory' || given.kind === 'first-step') {
    const { memoryOfStep, secondsOfFirstStep } = await import('./dawnfield');
    const findings: Finding[] = [];
    if (given.kind === 'first-step') findings.push({ part: '', value: await secondsOfFirstStep(given.net), unit: 's' });
    else
      for (const [part, bytes] of Object.entries(await memoryOfStep(given.net)))
        findings.push({ part, value: bytes / 2 ** 20, unit: 'MiB' });
    return { ...describe((await openAdapter()).info), findings };
  }
  const contestant = await create(who);
  const { amount, unit } = workOf(given);
  const findings: Finding[] = [];
  for (const workload of await contestant.prepare(given)) {
    const { part } = workload;
    if (workload.issue) {
      const host = await measureHost(workload, repeat);
      const { samples } = host;
      const [value, least, most] = [host.median, host.least, host.most].map((s) => s / amount);
      findings.push({ part: `${part}, the first`, value: host.first / amount, unit });
      findings.push({ part: `${part}, warm`, value, unit, least, most, samples });
      if (given.kind === 'eager-op') continue;
      for (const [what, count] of Object.entries(await countCommands(() => workload.run(1))))
        findings.push({ part: what, value: count, unit: 'a step' });
      continue;
    }
    const { median, least, most, samples } = await measure(workload, repeat);
    findings.push({ part, value: amount / median, unit, least: amount / most, most: amount / least, samples });
    if (['train', 'lstm', 'gpt'].includes(given.kind))
      for (const [what, value] of Object.entries(await countCommands(() => workload.run(1))))
        findings.push({ part: what, value, unit: 'a step' });
    await workload.check?.();
  }
  return { ...describe(contestant.adapter), findings };
}

const describe = ({ device, description }: GPUAdapterInfo) => ({ adapter: device, driver: description });

const [who, name, repeat] = process.argv.slice(2);
const result = await examine(who, name, Number(repeat));
process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0)); // peers leave things open that would keep it alive
