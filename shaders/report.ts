// How a kernel tells of a label or index that is out of range: it cannot stop the program, so it notes the first one in a small buffer that
// every read-back looks at (src/gpu/reports.ts). The binding has the letter 'c' of `Kernel.access`: it is written, but is nobody's result.

/** Operations that can be told apart. */
export const REPORT_SLOTS = 32;

/** The binding of the reports, the last one. */
export const REPORTS = 'c reports: atomic<u32>';

/** WGSL of `report(value)`; the kernel's uniforms have the operation's number as `slot`. */
export const reportFunction = `fn report(value: i32) {
  if (atomicExchange(&reports[2u * p.slot], 1u) == 0u) { atomicStore(&reports[2u * p.slot + 1u], bitcast<u32>(value)); }
}`;
