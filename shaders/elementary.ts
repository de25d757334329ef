// Exponentials, logarithms, and what is made of them: sigmoid, tanh, error functions, for the library of functions.ts.
//
// By range reduction and polynomials in f32, fitted at Chebyshev nodes, so that every driver gives the same few units in the last place; the
// bounds are in docs/accuracy.md. Signed zeros, infinities and NaN are as in IEEE 754. No trick here relies on (1 + x) − 1 ≠ x: drivers may
// simplify that. Nor does any rely on an fma that rounds once: drivers
// may round twice. Multiples k of ln 2 are taken off in two parts, of which the first has so few bits that its product is exact.

/** WGSL of a polynomial in `x` by Horner's rule. */
export const horner = (x: string, coefficients: readonly number[]): string =>
  coefficients.reduceRight((sum, c) => (sum ? `fma(${sum}, ${x}, ${c.toExponential(8)})` : c.toExponential(8)), '');

function inverseFactorial(n: number): number {
  return n < 2 ? 1 : inverseFactorial(n - 1) / n;
}

/** (eʳ − 1 − r) / r² for |r| ≤ ½ ln 2. */
const exponentialTail = horner('r', [0.5, 0.1666651517, 0.0416661948, 0.008369280025, 0.001395116327]);

/** e^(m²)·erfc(m) / t in t = 1 / (1 + m/2). */
export const ERFC_TAIL = [
  0.2820887566, 0.2822469771, 0.2452334762, 0.1852858663, 0.05598555133, 0.03278784081, -0.01781564392, -0.2939426005,
  0.3843251467, -0.1921508014, 0.03595545515,
];

export const elementary = {
  // x · 2ᵏ for |k| ≤ 250, in two steps, so that neither overflows alone.
  scaled: `fn scaled(x: f32, k: i32) -> f32 {
  let half = k >> 1u;
  return x * bitcast<f32>(u32(half + 127) << 23u) * bitcast<f32>(u32(k - half + 127) << 23u);
}`,
  // e^(x + more) · 2ᵏ for |more| ≤ ¼: the factor keeps halves of large exponentials finite.
  expScaled: `fn expScaled(x: f32, more: f32, shift: i32) -> f32 {
  let c = clamp(x, -110.0, 95.0);
  let k = round((c + more) * ${Math.LOG2E});
  let r = fma(-k, -0.00021219444, fma(-k, 0.693359375, c) + more);
  return select(scaled(fma(r * r, ${exponentialTail}, r) + 1.0, i32(k) + shift), x, isNan(x));
}`,
  exp: 'fn exp(x: f32) -> f32 { return expScaled(x, 0.0, 0); }',
  // 2^(x + more) · 2ᵏ for |x| ≤ ½ and a small `more`: x ln 2 is made as a multiple of 2⁻¹² and a rest, so that almost only the last sum rounds.
  exp2Scaled: `fn exp2Scaled(x: f32, more: f32, k: i32) -> f32 {
  let r = (x + more) * ${Math.LN2};
  let coarse = round(r * 4096.0) / 4096.0;
  let h = upper(x);
  let fine = (h * 0.693115234375 - coarse) + ((x - h) * 0.693115234375 + (x * 3.194618329871446e-05 + more * ${Math.LN2}));
  return scaled((1.0 + coarse) + fma(r * r, ${exponentialTail}, fine), clamp(k, -250, 250));
}`,
  exp2: `fn exp2(x: f32) -> f32 {
  let c = clamp(x, -160.0, 140.0);
  let k = round(c);
  return select(exp2Scaled(c - k, 0.0, i32(k)), x, isNan(x));
}`,
  // eˣ − 1 = 2ᵏ(eʳ − 1) + 2ᵏ − 1.
  expm1: `fn expm1(x: f32) -> f32 {
  let c = clamp(x, -20.0, 89.0);
  let k = round(c * ${Math.LOG2E});
  let r = fma(-k, -0.00021219444, fma(-k, 0.693359375, c));
  let p = fma(r * r, ${exponentialTail}, r);
  let half = bitcast<f32>(u32(i32(k) + 126) << 23u);
  return withSign(select(select(2.0 * fma(half, p, half - 0.5), p, k == 0.0), x, isNan(x)), x);
}`,

  // Mantissa between √½ and √2 and exponent of a positive finite number; denormals are read as integers, which no device flushes.
  splitFloat: `fn splitFloat(x: f32) -> vec2f {
  let given = bitcast<u32>(x);
  let small = given < 0x800000u;
  let bits = select(given, bitcast<u32>(f32(given)), small);
  let e = bitcast<i32>(bits - 0x3f3504f3u) >> 23u;
  return vec2f(bitcast<f32>(bits - (u32(e) << 23u)), f32(e - select(0, 149, small)));
}`,
  // log(1 + f) for 1 + f between √½ and √2.
  logNearOne: `fn logNearOne(f: f32) -> f32 {
  let z = f * f;
  return fma(-0.5, z, f * z * ${horner('f', [0.3333331347, -0.2500000894, 0.2000214309, -0.1666804254, 0.1421905309, -0.1240434647, 0.1189085543, -0.1168495789, 0.06752029061])});
}`,
  // That function comes without its first term, so that e · ln 2 is added to the small terms first.
  log: `fn log(x: f32) -> f32 {
  if (!isPositive(x)) { return logOfOther(x); }
  let parts = splitFloat(x);
  let f = parts.x - 1.0;
  return fma(parts.y, 0.693359375, f + fma(parts.y, -0.00021219444, logNearOne(f)));
}`,
  isPositive: 'fn isPositive(x: f32) -> bool { return bitcast<u32>(x) - 1u < 0x7f7fffffu; }',
  logOfOther: `fn logOfOther(x: f32) -> f32 {
  if ((bitcast<u32>(x) & 0x7fffffffu) == 0u) { return -infinity(); }
  return select(x, nan(), isNegative(x));
}`,
  log2: `fn log2(x: f32) -> f32 {
  if (!isPositive(x)) { return logOfOther(x); }
  let parts = splitFloat(x);
  let f = parts.x - 1.0;
  let tail = logNearOne(f);
  return fma(f, 1.44269502, fma(f, 1.92596299e-8, tail * ${Math.LOG2E})) + parts.y;
}`,
  log10: `fn log10(x: f32) -> f32 {
  if (!isPositive(x)) { return logOfOther(x); }
  let parts = splitFloat(x);
  let f = parts.x - 1.0;
  let small = fma(parts.y, 7.9034151e-7, fma(f, 1.00920117e-8, logNearOne(f) * ${Math.LOG10E}));
  return fma(parts.y, 0.301029206, fma(f, 0.434294492, small));
}`,
  // 1 − tanh² x.
  sech2: 'fn sech2(x: f32) -> f32 { let e = exp(-2.0 * abs(x)); return 4.0 * e / ((1.0 + e) * (1.0 + e)); }',
  // 1 + x = 2ᵉ(1 + f), with f = x · 2⁻ᵉ + (2⁻ᵉ − 1) rounded once.
  log1p: `fn log1p(x: f32) -> f32 {
  if (x > 1e30 || !(x > -1.0)) { return select(select(nan(), log(x), x > 0.0), select(x, -infinity(), x == -1.0), x == -1.0 || isNan(x)); }
  let e = bitcast<i32>(bitcast<u32>(1.0 + x) - 0x3f3504f3u) >> 23u;
  let s = bitcast<f32>(u32(127 - e) << 23u);
  let f = fma(x, s, s - 1.0);
  return withSign(fma(f32(e), 0.693359375, f + fma(f32(e), -0.00021219444, logNearOne(f))), x);
}`,

  // (1 − e^−2|x|) / (1 + e^−2|x|). Towards ±1 it is 1 − a small number, rounded once: the slope 1 − y² is made of what is left.
  tanh: `fn tanh(x: f32) -> f32 {
  let m = abs(x);
  let e = expm1(-2.0 * m);
  return withSign(select(e / (e + 2.0), 1.0 - 2.0 / (exp(2.0 * m) + 1.0), m > 1.0), x);
}`,
  sigmoid: 'fn sigmoid(x: f32) -> f32 { let e = exp(-abs(x)); return select(e, 1.0, x >= 0.0) / (1.0 + e); }',
  // log(1 + eˣ) without overflow.
  softplus: 'fn softplus(x: f32) -> f32 { return relu(x) + log1p(exp(-abs(x))); }',

  // e^(−s·x²) with s = ½ or 1: the square of the upper half of x is exact.
  gaussian: `fn gaussian(x: f32, s: f32) -> f32 {
  let m = min(abs(x), 20.0);
  let h = upper(m);
  return select(expScaled(-s * h * h, -s * (m - h) * (m + h), 0), x, isNan(x));
}`,
  // erfc(m) · e^m² for m ≥ 0 = t · P(t) with t = 1 / (1 + m/2).
  erfcTail: `fn erfcTail(m: f32) -> f32 {
  let t = 1.0 / (1.0 + 0.5 * m);
  return t * ${horner('t', ERFC_TAIL)};
}`,
  erfc: `fn erfc(x: f32) -> f32 {
  let m = min(abs(x), 12.0);
  let c = gaussian(m, 1.0) * erfcTail(m);
  return select(select(c, 2.0 - c, x < 0.0), x, isNan(x));
}`,
  erf: `fn erf(x: f32) -> f32 {
  let z = x * x;
  let series = x * ${horner(
    'z',
    Array.from({ length: 10 }, (_, n) => ((n % 2 ? -2 : 2) / (Math.sqrt(Math.PI) * (2 * n + 1))) * inverseFactorial(n)),
  )};
  return select(1.0 - erfc(x), series, abs(x) < 0.8);
}`,
  // Φ(x), the normal distribution function.
  normal: `fn normal(x: f32) -> f32 {
  let m = min(abs(x), 20.0);
  let c = 0.5 * gaussian(m, 0.5) * erfcTail(m * ${Math.SQRT1_2});
  return select(select(c, 1.0 - c, x > 0.0), x, isNan(x));
}`,
} satisfies Record<string, string>;
