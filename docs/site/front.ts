// The front page: what it is, in a picture and fifteen lines; then where to go on.
import { frame } from './layout';
import { addressOf, SECTIONS } from './pages';
import { escaped } from './text';

interface Parts {
  /** The SVG element of the crossing particles. */
  readonly crossing: string;
  /** README's training loop, in colours. */
  readonly loop: string;
}

/** What each guide gives, in the order of the navigation. */
const GUIDES: Readonly<Record<string, string>> = {
  'docs/training.md':
    'A mean-field ResNet-20 with one command, a run folder and its figure; stop it, go on, bit for bit.',
  'docs/modules.md': 'Plain classes with plain fields. Your losses, your data, your blocks as particles.',
  'docs/mean-field.md': 'Residual blocks as particles in time: what that means, and what can be looked at.',
  'docs/feature-flow.md': 'Networks whose learning rate holds at every width, and the flow that they follow.',
  'docs/from-pytorch.md': 'A hundred lines of PyTorch beside ours, each one run by a test.',
};

const POINTS: readonly (readonly [string, string])[] = [
  [
    'What you know',
    'Tensors, autograd, modules, optimizers and state dicts as in PyTorch. No <code>dispose</code>, no <code>tidy</code>.',
  ],
  [
    'Fast',
    '<code>compile</code> replays a training step, with gradients and optimizer, in one submit that creates no object. <a href="performance.html">Measured</a>.',
  ],
  [
    'Clear errors',
    'They name the operation, the shapes, the module and your line, and come before anything reaches the GPU.',
  ],
  [
    'Open',
    '<a href="extending.html">Operations, kernels, optimizers</a> of your own get the checks and the fusing of the built-in ones.',
  ],
  [
    'Anywhere',
    'Node, Deno, Chromium and Firefox from one source; <a href="runtimes.html">what passes where</a>. No GPU? A software driver trains too.',
  ],
  [
    'Two methods',
    '<a href="mean-field.html">Mean-field networks</a> and <a href="feature-flow.html">feature flow</a>, which no other software offers.',
  ],
];

export function front({ crossing, loop }: Parts): string {
  const guides = (SECTIONS[0]?.entries ?? []).map(
    ({ source, label }) =>
      `<li><a href="${addressOf(source)}"><strong>${escaped(label)}</strong><span>${escaped(GUIDES[source] ?? '')}</span></a></li>`,
  );
  guides.push(
    '<li><a href="api/index.html"><strong>API reference</strong><span>Every public name: shapes, options, errors, from the comments of the sources.</span></a></li>',
  );
  const points = POINTS.map(([title, words]) => `<li><strong>${title}</strong><span>${words}</span></li>`);
  const body = `<main id="main" tabindex="-1">
<section class="hero">
<div class="claim">
<h1>Deep learning on WebGPU, in TypeScript</h1>
<p>PyTorch’s names and semantics, handwritten kernels, the same source in Node and in browsers. And networks whose blocks change places while they learn.</p>
<pre class="install" tabindex="0"><code>npm install dawnfield</code></pre>
<p class="ways"><a class="button" href="page/index.html">Train in this browser</a> <a href="training.html">Read the guides</a></p>
</div>
<figure class="crossing">${crossing}<figcaption>Learned times of the blocks of one ResNet while it trains. Where two lines meet, the blocks have changed places. <a href="mean-field.html">Why?</a></figcaption></figure>
</section>
<section class="loop">
<div><h2>A training loop</h2><p>Nothing to release, nothing to configure: tensors are on the GPU, and only <code>item()</code> waits for it. A test runs this, as every block of code on this site.</p></div>
${loop}
</section>
<section><h2>Guides</h2><ul class="guides">${guides.join('')}</ul></section>
<section class="try">
<div><h2>Train in this browser</h2><p>Particles cross within a minute, on your GPU, in this tab: nothing is sent anywhere. Switch a block off and see the error move; drop your own images on it.</p>
<p class="ways"><a class="button" href="page/index.html">Open the page</a> <a href="page.html">What it shows</a></p></div>
<a class="shot" href="page/index.html"><picture><source srcset="figures/page-dark.webp" media="(prefers-color-scheme: dark)"><img src="figures/page-light.webp" width="1280" height="800" alt="The page while it trains: lines of particles that cross, tiles of blocks, curves of loss and error"></picture></a>
</section>
<section><h2>Why this one</h2><ul class="points">${points.join('')}</ul></section>
</main>
<footer class="foot"><p>MIT licence. <a href="changelog.html">Changes</a> · <a href="contributing.html">Contributing</a> · <a href="api/index.html">API reference</a></p></footer>`;
  return frame({
    title: 'Dawnfield: deep learning on WebGPU, in TypeScript',
    description:
      'A PyTorch-style framework on WebGPU, in Node and browsers, with networks whose blocks change places while they learn.',
    body,
    kind: 'front',
  });
}
