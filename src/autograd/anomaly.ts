// Anomaly mode: names the operation where the first NaN or infinity appeared. Every result and gradient is looked at on the GPU, which
// remembers the first bad one; nothing is read back until the end.
import { findNonFinite } from '../../shaders/finite';
import { DawnfieldError, device, InputError } from '../gpu';
import { callSite } from '../tensor/call-site';
import { modulePath } from '../tensor/context';
import { full } from '../tensor/create';
import { isFloat } from '../tensor/dtype';
import { bind, contiguous, copy } from '../tensor/elementwise';
import { showShape } from '../tensor/shape';
import type { Tensor } from '../tensor/tensor';
import { Mode } from './modes';

/** A number became NaN or infinite. */
export class AnomalyError extends DawnfieldError {
  /** 'AnomalyError', to tell it from other errors where `instanceof` cannot. */
  override name = 'AnomalyError';
}

const NOTHING = 0xffffffff;

interface Detector {
  /** The number of the first bad tensor, on the GPU. */
  readonly found: Tensor;
  /** What the tensors with each number are. */
  readonly labels: string[];
}

const detector = new Mode<Detector | null>(null);

/** Whether results are looked at: compiled steps then run as they are written. */
export const isDetecting = (): boolean => detector.get() !== null;

function check({ found, labels }: Detector, x: Tensor, label: string): void {
  if (!isFloat(x.dtype)) return;
  if (device().tracing) throw new InputError('detectAnomaly: goes around compiled steps, not inside of them');
  const flat = x.dtype === 'float32' ? contiguous(x) : copy(x, 'float32');
  device().launch(findNonFinite, [bind(flat), bind(found)], [x.size, labels.length], x.size);
  labels.push(label);
  if (flat !== x) flat.dispose();
}

/** Looks at the result of a recorded operation, and before it at those inputs that no operation has computed. */
export function checkResult(name: string, inputs: readonly Tensor[], output: Tensor): void {
  const running = detector.get();
  if (!running) return;
  const path = modulePath();
  const where = `'${name}'${path ? ` in ${path}` : ''}`;
  const line = `\n    called from ${callSite()}`;
  inputs.forEach((x, i) => {
    if (x.isLeaf)
      check(running, x, `an input of ${where} (number ${i}, ${showShape(x.shape)}) was not finite before it${line}`);
  });
  check(running, output, `the result of ${where} (${showShape(output.shape)})${line}`);
}

/** Looks at a gradient that an operation's rule has computed. */
export function checkGradient(name: string, path: string, input: number, gradient: Tensor): void {
  const running = detector.get();
  if (!running) return;
  const where = `'${name}'${path ? ` in ${path}` : ''}`;
  check(
    running,
    gradient,
    `the gradient of ${where} for its input ${input} (${showShape(gradient.shape)}), in backward()`,
  );
}

/**
 * Runs `body`, which may be an async function, and throws an AnomalyError that names the first NaN or infinity that arose in it, forward or backward: the
 * operation, its module and the line that called it. Looks at what is recorded for gradients. Slow; for the search of a mistake.
 *
 *     const loss = await detectAnomaly(() => {
 *       const loss = F.crossEntropy(model.forward(x), y);
 *       loss.backward();
 *       return loss;
 *     });
 */
export async function detectAnomaly<T>(body: () => T): Promise<Awaited<T>> {
  if (detector.get()) throw new InputError('detectAnomaly: one is running already');
  const mine = { found: full([1], NOTHING, { dtype: 'uint32' }), labels: [] as string[] };
  mine.found.memory.written(); // no recipe makes it again
  let outcome: { result: Awaited<T> } | { error: unknown };
  try {
    outcome = { result: await detector.run('detectAnomaly', mine, body) };
  } catch (error) {
    outcome = { error };
  }
  const first = await mine.found.item();
  mine.found.dispose();
  if (first !== NOTHING)
    throw new AnomalyError(`the first NaN or infinity: ${mine.labels[first]}`, {
      cause: 'error' in outcome ? outcome.error : undefined,
    });
  if ('error' in outcome) throw outcome.error;
  return outcome.result;
}
