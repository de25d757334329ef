// Special functions, for the rows of elementwise functions that name this library: the gamma family, inverse error functions, Bessel functions, sinc.
//
// Polynomials in f32, fitted at Chebyshev nodes to the relative error, as in elementary.ts; the bounds are in docs/accuracy.md.
import { horner } from './elementary';
import type { Library } from './functions';
import { trigonometric } from './trigonometric';

/** Coefficients of the polynomials; exported graphs of ONNX compute by them too. */
export const SERIES = {
  erfinvNear: [
    0.8862269254, 0.232013688, 0.1275544137, 0.08660682345, 0.06413347721, 0.0583947451, 0.01405844266, 0.09572717269,
  ],
  erfinvTail1: [
    1.127046317, 0.9302613185, 0.03041760727, 0.00240023493, -0.003754494864, -0.000383369967, 0.0004666405679,
    0.000120348685, -6.874457319e-5,
  ],
  erfinvTail2: [
    2.83280204, 1.002662931, 0.006841727536, -0.003451801027, 0.001154767432, -0.0002012348218, -6.500264231e-5,
    4.004885803e-5,
  ],
  erfinvTail3: [
    6.869019792, 1.008596341, -0.0005131205481, 5.321743501e-6, 6.329466585e-6, -1.282000373e-6, 2.509477607e-7,
    -9.534055274e-8, 1.505258526e-8,
  ],
  stirling: [0.08333333327, -0.002777698888, 0.0007800568544],
  besselNear0: [
    0.9999999991, 0.250000007, 0.01562499247, 0.000434030666, 6.781159534e-6, 6.786858473e-8, 4.679826149e-10,
    2.503902531e-12, 7.392224555e-15, 4.94009021e-17,
  ],
  besselNear1: [
    0.4999999999, 0.06250000061, 0.002604166104, 5.425366374e-5, 6.781367617e-7, 5.654295392e-9, 3.348348043e-11,
    1.552175027e-13, 4.261287261e-16, 2.393002265e-18,
  ],
  besselFar0: [0.3989422812, 0.04986726644, 0.02811013712, 0.02668606012, 0.09449416321, -0.3767828827, 2.029013733],
  besselFar1: [0.3989422795, -0.1496027324, -0.04682162042, -0.03793581692, -0.1153082476, 0.4273881338, -2.328417452],
  digamma: [1 / 12, -1 / 120, 1 / 252, -1 / 240],
  trigamma: [1 / 6, -1 / 30, 1 / 42, -1 / 30],
} as const;

/** Terms of Euler's and Maclaurin's formula: B₂ₖ / (2k)! for k = 1 … 5. */
const EULER_MACLAURIN = [1 / 12, -1 / 720, 1 / 30240, -1 / 1209600, 1 / 47900160];

export const special: Library = {
  functions: {
    ...trigonometric.functions,
    isOdd: 'fn isOdd(whole: f32) -> bool { return fract(0.5 * abs(whole)) == 0.5; }',

    // The y with erfc(y)·(1 + x) = e^(−w), w = −log(1 − x²), from s = √w: nearly linear, up to erfc(y) = 2⁻¹⁴⁹.
    erfinvTail: `fn erfinvTail(w: f32) -> f32 {
  let s = sqrt(w);
  if (s < 2.2) { let t = s - 1.25; return ${horner('t', SERIES.erfinvTail1)}; }
  if (s < 4.1) { let t = s - 3.0; return ${horner('t', SERIES.erfinvTail2)}; }
  let t = s - 7.0;
  return ${horner('t', SERIES.erfinvTail3)};
}`,
    erfinvNear: `fn erfinvNear(x: f32) -> f32 {
  return x * ${horner('x * x', SERIES.erfinvNear)};
}`,
    erfinv: `fn erfinv(x: f32) -> f32 {
  let m = abs(x);
  if (isNan(x) || m > 1.0) { return nan(); }
  if (m == 1.0) { return withSign(infinity(), x); }
  if (m < 0.5) { return erfinvNear(x); }
  return withSign(erfinvTail(-log((1.0 - m) * (1.0 + m))), x);
}`,
    // ½√π·e^(y²); towards ±1 e^(y²) = erfcx(y) / erfc(y), which does not magnify the error of y.
    erfinvSlope: `fn erfinvSlope(x: f32, y: f32) -> f32 {
  let m = abs(x);
  if (m < 0.5) { return ${Math.sqrt(Math.PI) / 2} * exp(y * y); }
  return select(${Math.sqrt(Math.PI) / 2} * erfcTail(abs(y)) / (1.0 - m), infinity(), m == 1.0);
}`,
    // The inverse of Φ.
    ndtri: `fn ndtri(p: f32) -> f32 {
  if (isNan(p) || p < 0.0 || p > 1.0) { return nan(); }
  let q = min(p, 1.0 - p);
  if (q == 0.0) { return select(infinity(), -infinity(), p < 0.5); }
  if (q > 0.25) { return ${Math.SQRT2} * erfinvNear(2.0 * p - 1.0); }
  return withSign(${Math.SQRT2} * erfinvTail(-(log(q) + log1p(-q) + ${2 * Math.LN2})), p - 0.5);
}`,
    ndtriSlope: `fn ndtriSlope(p: f32, y: f32) -> f32 {
  let q = min(p, 1.0 - p);
  return select(${Math.sqrt(Math.PI / 2)} * erfcTail(${Math.SQRT1_2} * abs(y)) / q, infinity(), q == 0.0);
}`,
    // log Φ(x). x is halved by its exponent: NVIDIA's compiler takes 0.5 · x · x for 0.5 · x², which overflows.
    logNdtr: `fn logNdtr(x: f32) -> f32 {
  if (x > 0.0) { return log1p(-normal(-x)); }
  let halved = select(0.5 * x, bitcast<f32>(bitcast<u32>(x) - 0x800000u), x < -1.0);
  return select(-halved * x + log(0.5 * erfcTail(${Math.SQRT1_2} * abs(x))), x, isNan(x));
}`,
    logNdtrSlope: `fn logNdtrSlope(x: f32) -> f32 {
  if (x > 0.0) { return ${1 / Math.sqrt(2 * Math.PI)} * gaussian(x, 0.5) / normal(x); }
  let u = 1.0 / x;
  let far = -x - u * ${horner('u * u', [1, -2, 10, -74])};
  return select(select(${Math.sqrt(2 / Math.PI)} / erfcTail(${Math.SQRT1_2} * abs(x)), far, x < -12.0), x, isNan(x));
}`,
    // log(x / (1 − x)): by log1p near ½, where 2x − 1 is exact.
    logit: `fn logit(x: f32) -> f32 {
  if (isNan(x) || x < 0.0 || x > 1.0) { return nan(); }
  if (x < 0.25) { return log(x) - log1p(-x); }
  if (x <= 0.5) { return -log1p((1.0 - 2.0 * x) / x); }
  return select(log1p((2.0 * x - 1.0) / (1.0 - x)), infinity(), x == 1.0);
}`,

    // log Γ(2 + z) for −½ ≤ z ≤ 1.
    lgammaNearTwo: `fn lgammaNearTwo(z: f32) -> f32 {
  return z * ${horner('z', [0.4227843369, 0.3224670187, -0.06735248602, 0.02058131958, -0.007382757842, 0.002884252129, -0.001204517667, 0.0005413138991, -0.0002208934916, 4.959781982e-5])};
}`,
    // log Γ(x) for x > 0: shifted to 1½ … 3, and Stirling's series from 8 on.
    lgammaPositive: `fn lgammaPositive(x: f32) -> f32 {
  if (x < 0.5) { return lgammaNearTwo(x) - log1p(x) - log(x); }
  if (x < 1.5) { return lgammaNearTwo(x - 1.0) - log(x); }
  if (x < 8.0) {
    var y = x;
    var product = 1.0;
    while (y >= 3.0) { y -= 1.0; product *= y; }
    return lgammaNearTwo(y - 2.0) + log(product);
  }
  let u = 1.0 / x;
  return fma(x - 0.5, log(x) - 1.0, ${0.5 * Math.log(2 * Math.PI) - 0.5}) + u * ${horner('u * u', SERIES.stirling)};
}`,
    // Γ(x)·Γ(1 − x) = π / sin πx.
    lgamma: `fn lgamma(x: f32) -> f32 {
  if (isInf(x)) { return infinity(); }
  if (isNan(x)) { return x; }
  if (x > 0.0) { return lgammaPositive(x); }
  let r = x - round(x);
  if (r == 0.0) { return infinity(); }
  return ${Math.log(Math.PI)} - log(abs(sine(${Math.PI} * r, 0))) - lgammaPositive(1.0 - x);
}`,
    digammaPositive: `fn digammaPositive(x: f32) -> f32 {
  var y = x;
  var sum = 0.0;
  while (y < 6.0) { sum += 1.0 / y; y += 1.0; }
  let z = 1.0 / (y * y);
  return log(y) - 0.5 / y - z * ${horner('z', SERIES.digamma)} - sum;
}`,
    // ψ(x) = ψ(1 − x) − π / tan πx.
    digamma: `fn digamma(x: f32) -> f32 {
  if (isNan(x)) { return x; }
  if (x == 0.0) { return withSign(infinity(), bitcast<f32>(bitcast<u32>(x) ^ 0x80000000u)); }
  if (x > 0.0) { return digammaPositive(x); }
  let r = x - round(x);
  if (r == 0.0 || isInf(x)) { return nan(); }
  return digammaPositive(1.0 - x) - ${Math.PI} * sine(${Math.PI} * r, 1) / sine(${Math.PI} * r, 0);
}`,
    // Not 1 / y / y: NVIDIA's compiler takes it for 1 / y², whose square underflows.
    trigammaPositive: `fn trigammaPositive(x: f32) -> f32 {
  var y = x;
  var sum = 0.0;
  while (y < 6.0) { let w = 1.0 / y; sum += w * w; y += 1.0; }
  let u = 1.0 / y;
  let z = u * u;
  return sum + (u + 0.5 * z + u * z * ${horner('z', SERIES.trigamma)});
}`,
    // ψ′(x) = (π / sin πx)² − ψ′(1 − x).
    trigamma: `fn trigamma(x: f32) -> f32 {
  if (isNan(x)) { return x; }
  if (x > 0.0) { return trigammaPositive(x); }
  let s = ${Math.PI} / sine(${Math.PI} * (x - round(x)), 0);
  return select(s * s - trigammaPositive(1.0 - x), infinity(), x == round(x) && !isInf(x));
}`,
    // Hurwitz's Σ (q + k)^(−s), k ≥ 0, for whole s > 1: some terms, and Euler's and Maclaurin's formula for the rest.
    zeta: `fn zeta(s: f32, q: f32) -> f32 {
  if (isNan(q) || q < -1000.0) { return nan(); }
  if (isInf(q)) { return 0.0; }
  if (q <= 0.0 && q == round(q)) { return infinity(); }
  var a = q;
  var sum = 0.0;
  for (var i = 0; i < 9 || a <= 9.0; i++) { sum += power(a, -s); a += 1.0; }
  let first = power(a, -s);
  let z = 1.0 / (a * a);
  var factor = s * first / a;
  var rest = 0.0;
${EULER_MACLAURIN.map((b, k) => `  rest += ${b} * factor; factor *= (s + ${2 * k + 1}.0) * (s + ${2 * k + 2}.0) * z;`).join('\n')}
  return sum + (a * first / (s - 1.0) + (0.5 * first + rest));
}`,
    // ψ⁽ⁿ⁾(x) = ±n!·ζ(n + 1, x); c is ±n!.
    polygamma: `fn polygamma(n: f32, c: f32, x: f32) -> f32 {
  if (n == 0.0) { return digamma(x); }
  if (n == 1.0) { return trigamma(x); }
  return c * zeta(n + 1.0, x);
}`,

    // sin πx / πx.
    sinc: `fn sinc(x: f32) -> f32 {
  if (abs(x) < 1e-4) { return 1.0; }
  let k = round(x);
  let s = sine(${Math.PI} * (x - k), 0);
  return select(s, -s, isOdd(k)) / (${Math.PI} * x);
}`,
    sincSlope: `fn sincSlope(x: f32, y: f32) -> f32 {
  if (abs(x) < 0.7) { return x * ${horner('x * x', [-3.289868133, 3.246969581, -1.144508291, 0.2091609767, -0.02337885526, 0.001637300027])}; }
  let k = round(x);
  let c = sine(${Math.PI} * (x - k), 1);
  return (select(c, -c, isOdd(k)) - y) / x;
}`,
    // The second derivative.
    sincCurve: `fn sincCurve(x: f32, y: f32) -> f32 {
  if (abs(x) < 0.7) { return ${horner(
    'x * x',
    [-3.289868133, 3.246969581, -1.144508291, 0.2091609767, -0.02337885526, 0.001637300027].map(
      (c, k) => (2 * k + 1) * c,
    ),
  )}; }
  return ${-(Math.PI ** 2)} * y - 2.0 * sincSlope(x, y) / x;
}`,
    // x − tanh x.
    tanhshrink: `fn tanhshrink(x: f32) -> f32 {
  return select(x - tanh(x), x * x * x * ${horner('x * x', [0.3333333331, -0.1333332822, 0.05396656613, -0.02184838696, 0.008735612402, -0.003183956408, 0.0007613023458])}, abs(x) < 0.7);
}`,

    // I₀(x) and I₁(x) / x for x² = z ≤ 49, and √x·e⁻ˣ of I₀ and I₁ for u = 1/x ≤ 1/7.
    besselNear0: `fn besselNear0(z: f32) -> f32 {
  return ${horner('z', SERIES.besselNear0)};
}`,
    besselNear1: `fn besselNear1(z: f32) -> f32 {
  return ${horner('z', SERIES.besselNear1)};
}`,
    besselFar0: `fn besselFar0(m: f32) -> f32 {
  let u = 1.0 / m;
  return ${horner('u', SERIES.besselFar0)} / sqrt(m);
}`,
    besselFar1: `fn besselFar1(m: f32) -> f32 {
  let u = 1.0 / m;
  return ${horner('u', SERIES.besselFar1)} / sqrt(m);
}`,
    // The exponential is taken as 2⁻⁸ of it, which is finite up to where the product overflows.
    i0: `fn i0(x: f32) -> f32 {
  let m = min(abs(x), 1000.0);
  if (m < 7.0) { return select(besselNear0(m * m), x, isNan(x)); }
  return select(expScaled(m, 0.0, -8) * (256.0 * besselFar0(m)), x, isNan(x));
}`,
    i1: `fn i1(x: f32) -> f32 {
  let m = min(abs(x), 1000.0);
  if (m < 7.0) { return select(x * besselNear1(m * m), x, isNan(x)); }
  return withSign(select(expScaled(m, 0.0, -8) * (256.0 * besselFar1(m)), x, isNan(x)), x);
}`,
    i0e: `fn i0e(x: f32) -> f32 {
  let m = abs(x);
  if (m < 7.0) { return exp(-m) * besselNear0(m * m); }
  return select(besselFar0(m), x, isNan(x));
}`,
    i1e: `fn i1e(x: f32) -> f32 {
  let m = abs(x);
  if (m < 7.0) { return x * exp(-m) * besselNear1(m * m); }
  return withSign(select(besselFar1(m), x, isNan(x)), x);
}`,
    // I₁(x) / x, and its multiple by e^−|x|.
    i1OverX: `fn i1OverX(x: f32) -> f32 { let m = min(abs(x), 7.0); return select(i1(x) / x, besselNear1(m * m), abs(x) < 7.0); }`,
    i1eOverX: `fn i1eOverX(x: f32) -> f32 { let m = min(abs(x), 7.0); return select(i1e(x) / x, exp(-m) * besselNear1(m * m), abs(x) < 7.0); }`,
    i1Slope: `fn i1Slope(x: f32) -> f32 {
  let m = min(abs(x), 1000.0);
  if (m < 7.0) { return select(i0(m) - besselNear1(m * m), x, isNan(x)); }
  return select(expScaled(m, 0.0, -8) * (256.0 * (besselFar0(m) - besselFar1(m) / m)), x, isNan(x));
}`,
    // I₂(x) / x.
    i2OverX: `fn i2OverX(x: f32) -> f32 {
  let z = 0.25 * x * x;
  return select((i0(x) - 2.0 * i1OverX(x)) / x, 0.25 * x * (0.5 + z * (1.0 / 6.0 + z * (1.0 / 48.0 + z / 720.0))), abs(x) < 0.8);
}`,

    // log(eᵃ + eᵇ), and the same to base 2.
    logAddExp: `fn logAddExp(a: f32, b: f32) -> f32 {
  let m = maxOf(a, b);
  return select(m + log1p(exp(-abs(a - b))), m, isInf(m) && a == b);
}`,
    logAddExp2: `fn logAddExp2(a: f32, b: f32) -> f32 {
  let m = maxOf(a, b);
  return select(m + ${Math.LOG2E} * log1p(exp2(-abs(a - b))), m, isInf(m) && a == b);
}`,
    // a·log b and a·log(1 + b), 0 where a is 0, whatever b.
    xlogy: 'fn xlogy(a: f32, b: f32) -> f32 { return select(select(a * log(b), 0.0, a == 0.0), b, isNan(b)); }',
    xlog1py: 'fn xlog1py(a: f32, b: f32) -> f32 { return select(select(a * log1p(b), 0.0, a == 0.0), b, isNan(b)); }',

    gcd: `fn gcd(a: i32, b: i32) -> i32 {
  var x = abs(a);
  var y = abs(b);
  while (y != 0) { let rest = x % y; x = y; y = rest; }
  return x;
}`,
    lcm: 'fn lcm(a: i32, b: i32) -> i32 { return select(abs(a / max(gcd(a, b), 1) * b), 0, a == 0 || b == 0); }',
  },
  derivatives: {
    ...trigonometric.derivatives,
    digamma: (x) => [`trigamma(${x})`],
    // Of the results alone; the first argument is there for accuracy.
    erfinvSlope: (x, y) => [null, `(2.0 * ${y} * erfinvSlope(${x}, ${y}))`],
    i0: (x) => [`i1(${x})`],
    i0e: (x) => [`(i1e(${x}) - signOf(${x}) * i0e(${x}))`],
    i1: (x) => [`i1Slope(${x})`],
    i1Slope: (x) => [`(i1(${x}) - i2OverX(${x}))`],
    i1e: (x) => [`(i0e(${x}) - signOf(${x}) * i1e(${x}) - i1eOverX(${x}))`],
    i1eOverX: (x) => [`(exp(-abs(${x})) * i2OverX(${x}) - signOf(${x}) * i1eOverX(${x}))`],
    logNdtrSlope: (x) => [`(-logNdtrSlope(${x}) * (${x} + logNdtrSlope(${x})))`],
    ndtriSlope: (x, y) => [null, `(${y} * ndtriSlope(${x}, ${y}))`],
    polygamma: (n, c, x) => [null, null, `polygamma(${n} + 1.0, -(${n} + 1.0) * ${c}, ${x})`],
    sincSlope: (x, y) => [`sincCurve(${x}, ${y})`, null],
    trigamma: (x) => [`polygamma(2.0, -2.0, ${x})`],
  },
};
