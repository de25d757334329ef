// Scalar functions that expressions may call: those WGSL lacks, and those it promises too little of (sine and cosine are only accurate to
// 2⁻¹¹ between −π and π, the arc tangent to 4096 units in the last place, NaN may vanish in max). All are good to a few units in the
// last place, from polynomials fitted at Chebyshev nodes. No trick here relies on (1 + x) − 1 ≠ x: drivers may simplify that.
//
// Each entry is a complete WGSL function; one may call others.

const horner = (x: string, coefficients: readonly number[]): string =>
  coefficients.reduceRight((sum, c) => (sum ? `fma(${sum}, ${x}, ${c.toExponential(8)})` : c.toExponential(8)), '');

const library: Record<string, string> = {
  isNan: 'fn isNan(x: f32) -> bool { return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u; }',
  isInf: 'fn isInf(x: f32) -> bool { return (bitcast<u32>(x) & 0x7fffffffu) == 0x7f800000u; }',
  isFinite: 'fn isFinite(x: f32) -> bool { return (bitcast<u32>(x) & 0x7f800000u) != 0x7f800000u; }',
  // eˣ − 1: its Taylor series near 0.
  expm1: `fn expm1(x: f32) -> f32 {
  let series = x * ${horner('x', [1, 1 / 2, 1 / 6, 1 / 24, 1 / 120, 1 / 720, 1 / 5040, 1 / 40320])};
  return select(exp(x) - 1.0, series, abs(x) < 0.5);
}`,
  // log(1 + x) = 2 artanh(x / (2 + x)).
  log1p: `fn log1p(x: f32) -> f32 {
  let z = x / (2.0 + x);
  let series = 2.0 * z * ${horner('z * z', [1, 1 / 3, 1 / 5, 1 / 7, 1 / 9])};
  return select(log(1.0 + x), series, abs(x) < 0.3);
}`,
  // e^2x − 1 over e^2x + 1; the clamp keeps it from ∞/∞.
  tanhSafe:
    'fn tanhSafe(x: f32) -> f32 { let e = expm1(2.0 * clamp(x, -20.0, 20.0)); return select(e / (e + 2.0), x, isNan(x)); }',
  // Half of e^|x| is made as (e^|x|/2 / 2) · e^|x|/2, which overflows no earlier than the result.
  sinhSafe: `fn sinhSafe(x: f32) -> f32 {
  let h = exp(0.5 * abs(x));
  let e = expm1(x);
  return select(sign(x) * (0.5 * h * h - 0.5 / (h * h)), 0.5 * (e + e / (e + 1.0)), abs(x) < 1.0);
}`,
  coshSafe: 'fn coshSafe(x: f32) -> f32 { let h = exp(0.5 * abs(x)); return 0.5 * h * h + 0.5 / (h * h); }',
  asinhSafe: `fn asinhSafe(x: f32) -> f32 {
  let m = abs(x);
  return sign(x) * select(log1p(m + m * m / (1.0 + sqrt(m * m + 1.0))), log(m) + ${Math.LN2}, m > 1e6);
}`,
  acoshSafe: `fn acoshSafe(x: f32) -> f32 {
  let z = x - 1.0;
  return select(log1p(z + sqrt(z * (x + 1.0))), log(x) + ${Math.LN2}, x > 1e6);
}`,
  atanhSafe: 'fn atanhSafe(x: f32) -> f32 { let m = abs(x); return sign(x) * 0.5 * log1p(2.0 * m / (1.0 - m)); }',
  sigmoid: 'fn sigmoid(x: f32) -> f32 { let e = exp(-abs(x)); return select(e, 1.0, x >= 0.0) / (1.0 + e); }',
  // log(1 + eˣ) without overflow.
  softplus: 'fn softplus(x: f32) -> f32 { return max(x, 0.0) + log1p(exp(-abs(x))); }',
  // Sine (quadrant 0) and cosine (quadrant 1): x less the nearest multiple of π/2, taken off in three parts.
  sine: `fn sine(x: f32, quadrant: i32) -> f32 {
  let k = round(x * ${2 / Math.PI});
  var r = fma(-k, 7.54978995489e-8, fma(-k, 4.83751296997e-4, fma(-k, 1.5703125, x)));
  var q = i32(k) + quadrant;
  if (abs(x) > 4000.0) {
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
  if (bits >= 0x7f800000u) { return vec2f(x - x, 0.0); }
  let m = (bits & 0x7fffffu) | 0x800000u;
  let skip = u32(i32(bits >> 23u) - 120);
  let word = skip >> 5u;
  let up = skip & 31u;
  var window = array<u32, 3>();
  for (var i = 0u; i < 3u; i++) { window[i] = select((digits[word + i] << up) | (digits[word + i + 1u] >> (32u - up)), digits[word + i], up == 0u); }
  let middle = multiplyWide(m, window[1]);
  let low = middle.y + multiplyWide(m, window[2]).x;
  let turn = m * window[0] + middle.x + select(0u, 1u, low < middle.y);
  let rest = bitcast<i32>((turn << 2u) | (low >> 30u));
  let side = select(1.0, -1.0, x < 0.0);
  return vec2f(side * f32(rest) * ${Math.PI / 2 / 2 ** 32}, side * f32((turn + 0x20000000u) >> 30u));
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
  return select(1.0, -1.0, x < 0.0) * select(base, ${Math.PI / 2} - base, inverse);
}`,
  // The angle of the point (x, y); 0 at the origin.
  arctan2: `fn arctan2(y: f32, x: f32) -> f32 {
  let flat = abs(y) <= abs(x);
  let slope = arctan(select(select(x, y, flat) / select(y, x, flat), 0.0, y == 0.0 && flat));
  let half = select(1.0, -1.0, y < 0.0) * ${Math.PI};
  return select(0.5 * half - slope, slope + select(0.0, half, x < 0.0), flat);
}`,
  arcsin: 'fn arcsin(x: f32) -> f32 { return arctan(x / sqrt((1.0 - x) * (1.0 + x))); }',
  arccos: 'fn arccos(x: f32) -> f32 { return 2.0 * arctan(sqrt((1.0 - x) / (1.0 + x))); }',
  // erfc x = e^−x² · t · P(t) with t = 1 / (1 + x/2) for x ≥ 0, and 2 − erfc(−x) else.
  erfc: `fn erfc(x: f32) -> f32 {
  let m = select(abs(x), 12.0, abs(x) > 12.0);
  let t = 1.0 / (1.0 + 0.5 * m);
  let c = exp(-m * m) * t * ${horner('t', [0.2820949, 0.28208923, 0.24696594, 0.17458427, 0.097228006, -0.071109027, 0.15602458, -0.48537806, 0.51757252, -0.2452614, 0.045189049])};
  return select(c, 2.0 - c, x < 0.0);
}`,
  erf: `fn erf(x: f32) -> f32 {
  let z = x * x;
  let series = x * ${horner(
    'z',
    Array.from({ length: 10 }, (_, n) => ((n % 2 ? -2 : 2) / (Math.sqrt(Math.PI) * (2 * n + 1))) * inverseFactorial(n)),
  )};
  return select(1.0 - erfc(x), series, abs(x) < 0.8);
}`,
  // xᵖ: by repeated squaring for whole |p| ≤ 64, so that small powers are exact; NaN for a fraction of a negative x.
  power: `fn power(x: f32, p: f32) -> f32 {
  if (p == trunc(p) && abs(p) <= 64.0) {
    var result = 1.0;
    var square = x;
    for (var n = u32(abs(p)); n > 0u; n >>= 1u) {
      if ((n & 1u) != 0u) { result *= square; }
      square *= square;
    }
    return select(result, 1.0 / result, p < 0.0);
  }
  let q = pow(abs(x), p);
  let odd = fract(abs(p) * 0.5) == 0.5;
  return select(q, select(select(sqrt(x), q, p == trunc(p)), -q, odd), x < 0.0);
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
  // a − b·⌊a/b⌋, with the sign of b, from the exact remainder of truncated division.
  remainder: `fn remainder(a: f32, b: f32) -> f32 {
  let r = a % b;
  return select(r, r + b, r != 0.0 && ((r < 0.0) != (b < 0.0)));
}`,
};

function inverseFactorial(n: number): number {
  return n < 2 ? 1 : inverseFactorial(n - 1) / n;
}

/** The source of all functions of this file that `code` calls, directly or through others. */
export function functionsFor(code: string): string {
  const used = new Set<string>();
  const visit = (text: string) => {
    for (const [, name] of text.matchAll(/\b(\w+)\(/g))
      if (name in library && !used.has(name)) {
        used.add(name);
        visit(library[name]);
      }
  };
  visit(code);
  return [...used].map((name) => library[name]).join('\n');
}
