// Under which heading of the API reference a name stands: that of the source file it comes from.

/** For each module of the package: patterns of source paths, the first that fits counts, and their headings in the order of the page. */
const FAMILIES: Readonly<Record<string, readonly (readonly [RegExp, string])[]>> = {
  dawnfield: [
    [/tensor\//, 'Tensors'],
    [/autograd\//, 'Gradients and compiled steps'],
    [/ops\//, 'Kernels of your own'],
    [/meanfield\//, 'Mean-field networks'],
    [/src\/data\/|datasets\//, 'Data'],
    [/train\//, 'Training'],
    [/formats\/|nn\/stored/, 'Files'],
    [/gpu\//, 'Device'],
  ],
  'dawnfield/functional': [
    [/ops\/(elementwise|pointwise|table|row)\./, 'Elementwise'],
    [/ops\/(activations|softmax)\./, 'Activations'],
    [/ops\/(conv|fold)/, 'Convolutions'],
    [/ops\/(pool|lp-pool|unpool)/, 'Pooling'],
    [/ops\/(norm|dropout|embedding|recurrent|attention|residual)/, 'Norms, attention and other layers'],
    [/ops\/(loss|losses|margin-loss|pair-loss|ctc|distance)\./, 'Losses and distances'],
    [/ops\/(matmul|products|einsum|linalg|vector-norm|rank)/, 'Products and linear algebra'],
    [/ops\/(interpolate|grid-sample)\./, 'Images'],
    [
      /ops\/(reduce|statistics|quantile|order|sort|search|unique|scan|log-scan|nonzero)/,
      'Reductions, order, statistics',
    ],
    [/ops\//, 'Shapes and indexing'],
  ],
  'dawnfield/nn': [
    [/nn\/(module|parameter|hooks|stored|summary|containers|dicts|parametrize)\./, 'Modules and containers'],
    [/nn\/(linear|embedding|dropout|layers|resize)\./, 'Linear and other layers'],
    [/nn\/conv\./, 'Convolutions'],
    [/nn\/pooling\./, 'Pooling'],
    [/nn\/(norm|layer-norm)\./, 'Norms'],
    [/nn\/(attention|transformer|key-value)/, 'Attention'],
    [/nn\/recurrent/, 'Recurrent networks'],
    [/nn\/activations\./, 'Activations'],
    [/nn\/loss\./, 'Losses'],
  ],
  'dawnfield/optim': [
    [/optim\/(lr-|schedule|rates)/, 'Schedules'],
    [/optim\/(clip|averaged|grad-scaler)/, 'Around the step'],
    [/optim\//, 'Optimizers'],
  ],
};

/** The heading of a name of this module, if there are headings. */
export const familyOf = (module: string, source: string): string | undefined =>
  FAMILIES[module]?.find(([pattern]) => pattern.test(source))?.[1];

/** All headings, in their order. */
export const FAMILY_ORDER = [...new Set(Object.values(FAMILIES).flatMap((rows) => rows.map(([, title]) => title)))];
