// The uniform struct of a launch: plain numbers are u32/i32 words, `f32()` marks floats, `scalar()` makes a number that may change between
// replays of a compiled step without a new graph.

/** A 32-bit float in a list of constants. */
export class Float {
  constructor(readonly value: number) {}
}

/** Marks a number as a 32-bit float for the uniform struct. */
export const f32 = (value: number): Float => new Float(value);

/** A named number whose value may change: read again at every launch or replay. */
export class Scalar {
  constructor(
    /** The number; changed between two calls of a compiled step, it is used by the next one. */
    public value: number,
    /** 'f32' (default), or 'u32' for whole numbers: the type in the kernels. */
    readonly type: 'f32' | 'u32' = 'f32',
  ) {}
}

/** A number that compiled steps read again at every call (learning rate, seed, step). */
export const scalar = (value: number, type: 'f32' | 'u32' = 'f32'): Scalar => new Scalar(value, type);

export type Constant = number | Float | Scalar;

/** Whether two constants are the same number in every replay. */
export const sameConstant = (a: Constant, b: Constant): boolean =>
  a === b || (a instanceof Float && b instanceof Float && Object.is(a.value, b.value));

/** Writes the words of a uniform struct, little-endian as WGSL has them. */
export function writeConstants(view: DataView, offset: number, constants: readonly Constant[]): void {
  for (const constant of constants) {
    if (typeof constant === 'number') view.setInt32(offset, constant | 0, true);
    else if (constant instanceof Float || constant.type === 'f32') view.setFloat32(offset, constant.value, true);
    else view.setUint32(offset, constant.value, true);
    offset += 4;
  }
}
