// Running sums of a training or evaluation loop, kept on the GPU so that no step waits for a read-back.
//
//   sums[0] += loss · N                         the mean loss of the batch times its size
//   sums[1] += #{ i : argmax_c logits[i, c] = labels[i] }            the first of equal logits wins
//   sums[2]  = the first step whose loss is not finite, 0 while there is none
//
// One workgroup: a batch has few rows. Whether a number is finite is read off its bits, since WGSL lets drivers assume it.
import { wgsl } from 'wgsl-preprocessor/wgsl-preprocessor.js';
import { declare } from './build';
import type { Kernel } from './kernel';

const WORKGROUP = 64;

const buffers = ['r logits: f32', 'r labels: Index', 'r loss: f32', 'x sums: f32'];
const { head, io } = declare('rows: u32, classes: u32, step: f32', ...buffers);

/** Bindings: logits [N, C], labels [N] (i32), loss [1], sums [3]. Constants: N, C, number of the step (f32, from 1). */
export const tally: Kernel = {
  name: 'train.tally',
  ...io,
  workgroups: [1, 1, 1],
  code: wgsl`
${head}
var<workgroup> correct: array<u32, ${WORKGROUP}>;
@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(local_invocation_index) t: u32) {
  var mine = 0u;
  for (var row = t; row < p.rows; row += ${WORKGROUP}u) {
    var best = 0u;
    for (var c = 1u; c < p.classes; c++) {
      if (logits[row * p.classes + c] > logits[row * p.classes + best]) { best = c; }
    }
    mine += select(0u, 1u, i32(best) == labels[row]);
  }
  correct[t] = mine;
  workgroupBarrier();
  if (t > 0u) { return; }
  var total = 0u;
  for (var i = 0u; i < ${WORKGROUP}u; i++) { total += correct[i]; }
  sums[0] += loss[0] * f32(p.rows);
  sums[1] += f32(total);
  let finite = (bitcast<u32>(loss[0]) & 0x7f800000u) != 0x7f800000u;
  if (!finite && sums[2] == 0.0) { sums[2] = p.step; }
}`,
};
