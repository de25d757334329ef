// Philox4x32-10 in WGSL, to be pasted into kernels that draw random numbers; datasets/random.ts is the same in TypeScript.
//
//   ten rounds of  (c0, c1, c2, c3) ← (hi(M1 c2) ⊕ c1 ⊕ k0,  lo(M1 c2),  hi(M0 c0) ⊕ c3 ⊕ k1,  lo(M0 c0)),
//                  (k0, k1) ← (k0 + 0x9E3779B9, k1 + 0xBB67AE85)

/** WGSL source of `philox4x32(counter: vec4u, key: vec2u) -> vec4u`. */
export function philoxWgsl(): string {
  return /* wgsl */ `
// WGSL has no 64-bit product: the high word is put together from products of 16-bit halves.
fn mulHigh(a: u32, b: u32) -> u32 {
  let a0 = a & 0xffffu;
  let a1 = a >> 16u;
  let b0 = b & 0xffffu;
  let b1 = b >> 16u;
  let middle = a1 * b0 + ((a0 * b0) >> 16u);
  return a1 * b1 + (middle >> 16u) + ((a0 * b1 + (middle & 0xffffu)) >> 16u);
}

fn philox4x32(counter: vec4u, key: vec2u) -> vec4u {
  var c = counter;
  var k = key;
  for (var round = 0; round < 10; round++) {
    let high0 = mulHigh(0xd2511f53u, c.x);
    let high1 = mulHigh(0xcd9e8d57u, c.z);
    c = vec4u(high1 ^ c.y ^ k.x, 0xcd9e8d57u * c.z, high0 ^ c.w ^ k.y, 0xd2511f53u * c.x);
    k += vec2u(0x9e3779b9u, 0xbb67ae85u);
  }
  return c;
}
`;
}
