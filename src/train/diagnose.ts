// Where numbers stop being finite: the error that ends a run whose loss is NaN or infinite, and the search for the first culprit.
import { scopedNoGrad, tensorsIn } from '../autograd/tape';
import { DawnfieldError } from '../gpu';
import type { AnyModule } from '../nn/module';
import { reduce } from '../tensor/reduce';
import type { Tensor } from '../tensor/tensor';
import { forStep } from './loader';
import type { Task } from './task';

/** The loss, or what the last step has left, became NaN or infinite. The last good checkpoint is unchanged. */
export class NonFiniteLossError extends DawnfieldError {
  /** 'NonFiniteLossError'. */
  override name = 'NonFiniteLossError';

  constructor(
    /** The step whose loss it is. */
    readonly step: number,
    /** Counted from 1, as users see it. */
    readonly epoch: number,
    /** Learning rate of that step. */
    readonly lr: number,
    /** Where it arose: `the output of layer1.0.conv1 (Conv2d)`. */
    readonly where: string,
    what = 'the loss',
  ) {
    super(
      `${what} is not finite at step ${step} (epoch ${epoch}, learning rate ${lr}): ${where}. ` +
        'The last checkpoint is from before it. Try a lower learning rate, or look at the data and the module named here.',
    );
  }
}

/** An evaluation came to NaN: there is no error to report. */
export class NonFiniteEvaluationError extends DawnfieldError {
  /** 'NonFiniteEvaluationError'. */
  override name = 'NonFiniteEvaluationError';

  constructor(
    /** Of the data set, counted from 1. */
    readonly batch: number,
    /** Where it arose: `before it conv1.weight [16,3,3,3]`. */
    readonly where: string,
  ) {
    super(
      `evaluate: NaN in batch ${batch}: ${where}. There is no error to report: look at the weights, the data and the module named here.`,
    );
  }
}

/** How many elements are NaN or infinite, as a tensor with one element. Looks at the bits: WGSL lets drivers assume finite numbers. */
const countNonFinite = (x: Tensor): Tensor =>
  reduce({
    name: 'count non-finite',
    reduction: 'sum',
    map: 'select(0.0, 1.0, (bitcast<u32>(a) & 0x7f800000u) == 0x7f800000u)',
    operands: { a: x },
    shape: x.shape,
    axes: x.shape.map((_, d) => d),
  });

/**
 * Says in words which comes first: a weight, a batch, a module's output (innermost first), the loss or a metric that is not finite.
 * Runs the forward pass of the batch once more, so the weights must be those from before the bad step.
 */
export async function locateNonFinite<B>(model: AnyModule, task: Task<B>, batch: B): Promise<string> {
  const found: { what: string; count: Tensor; size: number }[] = [];
  const check = (what: string, x: Tensor) => {
    if (x.dtype === 'float32') found.push({ what, count: countNonFinite(x).keep(), size: x.size });
  };
  scopedNoGrad(() => {
    for (const [name, x] of model.namedTensors()) check(`before it ${name} [${x.shape}]`, x);
    const { images } = batch as { images?: unknown };
    for (const x of tensorsIn(batch)) check(`the ${x === images ? 'images' : 'data'} of its batch`, x);
    const remove = model.modules().map((module) =>
      module.onForward((_, __, output) => {
        const name = module.path ? `${module.path} (${module.constructor.name})` : module.constructor.name;
        for (const x of tensorsIn(output)) check(`the output of ${name} [${x.shape}]`, x);
      }),
    );
    try {
      for (const [name, x] of task.run(forStep(batch, false)).values) check(`the ${name}`, x);
    } finally {
      for (const unhook of remove) unhook();
    }
  });
  let where = 'run once more, the step gives a finite loss';
  for (const { what, count, size } of found.reverse()) {
    const n = await count.item();
    if (n > 0) where = `${what} has ${n} of ${size} elements that are NaN or infinite`;
    count.dispose();
  }
  return where;
}
