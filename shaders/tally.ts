// Running sums of a training or evaluation loop, kept on the GPU so that no step waits for a read-back.
//
//   sums[0] += loss · N                         the mean loss of the batch times its size
//   sums[1] += #{ i : argmax_c logits[i, c] = labels[i] }            the first of equal logits wins
//   sums[2]  = the first step whose loss is not finite or that has a logit NaN, 0 while there is none
//
// A logit NaN makes sums[0] NaN: its row has no answer. One workgroup: a batch has few rows. NaN and infinity are read off the bits, since
// WGSL lets drivers assume that there are none.
import { wgsl } from 'wgsl-preprocessor/wgsl-preprocessor.js';
import { declare } from './build';
import { functionsFor } from './functions';
import type { Kernel } from './kernel';

const WORKGROUP = 64;

const buffers = ['r logits: f32', 'r labels: Index', 'r loss: f32', 'x sums: f32'];
const { head, io } = declare('rows: u32, classes: u32, step: f32', ...buffers);
const mean = declare('slot: u32, bad: u32, rows: u32, step: f32', 'r value: f32', 'x sums: f32');

/** Bindings: logits [N, C], labels [N] (i32), loss [1], sums [3]. Constants: N, C, number of the step (f32, from 1). */
export const tally: Kernel = {
  name: 'train.tally',
  ...io,
  grid: [1, 1, 1],
  code: wgsl`
${head}
${functionsFor('isNan() isFinite() nan()')}
var<workgroup> correct: array<vec2u, ${WORKGROUP}>;
@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(local_invocation_index) t: u32) {
  var mine = vec2u(); // right answers, logits that are NaN
  for (var row = t; row < p.rows; row += ${WORKGROUP}u) {
    var best = 0u;
    for (var c = 0u; c < p.classes; c++) {
      let logit = logits[row * p.classes + c];
      mine.y += u32(isNan(logit));
      if (logit > logits[row * p.classes + best]) { best = c; }
    }
    mine.x += u32(i32(best) == labels[row]);
  }
  correct[t] = mine;
  workgroupBarrier();
  if (t > 0u) { return; }
  var total = vec2u();
  for (var i = 0u; i < ${WORKGROUP}u; i++) { total += correct[i]; }
  sums[0] += select(loss[0] * f32(p.rows), nan(), total.y > 0u);
  sums[1] += f32(total.x);
  if ((!isFinite(loss[0]) || total.y > 0u) && sums[2] == 0.0) { sums[2] = p.step; }
}`,
};

/** The mean of a batch times its size to one of several sums. Bindings: mean [1], sums. Constants: its slot, that of the bad step, N, the step. */
export const tallyMean: Kernel = {
  name: 'train.tallyMean',
  ...mean.io,
  grid: [1, 1, 1],
  code: wgsl`
${mean.head}
${functionsFor('isFinite()')}
@compute @workgroup_size(1)
fn main() {
  sums[p.slot] += value[0] * f32(p.rows);
  if (!isFinite(value[0]) && sums[p.bad] == 0.0) { sums[p.bad] = p.step; }
}`,
};
