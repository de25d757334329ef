// What a convolution does with its results while they are in registers: it adds a residual connection, and sums up what a batch norm needs.
import type { Operation } from '../kernel';
import type { Quad } from '../matmul/gpu-tiles';
import { stepAt } from '../particles';
import type { Gather } from './gather';
import { quadAt, storedSums } from './norm-sums';

/** What is done around the multiplications. */
export type Fused = Pick<Operation, 'norm' | 'gradient' | 'adds' | 'sums'>;

/** The sum of a residual connection: bits as those of the kernel that only adds. Bindings: the other operand, and of a step τ and the branch. */
function storedResidual(g: Gather, step: boolean, access: string) {
  const binding = (i: number, declaration: string) =>
    `@group(0) @binding(${access.length + i}) var<storage, ${declaration};\n`;
  const columns = g.batch * g.y.size * g.x.size;
  const delta = step ? stepAt(access.length + 1) : null;
  return {
    bindings: `${binding(0, 'read> residual: array<vec4f>')}${delta ? delta.declarations + binding(2, 'read_write> branch: array<vec4f>') : ''}`,
    access: access + (step ? 'rrw' : 'r'),
    epilogue: (quads: readonly Quad[]) =>
      quads
        .map(
          ({ sums, m, n }) => `if (${m} < ${g.outChannels}u && ${n} < ${columns}u) {
    let i = ${quadAt(g, m, n)};
    ${delta ? `branch[i] = ${sums}; ${sums} = ${delta.sum('residual[i]', sums)};` : `${sums} += residual[i];`}
  }`,
        )
        .join('\n  '),
  };
}

/** Bindings beyond `access`, and the epilogue for the quads of a tile: `adds` first, `sums` of the result. */
export function epilogueOf(g: Gather, access: string, adds: Fused['adds'], sums: Fused['sums']) {
  const added = adds && storedResidual(g, adds === 'step', access);
  const summed = sums && storedSums(g, sums, added?.access ?? access);
  const steps = [added, summed].filter((s) => !!s);
  return {
    bindings: steps.map((s) => s.bindings).join(''),
    access: (summed ?? added)?.access ?? access,
    epilogue: steps.length ? (quads: readonly Quad[]) => steps.map((s) => s.epilogue(quads)).join('\n  ') : undefined,
  };
}
