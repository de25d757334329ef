// What the device can do at best, for `npm run doctor` and `npm run bench`: multiply-adds on registers and copies of memory.

type Wait = <T>(promise: Promise<T>) => Promise<T>;

/** Seconds of one run: more of them are asked for at once until they fill 50 ms, then the median of five times counts. */
export async function secondsPerRun(perform: (runs: number) => Promise<unknown>): Promise<number> {
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
function dispatches(device: GPUDevice, pipeline: GPUComputePipeline, buffers: GPUBuffer[], groups: number, wait: Wait) {
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
    return wait(device.queue.onSubmittedWorkDone());
  };
}

function compile(device: GPUDevice, code: string) {
  return device.createComputePipelineAsync({
    layout: 'auto',
    compute: { module: device.createShaderModule({ code }) },
  });
}

/** Multiply-adds of f32 on registers: 6 independent chains a thread. The factor comes from memory, so nothing folds away. */
async function gflops(device: GPUDevice, groups: number, wait: Wait): Promise<number> {
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
  const seconds = await secondsPerRun(dispatches(device, pipeline, [data], groups, wait));
  data.destroy();
  return (groups * threads * loops * unrolled * chains * 2) / seconds / 1e9;
}

/** A copy kernel over 64 MiB; bytes read and bytes written both count. */
async function gigabytesPerSecond(device: GPUDevice, wait: Wait): Promise<number> {
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
  const seconds = await secondsPerRun(dispatches(device, pipeline, buffers, bytes / 16 / 256, wait));
  for (const buffer of buffers) buffer.destroy();
  return (2 * bytes) / seconds / 1e9;
}

/** GFLOP/s of f32 multiply-adds, and GB/s that a copy reads and writes. `wait` awaits the GPU. */
export async function ceilings(device: GPUDevice, software: boolean, wait: Wait = (promise) => promise) {
  const groups = software ? 256 : 32_768; // enough to fill the machine
  return { gflops: await gflops(device, groups, wait), gigabytesPerSecond: await gigabytesPerSecond(device, wait) };
}
