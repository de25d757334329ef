// Checks gradients against finite differences, for operations that users write themselves.

import { at, fromEnd } from '../../shaders/checked';
import { DawnfieldError } from '../gpu';
import { checked, is, type OptionTable, word } from '../gpu/options';
import { tensor } from '../tensor/create';
import { showShape } from '../tensor/shape';
import type { Tensor } from '../tensor/tensor';
import { backward, grad } from './backward';
import { jvp } from './forward-mode';
import { enableGrad, nextNode, recordedSince, scopedNoGrad } from './tape';

/** Options of `gradcheck` and `gradgradcheck`. */
export interface GradcheckOptions {
  /**
   * How the function bends, which decides the step: 'smooth' (0.02, extrapolated), 'linear' in each input (0.5: no truncation error, little
   * rounding), 'kinked' (0.001, so that few steps cross a kink).
   */
  kind?: 'smooth' | 'linear' | 'kinked';
  /** Another step. */
  eps?: number;
  /** |analytic − numeric| may be `atol` + `rtol` · (the largest derivative of the input, at least 1). Both are 0.005 by default. */
  atol?: number;
  /** See `atol`. */
  rtol?: number;
}

/** What `gradcheck` has found. */
export interface GradcheckReport {
  /** The worst element: which input, its position there, and both derivatives. */
  input: number;
  /** Its position in the input, counted in row-major order. */
  index: number;
  /** The derivative that the backward pass gives. */
  analytic: number;
  /** The derivative from differences. */
  numeric: number;
  /** |analytic − numeric| relative to the largest derivative of the input (at least 1). */
  error: number;
}

const GRADCHECK: OptionTable<GradcheckOptions> = {
  kind: word('smooth', 'linear', 'kinked'),
  eps: is.number,
  atol: is.number,
  rtol: is.number,
};

const STEPS = { smooth: 0.02, linear: 0.5, kinked: 1e-3 };

/** Fixed weights between 0.5 and 1.5 in size, of both signs, that make one number of a result without letting errors cancel. */
const weight = (i: number): number => (i % 2 ? -1 : 1) * (0.5 + ((i * 0.618033988749895) % 1));

/** Weighted sum of values; those of output k follow those of the outputs before. */
const weighted = (outputs: readonly Iterable<number>[]): number => {
  let [sum, next] = [0, 0];
  for (const values of outputs) for (const value of values) sum += weight(next++) * value;
  return sum;
};

/**
 * Compares the gradients that `backward` gives for `f` with central differences in every element of every input that requires a gradient, as
 * `torch.autograd.gradcheck`, and the tangents of `jvp` where all of f has push-forwards. Other inputs are passed on as they are. f gives a tensor
 * or several, all float32. Returns the worst element, and throws naming it when it is beyond the tolerance.
 *
 *     await gradcheck((x, w) => myOperation(x, w), [x, w]);
 */
export async function gradcheck(
  f: (...inputs: Tensor[]) => Tensor | readonly Tensor[],
  inputs: readonly Tensor[],
  options: GradcheckOptions = {},
): Promise<GradcheckReport> {
  checked('gradcheck', options, GRADCHECK);
  const { kind = 'smooth', atol = 0.005, rtol = 0.005 } = options;
  const { eps = STEPS[kind] } = options;
  const hosts = await Promise.all(inputs.map(async (x) => Float32Array.from(await x.data())));
  const fresh = (requiresGrad: boolean) =>
    inputs.map((x, k) => (x.requiresGrad ? tensor(at(hosts, k), { shape: x.shape, requiresGrad }) : x));
  const places = inputs.flatMap((x, k) => (x.requiresGrad ? [k] : []));
  if (!places.length)
    throw new DawnfieldError('gradcheck: no input requires a gradient; make one with { requiresGrad: true }');

  const since = nextNode();
  const leaves = fresh(true);
  const results = outputsOf(f(...leaves));
  /** Outputs that depend on the inputs. */
  const used = results.flatMap((y, k) => (y.requiresGrad ? [k] : []));
  if (!used.length) throw new DawnfieldError('gradcheck: no output depends on an input with a gradient');
  const select = (all: readonly Tensor[]) => used.map((k) => at(all, k));
  const pushes = select(results).every((y) => recordedSince(since, y).nodes.every((node) => node.options.push));
  let next = 0;
  for (const y of select(results)) {
    const upstream = tensor(
      Array.from({ length: y.size }, () => weight(next++)),
      { shape: y.shape },
    );
    backward(y, { gradient: upstream, retainGraph: true });
  }
  const objective = async (): Promise<number> => {
    const outputs = scopedNoGrad(() => select(outputsOf(f(...fresh(false)))));
    return weighted(await Promise.all(outputs.map((y) => y.data())));
  };
  /** The objective's derivative in element i of input k, pushed forward. */
  const pushed = async (k: number, i: number): Promise<number> => {
    const along = places.map((p) => {
      const { size, shape } = at(inputs, p);
      const direction = new Float32Array(size);
      if (p === k) direction[i] = 1;
      return tensor(direction, { shape });
    });
    const values = fresh(false);
    const points = places.map((p) => at(values, p));
    const tangents = used.map((output) => {
      const partial = (...own: Tensor[]) =>
        at(outputsOf(f(...values.map((x, p) => own[places.indexOf(p)] ?? x))), output);
      return jvp(partial, points, along).tangent.data();
    });
    return weighted(await Promise.all(tangents));
  };

  let worst: GradcheckReport & { by: string } = { input: -1, index: -1, analytic: 0, numeric: 0, error: -1, by: '' };
  let most = -1;
  for (const k of places) {
    const { grad, size } = at(leaves, k);
    const backwards = grad ? await grad.data() : new Float32Array(size);
    const host = at(hosts, k);
    const numeric: number[] = [];
    for (const [i, x] of host.entries()) {
      const slope = async (step: number): Promise<number> => {
        const [above, below] = [Math.fround(x + step), Math.fround(x - step)];
        host[i] = above;
        const up = await objective();
        host[i] = below;
        const down = await objective();
        host[i] = x;
        return (up - down) / (above - below);
      };
      const step = eps * Math.max(1, Math.abs(x));
      // Two steps cancel the error of second order.
      numeric.push(kind === 'smooth' ? (4 * (await slope(step / 2)) - (await slope(step))) / 3 : await slope(step));
    }
    const scale = numeric.reduce((largest, d) => Math.max(largest, Math.abs(d)), 1);
    const allowed = (atol + rtol * scale) / scale;
    const compare = (index: number, analytic: number, by: string) => {
      const expected = at(numeric, index);
      const error = Math.abs(analytic - expected) / scale;
      const excess = Number.isNaN(error) ? Infinity : error / allowed;
      if (excess <= most) return;
      most = excess;
      worst = { input: k, index, analytic, numeric: expected, error, by };
    };
    for (const [i, derivative] of backwards.entries()) {
      compare(i, derivative, 'backward()');
      if (pushes) compare(i, await pushed(k, i), 'jvp()');
    }
  }
  const { by, ...report } = worst;
  if (!(most <= 1))
    throw new DawnfieldError(
      `gradcheck: ∂f/∂(input ${report.input} ${showShape(at(inputs, report.input).shape)}, element ${report.index}) is ${report.analytic} by ${by} ` +
        `and ${report.numeric} by finite differences, an error of ${report.error.toExponential(2)} (atol ${atol}, rtol ${rtol})`,
    );
  return report;
}

/**
 * Compares second derivatives with finite differences of first ones, as `torch.autograd.gradgradcheck`: those of Σ ∂f/∂input · v by every input and
 * by v, the gradient of f's result. Options, report and errors are `gradcheck`'s.
 */
export async function gradgradcheck(
  f: (...inputs: Tensor[]) => Tensor,
  inputs: readonly Tensor[],
  options: GradcheckOptions = {},
): Promise<GradcheckReport> {
  checked('gradgradcheck', options, GRADCHECK);
  const y = scopedNoGrad(() => f(...inputs));
  const upstream = tensor(
    Array.from({ length: y.size }, (_, i) => weight(i)),
    { shape: y.shape, requiresGrad: true },
  );
  const points = [...inputs, upstream];
  const first = (...given: Tensor[]): Tensor[] =>
    enableGrad(() => {
      const own = given.map((x, k) => (at(points, k).requiresGrad ? x.requiresGrad_() : x));
      const arguments_ = own.slice(0, -1);
      const wanted = arguments_.filter((_, k) => at(points, k).requiresGrad);
      const gradients = grad(f(...arguments_), wanted, { gradient: fromEnd(own, 1), createGraph: true });
      return gradients.filter((g) => g !== null);
    });
  return gradcheck(first, points, options);
}

const outputsOf = (result: Tensor | readonly Tensor[]): readonly Tensor[] => ('memory' in result ? [result] : result);
