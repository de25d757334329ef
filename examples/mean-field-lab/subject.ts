// What the studies look at: a residual network as stages of branches with times, whose stages can be computed in other ways.

import { at } from '../../shaders/checked';
import type { MeanField, nn, Tensor } from '../../src/index.node.js';
import { advance, type Branch, METHODS, stepLength } from '../../src/meanfield/runge-kutta';

export interface Stage {
  readonly name: string;
  /** f_l in order, and the modules that hold their parameters. */
  readonly branches: readonly Branch[];
  readonly particles: readonly nn.Module[];
  /** Times [n]; a vanilla network has 1 … n. */
  readonly tau: Tensor;
  /** The stage as particles that can move; null in a vanilla network. */
  readonly meanField: MeanField | null;
}

/** How a stage is computed: x at its beginning → x at its end. */
export type Reading = (stage: Stage, x: Tensor) => Tensor;

export interface Quality {
  loss: number;
  /** Wrong answers in percent; of the toy, which does not classify, the loss is all there is. */
  error: number | null;
}

export interface Subject {
  readonly name: string;
  readonly stages: readonly Stage[];
  /** The network with its stages read in a given way. */
  forward(x: Tensor, reading: Reading): Tensor;
  /** One batch, for studies that look at activations and gradients. */
  readonly batch: { readonly x: Tensor; readonly y: Tensor };
  lossOf(output: Tensor, y: Tensor): Tensor;
  /** Loss and error over all test data. */
  measure(reading: Reading): Promise<Quality>;
}

/** x + Σ Δ_l f_l over the given positions one after the other: each block with the step that it has in the network. */
export const inOrder =
  (positions: (stage: Stage) => readonly number[]): Reading =>
  (stage, x) =>
    positions(stage).reduce(
      (y, l) => advance(y, stepLength(stage.tau, l), METHODS.euler.b, [at(stage.branches, l)(y)]),
      x,
    );

/** All positions of a stage. */
export const positionsOf = (stage: Stage): number[] => stage.branches.map((_, l) => l);

/** The network as it is (eq. 4.1). */
export const asTrained: Reading = inOrder(positionsOf);

/** What a study compares: the error in percent where there is one, else the loss. */
export const scoreOf = ({ loss, error }: Quality): number => error ?? loss;
export const scoreName = (subjects: readonly Subject[]): string =>
  subjects.every((s) => s.name.startsWith('toy')) ? 'loss' : 'test error (%)';
