// Why a promise of the GPU was broken. Firefox breaks those of a lost device before it says that the device is lost: more than 300 ms before,
// on two busy cores.

/** The longest that a device which takes no more work may take to say that it is lost, in milliseconds. */
const PATIENCE = 10_000;

/** Whether the device still takes work: it maps a buffer that nothing else uses. */
async function takesWork(gpu: GPUDevice): Promise<boolean> {
  const probe = gpu.createBuffer({ size: 4, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
  try {
    await probe.mapAsync(GPUMapMode.READ);
    return true;
  } catch {
    return false;
  } finally {
    probe.destroy();
  }
}

/** Returns once it is known whether the device is lost: then `gpu.lost` has resolved. */
export async function untilLossIsKnown(gpu: GPUDevice): Promise<void> {
  if (await takesWork(gpu)) return;
  let timer: ReturnType<typeof setTimeout> | undefined;
  await Promise.race([gpu.lost, new Promise((resolve) => (timer = setTimeout(resolve, PATIENCE)))]);
  clearTimeout(timer);
}
