/**
 * Connectionist temporal classification (Graves et al. 2006): −log of the probability of a target under log-probabilities lp [T, N, C].
 *
 * The target's labels l₁ … l_S with blanks around them are the states s = 0 … 2S. With α the log-probability of all ways to state s at time t,
 *   α₀(0) = lp(blank), α₀(1) = lp(l₁);  α_t(s) = log(e^α(s) + e^α(s−1) [+ e^α(s−2) where the label is new]) + lp_t(s),  all α at t − 1;
 *   β_T−1(2S) = β_T−1(2S − 1) = 0;  β_t(s) = log Σ of e^(β + lp) over s, s + 1 [, s + 2], at t + 1;
 *   −∂loss/∂lp_t(c) = Σ over the states of c of e^(α + β − log p).
 * A workgroup walks through the times of a sample, its threads side by side over the states. What is impossible is NEVER, a finite number, since
 * drivers assume that there are no infinities.
 */
import { wgsl } from 'wgsl-preprocessor/wgsl-preprocessor.js';
import { cached, declare, entry, perThread } from './build';
import { functionsFor } from './functions';
import type { Kernel } from './kernel';

const TEAM = 64;
/** lengths: of inputs [N], of targets [N], then where each target begins. */
const PARAMS =
  'n: u32, times: i32, samples: i32, classes: i32, states: i32, longest: i32, blank: i32, zeroInfinity: u32';
const READS = ['r lp: f32', 'r targets: i32', 'r lengths: i32'] as const;

const helpers = wgsl`
${functionsFor('exp() log() maxOf() nan() infinity() isFinite() addTo() totalOf()')}
const NEVER = -1e30;
fn label(sample: i32, s: i32) -> i32 {
  if ((s & 1) == 0) { return p.blank; }
  return targets[lengths[2 * p.samples + sample] + s / 2];
}
fn logOf(t: i32, sample: i32, c: i32) -> f32 {
  if (c < 0 || c >= p.classes) { return nan(); }
  let value = lp[(t * p.samples + sample) * p.classes + c];
  return select(value, NEVER, value < NEVER);
}
fn logSum(a: f32, b: f32, c: f32) -> f32 {
  let m = maxOf(a, maxOf(b, c));
  return m + log(exp(a - m) + exp(b - m) + exp(c - m));
}
fn fits(sample: i32) -> bool {
  let inputs = lengths[sample];
  let length = lengths[p.samples + sample];
  return inputs >= 0 && inputs <= p.times && length >= 0 && length <= p.longest;
}
`;

/** Walks the times up or down; a barrier after each. */
const walk = (step: string) => `
${entry(TEAM)} {
  let sample = i32(wid.y * grid.x + wid.x);
  if (sample >= p.samples) { return; }
  let valid = fits(sample);
  let inputs = select(0, lengths[sample], valid);
  let length = select(0, lengths[p.samples + sample], valid);
  let states = 2 * length + 1;
  let base = sample * p.times * p.states;
  for (var k = 0; k < p.times; k++) {
    if (k < inputs) {
      for (var s = i32(local); s < states; s += ${TEAM}) {
        let here = label(sample, s);
${step}
      }
    }
    storageBarrier();
  }`;

/** α and the loss of each sample: ∞ where the target is impossible, NaN where a length or a label is. Bindings: lp, targets, lengths, α, loss. */
export const ctcForward = (): Kernel =>
  cached(['ctc'], () => {
    const { head, io } = declare(PARAMS, ...READS, 'x alpha: f32', 'w loss: f32');
    const code = wgsl`
${head}
${helpers}
${walk(`
        var sum = select(NEVER, 0.0, s < 2);
        if (k > 0) {
          let row = base + (k - 1) * p.states + s;
          let before = select(NEVER, alpha[max(row - 1, 0)], s > 0);
          var two = NEVER;
          if (s > 1 && (s & 1) == 1) { if (here != label(sample, s - 2)) { two = alpha[row - 2]; } }
          sum = logSum(alpha[row], before, two);
        }
        alpha[base + k * p.states + s] = sum + logOf(k, sample, here);`)}
  if (local == 0u) {
    var total = select(NEVER, 0.0, length == 0);
    if (inputs > 0) {
      let end = base + (inputs - 1) * p.states + 2 * length;
      total = alpha[end];
      if (length > 0) { total = logSum(total, alpha[end - 1], NEVER); }
    }
    loss[sample] = select(nan(), select(-total, infinity(), total < 0.1 * NEVER), valid);
  }
}`;
    return { name: 'ctcLoss', code, ...io, grid: { tile: 1 } };
  });

/** The share of each state at each time in the probability of the target. Bindings: lp, targets, lengths, α, loss, β of two times, shares. */
export const ctcShares = (): Kernel =>
  cached(['ctcShares'], () => {
    const { head, io } = declare(PARAMS, ...READS, 'r alpha: f32', 'r loss: f32', 'x beta: f32', 'w shares: f32');
    const code = wgsl`
${head}
${helpers}
${walk(`
        let t = inputs - 1 - k;
        let pair = 2 * sample * p.states;
        var sum = select(NEVER, 0.0, s >= states - 2);
        if (k > 0) {
          let row = pair + ((k - 1) & 1) * p.states + s;
          var one = NEVER;
          var two = NEVER;
          if (s + 1 < states) { one = beta[row + 1] + logOf(t + 1, sample, label(sample, s + 1)); }
          if (s + 2 < states) {
            let after = label(sample, s + 2);
            if ((s & 1) == 1 && after != here) { two = beta[row + 2] + logOf(t + 1, sample, after); }
          }
          sum = logSum(beta[row] + logOf(t + 1, sample, here), one, two);
        }
        beta[pair + (k & 1) * p.states + s] = sum;
        shares[base + t * p.states + s] = exp(alpha[base + t * p.states + s] + sum + loss[sample]);`)}
}`;
    return { name: 'ctcLoss.shares', code, ...io, grid: { tile: 1 } };
  });

/** Adds up the shares of each class: dlp = −g · Σ, where a class occurs. Bindings: targets, lengths, loss, shares, g, dlp. */
export const ctcGradient = (): Kernel =>
  cached(['ctcGradient'], () => {
    const { head, io } = declare(
      PARAMS,
      'r targets: i32',
      'r lengths: i32',
      'r loss: f32',
      'r shares: f32',
      'r g: f32',
      'x dlp: f32',
    );
    const code = wgsl`
${head}
${functionsFor('isFinite() addTo() totalOf()')}
fn label(sample: i32, s: i32) -> i32 {
  if ((s & 1) == 0) { return p.blank; }
  return targets[lengths[2 * p.samples + sample] + s / 2];
}
${perThread('i', TEAM, 'p.n')}
  let s = i32(i) % p.states;
  let t = i32(i) / p.states % p.times;
  let sample = i32(i) / (p.states * p.times);
  if (!isFinite(loss[sample])) { return; } // dlp has its values already
  let states = 2 * lengths[p.samples + sample] + 1;
  if (t >= lengths[sample] || s >= states) { return; }
  let here = label(sample, s);
  if (s > 0 && here == p.blank) { return; } // the thread of state 0 adds up the blanks
  for (var k = 1; k < s; k += 2) { if (label(sample, k) == here) { return; } }
  var sum = vec3f();
  for (var k = s; k < states; k++) {
    if (label(sample, k) == here) { sum = addTo(sum, shares[i32(i) + k - s], p.n >> 31u); }
  }
  dlp[(t * p.samples + sample) * p.classes + here] = -g[sample] * totalOf(sum);
}`;
    return { name: 'ctcLoss.gradient', code, ...io, grid: { tile: TEAM } };
  });
