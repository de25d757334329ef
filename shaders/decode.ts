// Where the element at a row-major position lies in strided operands. What costs is integer division, which CPU drivers do lane by lane.

/** Dimensions that are decoded without a loop; shapes are padded in front to as many. */
export const FEW = 3;

/** The type of a uniform that holds the offsets of n operands, and where each is. */
export const offsetsType = (n: number): string => (n > 4 ? 'array<vec4u, 2>' : 'vec4u');
export const offsetAt = (k: number, n: number): string =>
  n > 4 ? `p.offsets[${k >> 2}][${k & 3}]` : `p.offsets[${k}]`;

/**
 * WGSL of a loop that takes the position in the variable `rest` apart, the last of the dimensions `from` … `to` − 1 first, and advances the
 * variables `at0` …, named after `at`, by each operand's strides.
 */
export const decodeLoop = (operands: number, at: string, rest: string, from: string, to: string): string =>
  `for (var d = i32(${to}) - 1; d >= ${from}; d--) {
    let dim = p.dims[d >> 2][d & 3];
    let next = ${rest} / dim;
    let c = i32(${rest} - next * dim);
    ${rest} = next;
    ${Array.from({ length: operands }, (_, k) => `${at}${k} += c * p.strides[${2 * k} + (d >> 2)][d & 3];`).join(' ')}
  }`;

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
  ${decodeLoop(offsets.length, 'at', 'rest', '0', 'p.rank')}`;
}
