// Stochastic gradient descent.
import { UPDATE_TILE, sgdKernel } from '../../shaders/optimizer';
import { InputError, device } from '../gpu';
import type { Parameter } from '../nn/parameter';
import { bind, contiguous, gridFor } from '../tensor/elementwise';
import type { Tensor } from '../tensor/tensor';
import { Optimizer } from './optimizer';
import type { ParamGroup, Scalars } from './optimizer';

export interface SGDOptions {
  lr: number;
  momentum: number;
  weightDecay: number;
  dampening: number;
  nesterov: boolean;
}

/**
 * SGD as `torch.optim.SGD`: d = g + weightDecay·w; the momentum buffer starts as the first d, then b ← momentum·b + (1 − dampening)·d;
 * w ← w − lr·b, or with Nesterov w − lr·(d + momentum·b).
 */
export class SGD extends Optimizer<SGDOptions> {
  constructor(params: Iterable<Parameter> | readonly ParamGroup<SGDOptions>[], options: { lr: number } & Partial<SGDOptions>) {
    super(params, { momentum: 0, weightDecay: 0, dampening: 0, nesterov: false, ...options });
    for (const { lr, momentum, weightDecay, dampening, nesterov } of this.groups) {
      if (!(lr >= 0) || !(momentum >= 0) || !(weightDecay >= 0))
        throw new InputError(`SGD: lr ${lr}, momentum ${momentum} and weightDecay ${weightDecay} must be numbers ≥ 0`);
      if (nesterov && (momentum === 0 || dampening !== 0)) throw new InputError('SGD: nesterov needs momentum > 0 and dampening 0');
    }
  }

  protected override update(parameter: Parameter, gradient: Tensor, o: SGDOptions, s: Scalars<SGDOptions>): void {
    const n = parameter.size;
    const bindings = [bind(parameter), bind(contiguous(gradient))];
    let first = false;
    if (o.momentum) {
      const { buffer, fresh } = this.buffer(parameter, 'momentum');
      first = fresh;
      bindings.push(bind(buffer));
      buffer.memory.written();
    }
    const constants = [n, first ? 1 : 0, s.lr, s.weightDecay, s.momentum, s.dampening];
    device().launch(sgdKernel(o.momentum !== 0, o.nesterov), bindings, constants, gridFor(n, UPDATE_TILE));
    parameter.memory.written();
  }
}
