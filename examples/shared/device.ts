// The device of a command line.
import { device, init, shutdown } from '../../src/index.node.js';

/** Opens the device again: nothing is left in its memory. Without bounds checks and validation, unless DAWNFIELD_PROFILE says otherwise. */
export async function reopenDevice({ autotune }: { autotune?: boolean }): Promise<void> {
  shutdown();
  await init({ ...(!process.env.DAWNFIELD_PROFILE && { profile: 'fast' }), ...(autotune && { autotune }) });
}

/** Runs `body` with a device, which is released whatever comes. */
export async function withDevice(body: () => Promise<void>, options: { autotune?: boolean } = {}): Promise<void> {
  try {
    await reopenDevice(options);
    await body();
  } finally {
    shutdown();
  }
}

/** The adapter's name for people. */
export const adapterName = (): string => device().info.description || device().info.device;

export const hasGpu = (): boolean => !device().target.isCpu;
