// Trigonometric and hyperbolic functions and their inverses, for the rows of elementwise functions that name this library; as in elementary.ts.
import { horner } from './elementary';
import type { Library } from './functions';

export const trigonometric: Library = {
  functions: {
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
    arccos:
      'fn arccos(x: f32) -> f32 { return select(2.0 * arctan(sqrt((1.0 - x) / (1.0 + x))), nan(), abs(x) > 1.0); }',
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
  },
  derivatives: {
    arccos: (x) => [`-inverseSqrt((1.0 - ${x}) * (1.0 + ${x}))`],
    arcsin: (x) => [`inverseSqrt((1.0 - ${x}) * (1.0 + ${x}))`],
    arctan: (x) => [`over(1.0, 1.0 + ${x} * ${x})`],
    arctan2: (a, b) => [
      `(${b} / hypotenuse(${a}, ${b}) / hypotenuse(${a}, ${b}))`,
      `(-${a} / hypotenuse(${a}, ${b}) / hypotenuse(${a}, ${b}))`,
    ],
    asinh: (x) => [`over(1.0, hypotenuse(1.0, ${x}))`],
    acosh: (x) => [`inverseSqrt((${x} - 1.0) * (${x} + 1.0))`],
    atanh: (x) => [`over(1.0, (1.0 - ${x}) * (1.0 + ${x}))`],
    cosh: (x) => [`sinh(${x})`],
    hypotenuse: (a, b) => [`over(${a}, hypotenuse(${a}, ${b}))`, `over(${b}, hypotenuse(${a}, ${b}))`],
    sine: (x, quadrant) => [`sine(${x}, ${quadrant} + 1)`, null],
    sinh: (x) => [`cosh(${x})`],
  },
};
