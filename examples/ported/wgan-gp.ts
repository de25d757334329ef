// WGAN-GP (Gulrajani et al. 2017) on points of a ring: a critic whose gradient is kept near 1 by a penalty, which takes a second derivative.
import { grad, nn, optim, rand, randn, type Tensor, tensor } from '../../src/index.node.js';

const POINTS = 8;
const ring = () => tensor(Array.from({ length: POINTS }, (_, i) => [0.8 * Math.cos(i), 0.8 * Math.sin(i)]));

export const newGenerator = () => new nn.Sequential(new nn.Linear(3, 16), new nn.Tanh(), new nn.Linear(16, 2));
export const newCritic = () => new nn.Sequential(new nn.Linear(2, 16), new nn.SiLU(), new nn.Linear(16, 1));
type Net = ReturnType<typeof newGenerator> | ReturnType<typeof newCritic>;

/** The penalty (‖∇D(x)‖ − 1)² at points between real and made ones. */
function gradientPenalty(critic: Net, real: Tensor, made: Tensor, eps: Tensor): Tensor {
  const between = made.add(real.sub(made).mul(eps)).requiresGrad_();
  const [slope] = grad(critic.forward(between).sum(), [between], { createGraph: true });
  if (!slope) throw new Error('the critic does not depend on its input');
  return slope.square().sum(1).sqrt().sub(1).square().mean();
}

interface Options {
  steps: number;
  generator?: Net;
  critic?: Net;
  /** Random numbers of a step: noise [8, 3], and where between real and made the penalty is taken [8, 1]. */
  noise?: (step: number) => Tensor;
  eps?: (step: number) => Tensor;
}

/** Trains critic and generator in turns; gives the critic's losses. */
export async function train({
  steps,
  generator = newGenerator(),
  critic = newCritic(),
  noise = () => randn([POINTS, 3]),
  eps = () => rand([POINTS, 1]),
}: Options): Promise<number[]> {
  const ofCritic = new optim.Adam(critic.parameters(), { lr: 0.02, betas: [0.5, 0.9] });
  const ofGenerator = new optim.Adam(generator.parameters(), { lr: 0.02, betas: [0.5, 0.9] });
  const real = ring();
  const losses: number[] = [];
  for (let step = 0; step < steps; step++) {
    const made = generator.forward(noise(step)).detach();
    const penalty = gradientPenalty(critic, real, made, eps(step));
    const loss = critic.forward(made).mean().sub(critic.forward(real).mean()).add(penalty.mul(10));
    ofCritic.zeroGrad();
    loss.backward();
    ofCritic.step();

    ofGenerator.zeroGrad();
    critic
      .forward(generator.forward(noise(step)))
      .mean()
      .neg()
      .backward();
    ofGenerator.step();
    losses.push(await loss.item());
  }
  return losses;
}
