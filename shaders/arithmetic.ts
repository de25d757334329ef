// NaN, signs, remainders and powers for the library of functions.ts.
//
// WGSL lets drivers assume that there is no NaN, and real ones do: on an NVIDIA GPU `select(x, low, x < low)` becomes a maximum and loses
// NaN. So NaN is found by its bits, and whatever chooses between numbers goes through the functions here.

/** WGSL that is true where `x` is NaN; for a vector name the `u32` type of its width. */
export const isNanBits = (x: string, u32 = 'u32'): string =>
  `(bitcast<${u32}>(${x}) & ${u32}(0x7fffffffu)) > ${u32}(0x7f800000u)`;

/**
 * WGSL of max(x, 0) that keeps NaN, for a scalar or vector type `f32` with `u32` of the same width: the bits from those of the smallest
 * negative number to those of −∞ become 0, everything else stays.
 */
export const reluBits = (x: string, f32 = 'f32', u32 = 'u32'): string =>
  `select(${x}, ${f32}(), bitcast<${u32}>(${x}) - ${u32}(0x80000001u) <= ${u32}(0x7f7fffffu))`;

export const arithmetic = {
  isNan: `fn isNan(x: f32) -> bool { return ${isNanBits('x')}; }`,
  isInf: 'fn isInf(x: f32) -> bool { return (bitcast<u32>(x) & 0x7fffffffu) == 0x7f800000u; }',
  isFinite: 'fn isFinite(x: f32) -> bool { return (bitcast<u32>(x) & 0x7f800000u) != 0x7f800000u; }',
  // Compilers refuse constants that are not finite, so these go through a variable.
  infinity: 'fn infinity() -> f32 { var bits = 0x7f800000u; return bitcast<f32>(bits); }',
  nan: 'fn nan() -> f32 { var bits = 0x7fc00000u; return bitcast<f32>(bits); }',
  // Choose by NaN before the sign is set: LLVM 19 spoils `select(withSign(m, x), x, isNan(x))` for vectors of 512 bits.
  withSign: `fn withSign(magnitude: f32, sign: f32) -> f32 {
  return bitcast<f32>((bitcast<u32>(magnitude) & 0x7fffffffu) | (bitcast<u32>(sign) & 0x80000000u));
}`,
  isNegative: 'fn isNegative(x: f32) -> bool { return (bitcast<u32>(x) & 0x80000000u) != 0u; }',
  // −1, 0 or 1; 0 of NaN.
  signOf: 'fn signOf(x: f32) -> f32 { return select(0.0, withSign(1.0, x), x > 0.0 || x < 0.0); }',
  // The bits of the nearest half (to even in a tie), infinity from 65520, NaN for NaN: WGSL's own conversion may round either way. `shift` is what
  // a subnormal half loses of the mantissa; up to 2⁻²⁵ nothing is left.
  halfBits: `fn halfBits(x: vec4f) -> vec4u {
  let bits = bitcast<vec4u>(x);
  let size = bits & vec4u(0x7fffffffu);
  let normal = min((size - vec4u(0x38000000u) + vec4u(0xfffu) + ((size >> vec4u(13u)) & vec4u(1u))) >> vec4u(13u), vec4u(0x7c00u));
  let shift = min(vec4u(126u) - min(size >> vec4u(23u), vec4u(112u)), vec4u(25u));
  let mantissa = (size & vec4u(0x7fffffu)) | vec4u(0x800000u);
  let subnormal = (mantissa + (vec4u(1u) << (shift - vec4u(1u))) - vec4u(1u) + ((mantissa >> shift) & vec4u(1u))) >> shift;
  let value = select(select(normal, subnormal, size < vec4u(0x38800000u)), vec4u(0x7e00u), size > vec4u(0x7f800000u));
  return value | ((bits >> vec4u(16u)) & vec4u(0x8000u));
}`,
  toHalf: 'fn toHalf(x: f32) -> f16 { return bitcast<vec2<f16>>(halfBits(vec4f(x, 0.0, 0.0, 0.0)).x).x; }',
  toHalf4: `fn toHalf4(x: vec4f) -> vec4<f16> {
  let h = halfBits(x);
  return bitcast<vec4<f16>>(h.xz | (h.yw << vec2u(16u)));
}`,
  relu: `fn relu(x: f32) -> f32 { return ${reluBits('x')}; }`,
  // NaN where any argument is.
  maxOf: 'fn maxOf(a: f32, b: f32) -> f32 { return select(select(max(a, b), b, isNan(b)), a, isNan(a)); }',
  minOf: 'fn minOf(a: f32, b: f32) -> f32 { return select(select(min(a, b), b, isNan(b)), a, isNan(a)); }',
  maxOf4: `fn maxOf4(a: vec4f, b: vec4f) -> vec4f {
  return select(select(max(a, b), b, ${isNanBits('b', 'vec4u')}), a, ${isNanBits('a', 'vec4u')});
}`,
  // The signs; NaN of NaN.
  signOf4: `fn signOf4(x: vec4f) -> vec4f { return select(sign(x), x, ${isNanBits('x', 'vec4u')}); }`,
  // The upper bound wins where the bounds cross.
  clampTo: 'fn clampTo(x: f32, low: f32, high: f32) -> f32 { return minOf(maxOf(x, low), high); }',

  // Long sums, compensated (Kahan): `s` holds the sum, what it has too much, and a plain sum for when it is not finite. `zero` is a 0 that
  // compilers cannot know, such as `p.n >> 31u`: else they take (t − s) − x for 0.
  addTo: `fn addTo(s: vec3f, x: f32, zero: u32) -> vec3f {
  let y = x - s.y;
  let t = bitcast<f32>(bitcast<u32>(s.x + y) ^ zero);
  return vec3f(t, (t - s.x) - y, s.z + x);
}`,
  totalOf: 'fn totalOf(s: vec3f) -> f32 { return select(s.z, s.x, isFinite(s.x)); }',

  // a / b for every b. WGSL promises a quotient for divisors up to 2¹²⁶ only: beyond it NVIDIA's reciprocal, and with it the quotient, is 0.
  over: `fn over(a: f32, b: f32) -> f32 {
  let scale = select(1.0, 0.25, abs(b) > 4e37);
  return (a * scale) / (b * scale);
}`,

  // Long division of the mantissas of x ≥ y > 0, given by their bits, eight bits at a time: the rest, in units of the last place of y, and the whole
  // quotient modulo 2³².
  longDivision: `fn longDivision(x: u32, y: u32) -> vec2u {
  let divisor = (y & 0x7fffffu) | select(0u, 0x800000u, y >= 0x800000u);
  let mantissa = (x & 0x7fffffu) | select(0u, 0x800000u, x >= 0x800000u);
  var parts = vec2u(mantissa % divisor, mantissa / divisor);
  for (var left = i32(max(x >> 23u, 1u)) - i32(max(y >> 23u, 1u)); left > 0; left -= 8) {
    let digit = u32(min(left, 8));
    let dividend = parts.x << digit;
    parts = vec2u(dividend % divisor, (parts.y << digit) + dividend / divisor);
  }
  return parts;
}`,
  // The exact remainder of truncated division, with the sign of a.
  fmod: `fn fmod(a: f32, b: f32) -> f32 {
  let x = bitcast<u32>(a) & 0x7fffffffu;
  let y = bitcast<u32>(b) & 0x7fffffffu;
  if (x >= 0x7f800000u || y > 0x7f800000u || y == 0u) { return nan(); }
  if (x < y) { return a; }
  let exponent = i32(max(y >> 23u, 1u));
  let rest = longDivision(x, y).x;
  let up = 23 - i32(firstLeadingBit(rest));
  let bits = select(rest << u32(exponent - 1), (u32(exponent - up) << 23u) | ((rest << u32(up)) & 0x7fffffu), exponent > up);
  return withSign(bitcast<f32>(select(bits, 0u, rest == 0u)), a);
}`,
  // a − b·⌊a/b⌋, with the sign of b.
  remainder: `fn remainder(a: f32, b: f32) -> f32 {
  let r = fmod(a, b);
  return select(r, r + b, r != 0.0 && isNegative(r) != isNegative(b));
}`,
  // ⌊a/b⌋ of the exact quotient. Below 2²⁴ it is counted: a driver's quotient may be off by 2.5 units in the last place, which is 1 from 2²² on.
  floorDivide: `fn floorDivide(a: f32, b: f32) -> f32 {
  let x = bitcast<u32>(a) & 0x7fffffffu;
  let y = bitcast<u32>(b) & 0x7fffffffu;
  if (y == 0u) { return a / b; }
  if (x >= 0x7f800000u || y > 0x7f800000u) { return nan(); }
  let plain = over(a, b);
  var parts = vec2u(x, 0u);
  if (x >= y) { parts = longDivision(x, y); }
  let whole = select(round(abs(plain)), f32(parts.y), abs(plain) < 16777216.0);
  let quotient = withSign(whole, plain) - select(0.0, 1.0, parts.x != 0u && isNegative(a) != isNegative(b));
  return select(quotient, withSign(0.0, plain), quotient == 0.0);
}`,

  // The upper 12 bits of a mantissa: the product of two such numbers is exact. Drivers need not have a fused multiply-add.
  upper: 'fn upper(x: f32) -> f32 { return bitcast<f32>(bitcast<u32>(x) & 0xfffff000u); }',
  // xᵖ = 2^(p·e) · 2^(p·log₂ m) with x = m·2ᵉ, m from √½ to √2. log₂ m = 2/ln 2 · artanh s, s = (m − 1) / (m + 1), as a sum of two floats: what
  // is lost of s is ((m − 1) − 2s − s(m − 1)) / (m + 1). NaN for a fraction of a negative x; x⁰ = 1ᵖ = 1.
  power: `fn power(x: f32, p: f32) -> f32 {
  if (p == 2.0) { return x * x; }
  if (p == 0.0 || x == 1.0) { return 1.0; }
  if (isNan(x) || isNan(p)) { return x + p; }
  let m = abs(x);
  let whole = p == trunc(p);
  let odd = whole && fract(0.5 * abs(p)) == 0.5;
  if (x < 0.0 && !whole && !isInf(x)) { return nan(); }
  var result: f32;
  if (m == 0.0 || isInf(m)) {
    result = select(0.0, infinity(), (m == 0.0) == (p < 0.0));
  } else if (isInf(p)) {
    result = select(select(0.0, infinity(), (m > 1.0) == (p > 0.0)), 1.0, m == 1.0);
  } else {
    let parts = splitFloat(m);
    let e = parts.y;
    let f = parts.x - 1.0;
    let fh = upper(f);
    let s = f / (parts.x + 1.0);
    let sh = upper(s);
    let lost = ((((f - 2.0 * s) - sh * fh) - sh * (f - fh)) - (s - sh) * f) / (parts.x + 1.0);
    let z = s * s;
    let tail = s * z * (0.66666669 + z * (0.40000123 + z * (0.28550723 + z * 0.23332766))) + 2.0 * lost;
    let high = 2.0 * sh * 1.4423828125;
    let low = 2.0 * (s - sh) * 1.4423828125 + (2.0 * s * 0.00031222838 + tail * ${Math.LOG2E});
    let ph = upper(p);
    let hh = upper(high);
    let k = round(ph * e);
    let n = round(ph * hh);
    let r = (ph * e - k) + (ph * hh - n);
    let more = (p - ph) * (e + hh) + (p * (high - hh) + p * low);
    let j = round(r + more);
    let about = p * (e + high);
    result = select(exp2Scaled(r - j, more, i32(clamp(k + n + j, -300.0, 300.0))), select(0.0, infinity(), about > 0.0), abs(about) > 160.0);
  }
  return select(result, -result, isNegative(x) && odd);
}`,
  // Whole powers, modulo 2³²; a negative power is 0 except of ±1.
  powerInt: `fn powerInt(x: i32, p: i32) -> i32 {
  if (p < 0) { return select(select(0, select(1, -1, (p & 1) != 0), x == -1), 1, x == 1); }
  var result = 1;
  var square = x;
  for (var n = p; n > 0; n >>= 1) {
    if ((n & 1) != 0) { result *= square; }
    square *= square;
  }
  return result;
}`,
} satisfies Record<string, string>;
