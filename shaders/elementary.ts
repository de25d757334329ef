// Exponentials, logarithms, hyperbolic, trigonometric and error functions for the library of functions.ts.
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
  sinh: `fn sinh(x: f32) -> f32 {
  let m = abs(x);
  let e = expm1(m);
  return withSign(select(expScaled(m, 0.0, -1) - expScaled(-m, 0.0, -1), 0.5 * (e + e / (e + 1.0)), m < 1.0), x);
}`,
  cosh: 'fn cosh(x: f32) -> f32 { return expScaled(abs(x), 0.0, -1) + expScaled(-abs(x), 0.0, -1); }',
  asinh: `fn asinh(x: f32) -> f32 {
  let m = abs(x);
  return withSign(select(log1p(m + m * m / (1.0 + sqrt(m * m + 1.0))), log(m) + ${Math.LN2}, m > 1e6), x);
}`,
  acosh: `fn acosh(x: f32) -> f32 {
  let z = x - 1.0;
  return select(select(log1p(z + sqrt(z * (x + 1.0))), log(x) + ${Math.LN2}, x > 1e6), nan(), x < 1.0);
}`,
  atanh: 'fn atanh(x: f32) -> f32 { let m = abs(x); return withSign(0.5 * log1p(over(2.0 * m, 1.0 - m)), x); }',
  sigmoid: 'fn sigmoid(x: f32) -> f32 { let e = exp(-abs(x)); return select(e, 1.0, x >= 0.0) / (1.0 + e); }',
  // log(1 + eˣ) without overflow.
  softplus: 'fn softplus(x: f32) -> f32 { return relu(x) + log1p(exp(-abs(x))); }',

  // Sine (quadrant 0) and cosine (quadrant 1): x less the nearest multiple of π/2, taken off in four parts, of which k times the first three is exact.
  sine: `fn sine(x: f32, quadrant: i32) -> f32 {
  let k = round(x * ${2 / Math.PI});
  var r = select(fma(-k, 2.5633440682570896e-12, fma(-k, 7.549533620476723e-8, fma(-k, 0.0004837512969970703, fma(-k, 1.5703125, x)))), x, k == 0.0);
  var q = i32(k) + quadrant;
  if (!(abs(x) < 4000.0)) {
    let turned = reduceLarge(x);
    r = turned.x;
    q = i32(turned.y) + quadrant;
  }
  let z = r * r;
  let odd = r * ${horner('z', [1, -0.16666667, 0.0083333291, -0.00019839202, 0.0000027173458])};
  let even = ${horner('z', [1, -0.5, 0.041666616, -0.0013886618, 0.000024379831])};
  return select(1.0, -1.0, (q & 2) != 0) * select(odd, even, (q & 1) != 0);
}`,
  // Rest and quadrant of a large x (Payne and Hanek): x is a whole m times 2ᵉ, so only 96 bits of 2/π, from those that make whole turns
  // on, matter for the fraction of a turn. It comes out in 64 bits.
  reduceLarge: `fn reduceLarge(x: f32) -> vec2f {
  var digits = array<u32, 8>(0u, 0xa2f9836eu, 0x4e441529u, 0xfc2757d1u, 0xf534ddc0u, 0xdb629599u, 0x3c439041u, 0xfe5163abu);
  let bits = bitcast<u32>(x) & 0x7fffffffu;
  if (bits >= 0x7f800000u) { return vec2f(nan(), 0.0); }
  let m = (bits & 0x7fffffu) | 0x800000u;
  let skip = u32(i32(bits >> 23u) - 120);
  let word = skip >> 5u;
  let up = skip & 31u;
  var window = array<u32, 3>();
  for (var i = 0u; i < 3u; i++) { window[i] = select((digits[word + i] << up) | (digits[word + i + 1u] >> (32u - up)), digits[word + i], up == 0u); }
  let middle = multiplyWide(m, window[1]);
  let low = middle.y + multiplyWide(m, window[2]).x;
  let turn = m * window[0] + middle.x + select(0u, 1u, low < middle.y);
  // The fraction of a quarter turn, from −½ to ½, as sign and magnitude: near 0 its high word has no bits.
  let high = (turn << 2u) | (low >> 30u);
  let negative = high >= 0x80000000u;
  let lower = select(low << 2u, ~(low << 2u), negative);
  let rest = (f32(select(high, ~high, negative)) + f32(lower) * ${2 ** -32}) * ${Math.PI / 2 / 2 ** 32};
  let side = select(1.0, -1.0, x < 0.0);
  return vec2f(side * select(rest, -rest, negative), side * f32((turn + 0x20000000u) >> 30u));
}`,
  // High and low word of a product.
  multiplyWide: `fn multiplyWide(a: u32, b: u32) -> vec2u {
  let cross = (a & 0xffffu) * (b >> 16u) + (((a & 0xffffu) * (b & 0xffffu)) >> 16u);
  let other = (a >> 16u) * (b & 0xffffu) + (cross & 0xffffu);
  return vec2u((a >> 16u) * (b >> 16u) + (cross >> 16u) + (other >> 16u), a * b);
}`,
  // To at most tan(π/8) by arctan x = π/4 + arctan((x − 1) / (x + 1)) and π/2 − arctan(1 / x).
  arctan: `fn arctan(x: f32) -> f32 {
  let m = abs(x);
  let inverse = m > 1.0;
  let w = select(m, 1.0 / m, inverse);
  let upper = w > ${Math.tan(Math.PI / 8)};
  let r = select(w, (w - 1.0) / (w + 1.0), upper);
  let base = r * ${horner('r * r', [1, -0.33333308, 0.19998182, -0.14239533, 0.10569829, -0.060263053])} + select(0.0, ${Math.PI / 4}, upper);
  return withSign(select(base, ${Math.PI / 2} - base, inverse), x);
}`,
  // The angle of the point (x, y); signs of zeros count.
  arctan2: `fn arctan2(y: f32, x: f32) -> f32 {
  let a = abs(x);
  let b = abs(y);
  let slope = select(select(min(a, b) / max(a, b), 1.0, isInf(a) && isInf(b)), 0.0, a == 0.0 && b == 0.0);
  let near = arctan(slope);
  let quarter = select(near, ${Math.PI / 2} - near, b > a);
  return withSign(select(select(quarter, ${Math.PI} - quarter, isNegative(x)), x + y, isNan(x) || isNan(y)), y);
}`,
  arcsin: 'fn arcsin(x: f32) -> f32 { return select(arctan(x / sqrt((1.0 - x) * (1.0 + x))), nan(), abs(x) > 1.0); }',
  arccos: 'fn arccos(x: f32) -> f32 { return select(2.0 * arctan(sqrt((1.0 - x) / (1.0 + x))), nan(), abs(x) > 1.0); }',
  // √(a² + b²) of numbers that are brought near 1 first.
  hypotenuse: `fn hypotenuse(a: f32, b: f32) -> f32 {
  let m = max(abs(a), abs(b));
  if (isInf(a) || isInf(b)) { return infinity(); }
  let up = m < ${2 ** -40};
  let down = m > ${2 ** 60};
  let x = a * select(select(1.0, ${2 ** 100}, up), ${2 ** -80}, down);
  let y = b * select(select(1.0, ${2 ** 100}, up), ${2 ** -80}, down);
  return sqrt(fma(x, x, y * y)) * select(select(1.0, ${2 ** -100}, up), ${2 ** 80}, down);
}`,

  // e^(−s·x²) with s = ½ or 1: the square of the upper half of x is exact.
  gaussian: `fn gaussian(x: f32, s: f32) -> f32 {
  let m = min(abs(x), 20.0);
  let h = upper(m);
  return select(expScaled(-s * h * h, -s * (m - h) * (m + h), 0), x, isNan(x));
}`,
  // erfc(m) · e^m² for m ≥ 0 = t · P(t) with t = 1 / (1 + m/2).
  erfcTail: `fn erfcTail(m: f32) -> f32 {
  let t = 1.0 / (1.0 + 0.5 * m);
  return t * ${horner('t', [0.2820887566, 0.2822469771, 0.2452334762, 0.1852858663, 0.05598555133, 0.03278784081, -0.01781564392, -0.2939426005, 0.3843251467, -0.1921508014, 0.03595545515])};
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
