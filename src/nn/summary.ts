// summary(model, input): a table of modules with the shapes they return and the parameters they own.
import { at } from '../../shaders/checked';
import { scopedNoGrad, tensorsIn } from '../autograd/tape';
import { type AnyModule, inEvaluation } from './module';
import { Parameter } from './parameter';

/** One module in the table of `nn.summary`. */
export interface SummaryRow {
  /** Path of the module, '' for the model itself. */
  path: string;
  /** Name of its class, such as 'Conv2d'. */
  type: string;
  /** Shape of what its last call returned; null when it was not called. */
  output: readonly number[] | null;
  /** Trained numbers that the module owns itself, those of its submodules apart. */
  parameters: number;
}

/** Runs the model once without recording, in evaluation mode, and reports every module. `table` is for people. */
export function summary(
  model: AnyModule,
  ...inputs: unknown[]
): { rows: SummaryRow[]; parameters: number; table: string } {
  const outputs = new Map<AnyModule, readonly number[]>();
  const named = [...model.namedModules()];
  const remove = named.map(([, module]) =>
    module.onForward((m, _, output) => {
      const [first] = tensorsIn(output); // of an LSTM the outputs, before its state
      if (first) outputs.set(m, first.shape);
    }),
  );
  try {
    inEvaluation(model, () =>
      scopedNoGrad(() => {
        model.forward(...inputs);
      }),
    );
  } finally {
    for (const off of remove) off();
  }
  const own = (module: AnyModule) =>
    [...module.ownTensors()].reduce((sum, [, tensor]) => sum + (tensor instanceof Parameter ? tensor.size : 0), 0);
  const rows = named.map(([path, module]) => ({
    path,
    type: module.constructor.name,
    output: outputs.get(module) ?? null,
    parameters: own(module),
  }));
  const cells = rows.map((r) => [
    r.path || '(model)',
    r.type,
    r.output ? `[${r.output.join(', ')}]` : '–',
    r.parameters.toLocaleString('en'),
  ]);
  const table = [
    ['module', 'type', 'output', 'parameters'],
    ...cells,
    ['total', '', '', model.parameterCount.toLocaleString('en')],
  ];
  const width = (column: number) => Math.max(...table.map((row) => at(row, column).length));
  const widths = [0, 1, 2, 3].map(width);
  const line = (row: string[]) =>
    row.map((cell, i) => (i === 3 ? cell.padStart(at(widths, i)) : cell.padEnd(at(widths, i)))).join('  ');
  return { rows, parameters: model.parameterCount, table: table.map(line).join('\n') };
}
