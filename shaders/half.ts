// Half precision on the host: numbers as the 16 bits of IEEE binary16 or of bfloat16, and back.

const cell = new DataView(new ArrayBuffer(4));

/** The bits of the nearest float32. */
function floatBits(x: number): number {
  cell.setFloat32(0, x);
  return cell.getUint32(0);
}

/** The bits of the nearest half, to even in a tie; infinity from 65520. A double is rounded to float32 first, as in PyTorch. */
export function halfBits(x: number): number {
  const word = floatBits(x);
  const sign = (word >>> 16) & 0x8000;
  const size = word & 0x7fffffff;
  if (size > 0x7f800000) return sign | 0x7e00;
  if (size >= 0x38800000) return sign | Math.min((size - 0x38000000 + 0xfff + ((size >>> 13) & 1)) >>> 13, 0x7c00);
  const units = Math.abs(Math.fround(x)) * 2 ** 24; // exact: subnormal halves are multiples of 2⁻²⁴
  const below = Math.floor(units);
  const rest = units - below;
  return sign | (below + Number(rest > 0.5 || (rest === 0.5 && below % 2 === 1)));
}

/** The number that 16 bits stand for. */
export function fromHalf(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent ? 2 ** (exponent - 25) * (1024 + fraction) : 2 ** -24 * fraction);
}

/** The bits of the nearest bfloat16, the upper half of a float32; to even in a tie, NaN for NaN. */
export function bfloatBits(x: number): number {
  const bits = floatBits(x);
  if ((bits & 0x7fffffff) > 0x7f800000) return (bits >>> 16) | 0x40;
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}
