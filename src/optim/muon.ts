// Muon: momentum whose singular values are brought near 1, for matrices.
import { at, tuple } from '../../shaders/checked';
import { assume } from '../autograd/modes';
import { unrecorded } from '../autograd/tape';
import { device, InputError, Scalar } from '../gpu';
import type { Parameter } from '../nn/parameter';
import { add, div, maximum, mul } from '../ops/elementwise';
import { matmul } from '../ops/matmul';
import { norm } from '../ops/reduce';
import { transpose } from '../ops/views';
import { copyInto, evaluate } from '../tensor/elementwise';
import { showShape } from '../tensor/shape';
import type { Tensor } from '../tensor/tensor';
import { Optimizer, type Params, requireNonNegative } from './optimizer';
import type { Rule } from './rule';

/** Options of `optim.Muon`, with PyTorch's defaults. */
export interface MuonOptions {
  /** Learning rate, before the factor of `adjustLrFn` (default 1e-3). */
  lr: number;
  /** Weights shrink by 1 − lr·weightDecay before the step. */
  weightDecay: number;
  /** Decay of the running mean of the gradient (default 0.95). */
  momentum: number;
  /** Steps by the gradient and the momentum to come (default true). */
  nesterov: boolean;
  /** a, b, c of the iteration X ← aX + (bA + cA²)X with A = XXᵀ. */
  nsCoefficients: readonly [number, number, number];
  /** Least norm that the matrix is divided by before the iterations (default 1e-7). */
  eps: number;
  /** Iterations. */
  nsSteps: number;
  /** How the rate follows the shape: 'original' (the default, null) by √max(1, rows / columns), 'match_rms_adamw' by 0.2 · √max(rows, columns). */
  adjustLrFn: 'original' | 'match_rms_adamw' | null;
}

/**
 * Muon (Jordan et al. 2024) as `torch.optim.Muon`, its iteration in float32: m ← μm + (1 − μ)g, and w ← (1 − lr·weightDecay)w − lr · s · NS(m), or with Nesterov of
 * (1 − μ)g + μm; NS is Newton–Schulz's iteration for the nearest orthogonal matrix, s the factor of the shape. All parameters must be matrices.
 */
export class Muon extends Optimizer<MuonOptions> {
  constructor(params: Params<MuonOptions>, options: Partial<MuonOptions> = {}) {
    const iteration = { nsCoefficients: [3.4445, -4.775, 2.0315] as const, eps: 1e-7, nsSteps: 5, adjustLrFn: null };
    super(params, { lr: 1e-3, weightDecay: 0.1, momentum: 0.95, nesterov: true, ...iteration }, options);
  }

  protected override check({ lr, weightDecay, momentum, eps, nsSteps, nsCoefficients, adjustLrFn }: MuonOptions): void {
    requireNonNegative(this, { lr, weightDecay, momentum, eps });
    if (!Number.isInteger(nsSteps) || nsSteps < 0 || nsSteps >= 100)
      throw new InputError(`Muon: nsSteps ${nsSteps} must be a whole number in 0 … 99`);
    if (nsCoefficients.length !== 3)
      throw new InputError(`Muon: nsCoefficients [${nsCoefficients}] must be three numbers`);
    if (![null, 'original', 'match_rms_adamw'].includes(adjustLrFn))
      throw new InputError(`Muon: adjustLrFn '${adjustLrFn}' must be 'original', 'match_rms_adamw' or null`);
  }

  protected override rule({ adjustLrFn }: MuonOptions): Rule<MuonOptions> {
    return {
      decoupled: true,
      perParameter: ({ shape }) => {
        if (shape.length !== 2)
          throw new InputError(
            `Muon: a parameter of shape ${showShape(shape)} is no matrix: give biases, norms and convolutions to another optimizer`,
          );
        const [rows, columns] = tuple(shape, 2);
        if (adjustLrFn === 'match_rms_adamw') return 0.2 * Math.sqrt(Math.max(rows, columns));
        return Math.sqrt(Math.max(1, rows / columns));
      },
      scalars: { rate: ({ lr }, _, factor) => lr * factor },
      state: { momentum: 0 },
      code: 'x -= rate * d;',
    };
  }

  protected override direction(parameter: Parameter, g: Tensor): Tensor {
    const group = this.groupOf(parameter);
    const { nesterov, nsCoefficients, nsSteps, eps } = group;
    const fixed = () => [group.nesterov, group.nsSteps, group.eps, ...group.nsCoefficients].join();
    const before = fixed();
    assume(parameter, () => fixed() === before);
    const m = this.buffer(parameter, 'momentum');
    const [kept, fresh] = [new Scalar(0), new Scalar(0)];
    const scalars = [kept, fresh];
    device().effect(() => {
      kept.value = group.momentum;
      fresh.value = 1 - group.momentum;
    });
    const mixed = () =>
      evaluate({ name: 'Muon', expression: 's * m + t * g', operands: { m, g }, scalars, shape: m.shape });
    return unrecorded('Muon', () => {
      copyInto(m, mixed());
      return orthogonal(nesterov ? mixed() : m, nsCoefficients, nsSteps, eps);
    });
  }
}

/** Newton–Schulz's iteration: the singular values of x come near 1. */
function orthogonal(x: Tensor, [a, b, c]: readonly [number, number, number], steps: number, eps: number): Tensor {
  const tall = at(x.shape, 0) > at(x.shape, 1);
  const flat = tall ? transpose(x) : x;
  let y = div(flat, maximum(norm(flat), eps));
  for (let i = 0; i < steps; i++) {
    const gram = matmul(y, transpose(y));
    y = add(mul(y, a), matmul(add(mul(gram, b), mul(matmul(gram, gram), c)), y));
  }
  return tall ? transpose(y) : y;
}
