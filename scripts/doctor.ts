// `npm run doctor [-- --json]`: which adapter Dawnfield runs on and why, what it offers, and how fast it is.
import { parseArgs } from 'node:util';
import { provider } from '../src/gpu/provider';
import { F, full, init, noGrad, shutdown } from '../src/index.node.js';

const features = ['shader-f16', 'subgroups', 'chromium-experimental-subgroup-matrix', 'timestamp-query'] as const;
const limits = [
  'maxBufferSize',
  'maxStorageBufferBindingSize',
  'maxStorageBuffersPerShaderStage',
  'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup',
  'minStorageBufferOffsetAlignment',
] as const;
const variables = ['DAWNFIELD_ADAPTER', 'VK_ICD_FILENAMES', 'VK_DRIVER_FILES'];

/** Seconds of one run: more of them are asked for at once until they fill 50 ms, then the median of five times counts. */
async function secondsPerRun(perform: (runs: number) => Promise<unknown>): Promise<number> {
  const time = async (runs: number) => {
    const begin = performance.now();
    await perform(runs);
    return (performance.now() - begin) / 1000;
  };
  await time(1); // compiles
  let runs = 1;
  while ((await time(runs)) < 0.05) runs *= 2;
  const times = [];
  for (let i = 0; i < 5; i++) times.push(await time(runs));
  return times.sort((a, b) => a - b)[2] / runs;
}

/** Dispatches of a pipeline, all in one submit. */
function dispatches(device: GPUDevice, pipeline: GPUComputePipeline, buffers: GPUBuffer[], groups: number) {
  const entries = buffers.map((buffer, binding) => ({ binding, resource: { buffer } }));
  const bindGroup = device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries });
  return (runs: number) => {
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, bindGroup);
    for (let i = 0; i < runs; i++) pass.dispatchWorkgroups(groups);
    pass.end();
    device.queue.submit([encoder.finish()]);
    return device.queue.onSubmittedWorkDone();
  };
}

function compile(device: GPUDevice, code: string) {
  return device.createComputePipelineAsync({
    layout: 'auto',
    compute: { module: device.createShaderModule({ code }) },
  });
}

/** Multiply-adds of f32 on registers: 6 independent chains a thread. The factor comes from memory, so nothing folds away. */
async function gflops(device: GPUDevice, groups: number): Promise<number> {
  const [threads, loops, unrolled, chains] = [128, 32, 16, 6];
  const names = Array.from({ length: chains }, (_, i) => `a${i}`);
  const pipeline = await compile(
    device,
    /* wgsl */ `
    @group(0) @binding(0) var<storage, read_write> data: array<f32>;
    @compute @workgroup_size(${threads})
    fn main(@builtin(global_invocation_id) id: vec3u) {
      let x = data[0];
      ${names.map((a, i) => `var ${a} = f32(id.x) + ${i}.0;`).join(' ')}
      for (var i = 0u; i < ${loops}u; i++) {
        ${names
          .map((a) => `${a} = ${a} * x + x;`)
          .join(' ')
          .concat('\n')
          .repeat(unrolled)}
      }
      data[id.x] = ${names.join(' + ')};
    }`,
  );
  const data = device.createBuffer({ size: groups * threads * 4, usage: GPUBufferUsage.STORAGE });
  const seconds = await secondsPerRun(dispatches(device, pipeline, [data], groups));
  data.destroy();
  return (groups * threads * loops * unrolled * chains * 2) / seconds / 1e9;
}

/** A copy kernel over 64 MiB; bytes read and bytes written both count. */
async function gigabytesPerSecond(device: GPUDevice): Promise<number> {
  const bytes = 1 << 26;
  const pipeline = await compile(
    device,
    /* wgsl */ `
    @group(0) @binding(0) var<storage, read> src: array<vec4f>;
    @group(0) @binding(1) var<storage, read_write> dst: array<vec4f>;
    @compute @workgroup_size(256)
    fn main(@builtin(global_invocation_id) id: vec3u) { dst[id.x] = src[id.x]; }`,
  );
  const usage = GPUBufferUsage.STORAGE;
  const buffers = [device.createBuffer({ size: bytes, usage }), device.createBuffer({ size: bytes, usage })];
  const seconds = await secondsPerRun(dispatches(device, pipeline, buffers, bytes / 16 / 256));
  for (const buffer of buffers) buffer.destroy();
  return (2 * bytes) / seconds / 1e9;
}

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
    gflops: await gflops(device, software ? 256 : 32_768), // enough to fill the machine
    gigabytesPerSecond: await gigabytesPerSecond(device),
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

const { values } = parseArgs({ options: { json: { type: 'boolean', default: false } } });
const report = await examine();
if (values.json) console.log(JSON.stringify(report));
else print(report);
