// Where the element at a row-major position lies in strided operands. What costs is integer division, which CPU drivers do lane by lane.

/** Dimensions that are decoded without a loop; shapes are padded in front to as many. */
export const FEW = 3;

/**
 * WGSL that declares `at0` … for position `rest`, a `var`, from `p.dims` (array of vec4u), `p.strides` (array of vec4i, two for each operand)
 * and the offsets: for `few` dimensions unrolled, else over the last `p.rank`.
 */
export function decode(offsets: readonly string[], few: boolean): string {
  const operands = offsets.map((_, k) => k);
  if (few)
    return `
  let q1 = rest / p.dims[0].z;
  let q0 = q1 / p.dims[0].y;
  let index = vec3i(vec3u(q0, q1 - q0 * p.dims[0].y, rest - q1 * p.dims[0].z));
  ${operands.map((k) => `let at${k} = ${offsets[k]} + dot(index, p.strides[${2 * k}].xyz);`).join('\n  ')}`;
  return `
  ${operands.map((k) => `var at${k} = ${offsets[k]};`).join(' ')}
  for (var d = i32(p.rank) - 1; d >= 0; d--) {
    let dim = p.dims[d >> 2][d & 3];
    let next = rest / dim;
    let c = i32(rest - next * dim);
    rest = next;
    ${operands.map((k) => `at${k} += c * p.strides[${2 * k} + (d >> 2)][d & 3];`).join(' ')}
  }`;
}
