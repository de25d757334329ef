// Which adapters count as CPUs; adapter choice and the end of a process, each in a process of its own.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { isSoftware } from '../../src/gpu/target';
import { runChild } from '../child';

const open = `
  import { init, shutdown, tensor } from './src/index.node.ts';
  try {
    const { info, profile } = await init();
    console.log('opened', info.description, profile);
  } catch (error) {
    console.log(error.name + ': ' + error.message);
  }`;

test('DAWNFIELD_ADAPTER that nothing matches: an error that lists what there is', async () => {
  const { output } = await runChild(open, { DAWNFIELD_ADAPTER: 'voodoo' });
  assert.match(output, /AdapterError: no adapter matches 'voodoo' \(DAWNFIELD_ADAPTER.*there is: \S/);
});

test('DAWNFIELD_PROFILE must be one that exists', async () => {
  assert.match((await runChild(open, { DAWNFIELD_PROFILE: 'fast' })).output, /^opened .* fast$/m);
  const { output } = await runChild(open, { DAWNFIELD_PROFILE: 'furious' });
  assert.match(output, /AdapterError: DAWNFIELD_PROFILE is 'furious': it must be 'safe' or 'fast'/);
});

test('DAWNFIELD_SUBGROUP_MATRIX: 0 or 1, and 1 is refused where the adapter cannot', async () => {
  const { output } = await runChild(open, { DAWNFIELD_SUBGROUP_MATRIX: 'yes' });
  assert.match(output, /AdapterError: DAWNFIELD_SUBGROUP_MATRIX is 'yes': it must be 0 or 1, or not set/);
  const asked = await runChild(open, { DAWNFIELD_SUBGROUP_MATRIX: '1' });
  assert.match(
    asked.output,
    /^(opened|AdapterError: subgroupMatrix \(init, DAWNFIELD_SUBGROUP_MATRIX\): the adapter)/m,
  );
});

// Elsewhere drivers do not come through the Vulkan loader.
(process.platform === 'linux' ? test : test.skip)('no driver at all: what to do about it', async () => {
  const none = { VK_ICD_FILENAMES: '/nonexistent', VK_DRIVER_FILES: '/nonexistent', DAWNFIELD_ADAPTER: '' };
  const { output } = await runChild(open, none);
  assert.match(output, /AdapterError: there is no WebGPU adapter\..*npx dawnfield doctor.*mesa-vulkan-drivers/);
});

test('using a tensor before init() says so', async () => {
  const { output } = await runChild(`
    import { tensor } from './src/index.node.ts';
    try { tensor([1]); } catch (error) { console.log(error.name + ': ' + error.message); }`);
  assert.match(output, /AdapterError: no device yet: `await init\(\)`/);
});

test('after shutdown() Node ends by itself, and init() works again before that', async () => {
  const { output, code, late } = await runChild(`
    import { device, init, shutdown, tensor } from './src/index.node.ts';
    await init();
    const constant = tensor([1, 2, 3]);
    console.log('sum', await constant.sum().item());
    const result = constant.mul(2);
    shutdown();
    await init();
    console.log('again', await tensor([4, 5]).sum().item());
    console.log('constant', (await constant.data()).join());
    try { result.add(1); console.log('silence'); } catch (error) { console.log(error.name + ': ' + error.message); }
    shutdown();
    console.log('end');`);
  assert.not(late, 'it had to be stopped');
  assert.is(code, 0);
  assert.match(output, /^sum 6$/m);
  assert.match(output, /^again 9$/m);
  assert.match(output, /^constant 1,2,3$/m);
  assert.match(output, /^DeviceLostError: add: binding 0 lies on a device that is gone/m);
  assert.match(output, /^end$/m);
});

test('a CPU driver is told by isFallbackAdapter, or by its name where that is not said', () => {
  const info = (description: string, isFallbackAdapter?: boolean) =>
    ({ vendor: '', architecture: '', device: '', description, isFallbackAdapter }) as GPUAdapterInfo;
  assert.ok(isSoftware(info('a driver of next year', true)));
  for (const name of ['llvmpipe (LLVM 19.1.7)', 'SwiftShader Device', 'Microsoft Basic Render Driver', 'Google WARP'])
    assert.ok(isSoftware(info(name)), name);
  for (const name of ['NVIDIA H100', 'Warpdrive X1']) assert.not(isSoftware(info(name, false)), name);
});

test.run();
