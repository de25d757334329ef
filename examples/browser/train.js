// Ten training steps of a small residual network. The same function runs in the page and in Node: the test compares the losses.

/**
 * @param {typeof import('../../src/index')} dawnfield the whole library
 * @param {(step: number, loss: number) => void} show called after each step
 * @returns {Promise<number[]>} the losses
 */
export async function train({ F, init, manualSeed, models, optim, shutdown, tensor }, show) {
  await init();
  manualSeed(4); // with 1, a value at a ReLU lies within rounding of zero: two adapters then part by 1e-3 after five steps
  const model = new models.MeanFieldResNet({ blocks: 2, classes: 2, stem: 4, inner: [4, 8, 8] });
  const optimizer = new optim.SGD(model.parameters(), { lr: 0.05, momentum: 0.9 });
  // 16 images of waves, two classes: every second image has shorter ones.
  const pixels = Float32Array.from({ length: 16 * 192 }, (_, i) => {
    const image = Math.floor(i / 192);
    return Math.sin((i % 192) * (image % 2 ? 1.3 : 0.4) + image);
  });
  const images = tensor(pixels, { shape: [16, 3, 8, 8] });
  const labels = tensor(Int32Array.from({ length: 16 }, (_, i) => i % 2));
  const losses = [];
  for (let step = 1; step <= 10; step++) {
    const loss = F.crossEntropy(model.forward(images), labels);
    loss.backward();
    optimizer.step();
    optimizer.zeroGrad();
    model.sortParticles();
    losses.push(await loss.item());
    show(step, losses[step - 1]);
  }
  shutdown();
  return losses;
}
