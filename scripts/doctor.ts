// `npm run doctor [-- --json]`: which adapter Dawnfield runs on and why, what it offers, and how fast it is.
import { createProgram, printJson, runProgram } from '../examples/shared/options';
import { provider } from '../src/gpu/provider';
import { F, full, init, noGrad, shutdown } from '../src/index.node.js';
import { ceilings, secondsPerRun } from './ceilings';

const features = ['shader-f16', 'subgroups', 'chromium-experimental-subgroup-matrix', 'timestamp-query'] as const;
const limits = [
  'maxBufferSize',
  'maxStorageBufferBindingSize',
  'maxStorageBuffersPerShaderStage',
  'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup',
  'minStorageBufferOffsetAlignment',
] as const;
const variables = ['DAWNFIELD_ADAPTER', 'VK_ICD_FILENAMES', 'VK_DRIVER_FILES', 'LP_NATIVE_VECTOR_WIDTH'];

/** The framework's own product of two n × n matrices. */
async function matmulGflops(n: number): Promise<number> {
  const room = await init();
  const a = full([n, n], 0.5).keep();
  const seconds = await secondsPerRun((runs) => {
    noGrad(() => {
      for (let i = 0; i < runs; i++) F.matmul(a, a);
    });
    return room.sync();
  });
  shutdown();
  return (2 * n ** 3) / seconds / 1e9;
}

async function examine() {
  const room = provider();
  const options = room.environment?.() ?? {};
  const adapter = await room.requestAdapter(options);
  if (!adapter) throw new Error(room.explain());
  const { vendor, architecture, device: name, description } = adapter.info;
  const { isFallbackAdapter: software, subgroupMinSize, subgroupMaxSize } = adapter.info;
  const device = await adapter.requestDevice();
  const report = {
    adapter: name,
    driver: description,
    vendor,
    architecture,
    software,
    why: process.env.DAWNFIELD_DRIVER ?? 'found by Dawn; the set-up was not asked',
    profile: options.profile ?? 'safe',
    environment: Object.fromEntries(variables.map((key) => [key, process.env[key] ?? null])),
    features: Object.fromEntries(features.map((key) => [key, adapter.features.has(key as GPUFeatureName)])),
    subgroupSizes: [subgroupMinSize, subgroupMaxSize],
    limits: Object.fromEntries(limits.map((key) => [key, adapter.limits[key]])),
    ...(await ceilings(device, software)),
    matmulGflops: await matmulGflops(software ? 512 : 2048),
    node: `${process.version} on ${process.platform}-${process.arch}`,
  };
  device.destroy();
  return report;
}

function print(report: Awaited<ReturnType<typeof examine>>) {
  const profiles = { safe: 'bounds checks and validation on, as in browsers', fast: 'no bounds checks, no validation' };
  const row = (key: string, value: unknown) => console.log(`  ${key.padEnd(34)} ${value}`);
  console.log(`${report.adapter}${report.software ? ' (software)' : ''}`);
  row('driver', report.driver);
  row('chosen because', report.why);
  row('toggle profile', `${report.profile} (${profiles[report.profile]}); DAWNFIELD_PROFILE=safe|fast`);
  row('node', report.node);
  for (const [key, value] of Object.entries(report.environment)) if (value !== null) row(key, value);
  console.log('features');
  for (const [key, value] of Object.entries(report.features)) row(key, value ? 'yes' : 'no');
  row('subgroup sizes', report.subgroupSizes.join(' to '));
  console.log('limits');
  for (const [key, value] of Object.entries(report.limits)) row(key, value.toLocaleString('en'));
  console.log('measured (median of 5)');
  row('f32 multiply-add on registers', `${report.gflops.toPrecision(3)} GFLOP/s`);
  row(`matrix product, ${report.software ? 512 : 2048}³`, `${report.matmulGflops.toPrecision(3)} GFLOP/s`);
  row('copy kernel, 64 MiB', `${report.gigabytesPerSecond.toPrecision(3)} GB/s read and written`);
}

const program = createProgram(
  'doctor',
  'Says which adapter Dawnfield runs on and why, what it offers, and how fast it is.',
);

await runProgram<{ json?: boolean }>(program, async ({ json }) => {
  const report = await examine();
  if (json) printJson(report);
  else print(report);
});
