// A forward pass as a draft of a graph: each operation that has a mapping is written as nodes, one that has none is looked into, and what is still
// unknown where it is read is refused by name.
import { callWith, type Operation, unwrapped, withRecorder } from '../autograd/operation';
import { memoriesIn, noGrad, tensorsIn } from '../autograd/tape';
import { type AnyModule, inEvaluation } from '../nn/module';
import { owned } from '../tensor/memory';
import { loggedDraws } from '../tensor/random';
import type { Tensor } from '../tensor/tensor';
import { Draft, refusal, storedType } from './draft';
import { TYPES } from './format';
import { INSTEAD, MAPPINGS } from './maps';

/** Functions of the user with kernels of their own, and what computes the same of operations. */
export type Equivalents = readonly (readonly [custom: Operation, equivalent: Operation])[];

/** The draft of `model.forward(...args)` in evaluation mode. */
export function recorded(
  model: AnyModule,
  args: readonly unknown[],
  inputNames: readonly string[],
  outputName: (index: number, count: number) => string,
  equivalents: Equivalents,
): Draft {
  const known = new Map(equivalents.map(([custom, equivalent]) => [unwrapped(custom), equivalent]));
  const draft = new Draft(new Map([...model.namedTensors()].map(([name, tensor]) => [tensor, name])));
  for (const [i, x] of [...tensorsIn(args)].entries()) draft.input(inputNames[i] ?? `input_${i}`, x);
  const record = (name: string, f: Operation, given: readonly unknown[]): unknown => {
    const other = INSTEAD[name]?.(f, ...given);
    if (other) return other();
    const mapping = MAPPINGS[name];
    if (!mapping) {
      const y: unknown = callWith(known.get(f) ?? f, given);
      draft.within(name, () => {
        for (const x of tensorsIn(y)) draft.made(x);
      });
      return y;
    }
    const result: unknown = withRecorder(null, () => callWith(f, given));
    draft.within(name, () => {
      const values = mapping(draft, result, ...given);
      const list = typeof values === 'string' ? [values] : values;
      for (const [i, x] of [...tensorsIn(result)].entries()) {
        const value = list[i];
        if (value) draft.know(x, value);
      }
    });
    return result;
  };
  const pass = () => {
    const result: unknown = model.forward(...args);
    if (result instanceof Promise) {
      result.catch(() => {}); // it may have failed as well, and nobody waits for it
      throw refusal(
        `${model.constructor.name}.forward is async`,
        'A graph is recorded without waiting for the GPU: what reads values and decides by them cannot be exported.',
      );
    }
    const outputs: Tensor[] = [...tensorsIn(result)];
    if (!outputs.length) throw refusal(`${model.constructor.name}.forward returns no tensor`);
    for (const [i, x] of outputs.entries()) {
      const name = outputName(i, outputs.length);
      const type = storedType(x);
      draft.outputs.push({ name, type, shape: x.shape });
      const inputs = [draft.of(x)];
      const node = { inputs, outputs: [name], origin: draft.origin };
      if (type === 'float16') draft.nodes.push({ ...node, op: 'Cast', attributes: { to: TYPES.float16 } });
      else draft.nodes.push({ ...node, op: 'Identity', attributes: {} });
    }
    return result;
  };
  const { draws } = loggedDraws(() =>
    owned(
      () => inEvaluation(model, () => noGrad(() => withRecorder(record, pass))),
      (_, made) => {
        draft.checkConstants(new Set(made));
        return memoriesIn(args);
      },
    ),
  );
  if (draws.length)
    throw refusal(
      `${model.constructor.name} draws random numbers in evaluation mode`,
      'An exported graph always computes the same: draw only where this.training is true.',
    );
  return draft;
}
