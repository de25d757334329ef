// The program that the package tests run in Node (ESM, CJS, TypeScript) and in a browser: ten training steps of a small network.

/** Valid JavaScript and strict TypeScript; wants `dawnfield`, the whole module, in scope. Its value is the promise of the losses. */
export const tenSteps = `
async function tenSteps() {
  const { F, init, manualSeed, nn, optim, shutdown, tensor } = dawnfield;
  await init();
  manualSeed(1);
  const model = new nn.Sequential(
    new nn.Conv2d(1, 4, 3, { padding: 1 }),
    new nn.BatchNorm2d(4),
    new nn.ReLU(),
    new nn.Flatten(),
    new nn.Linear(4 * 8 * 8, 2),
  );
  const optimizer = new optim.SGD(model.parameters(), { lr: 0.05, momentum: 0.9 });
  const pixels = Float32Array.from({ length: 16 * 64 }, (_, i) => Math.sin(i * 0.7) + (Math.floor(i / 64) % 2));
  const images = tensor(pixels, { shape: [16, 1, 8, 8] }).keep();
  const labels = tensor(Int32Array.from({ length: 16 }, (_, i) => i % 2)).keep();
  const losses = [];
  for (let step = 0; step < 10; step++) {
    optimizer.zeroGrad();
    const loss = F.crossEntropy(model.forward(images), labels);
    loss.backward();
    optimizer.step();
    losses.push(await loss.item());
  }
  shutdown();
  return losses;
}
`;

/** Fails unless the losses are those of a network that learns. */
export function checkLosses(losses: number[]): void {
  const [first, last] = [losses[0], losses[9]];
  if (losses.length !== 10 || !losses.every(Number.isFinite) || !(last < first / 2))
    throw new Error(`ten training steps must halve the loss, but the losses are ${losses.join(', ')}`);
}
