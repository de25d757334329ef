// ResNets for small images in Python: plain modules of PyTorch with the very sizes of this network, and with the names of its state dict.
import { at } from '../../shaders/checked';
import { InputError } from '../gpu';
import type { MeanField } from '../meanfield/mean-field';
import * as models from '../models';
import { ConvShortcut, PreActBranch, PreActTransition, ZeroPadShortcut } from '../models/blocks';
import type * as nn from '../nn';
import { CLASSES, type Part } from './blocks';
import { type Definitions, moduleList, unknown } from './python';

type Conv = { readonly inChannels: number; readonly outChannels: number; readonly options: object };
type Blocks = Map<string, readonly nn.AnyModule[]>;

/** A network of which there is a form in Python. */
interface Written {
  /** What the network is, in words. */
  readonly about: string;
  readonly parts: ReadonlySet<Part>;
  /** The class of the network. */
  readonly network: string;
}

/** Adds the classes of a network; gives the call that makes it, and what it is in words. Null for a network of another kind. */
export function residual(model: nn.AnyModule, definitions: Definitions): { call: string; about: string } | null {
  const written = writtenOf(model);
  if (!written) return null;
  for (const [part, text] of Object.entries(CLASSES)) if (written.parts.has(part as Part)) definitions.add(text);
  definitions.add(written.network);
  return { call: 'Network()', about: written.about };
}

function writtenOf(model: nn.AnyModule): Written | null {
  if (model instanceof models.FeatureFlowResNet) return flow(model);
  if (model instanceof models.PostActResNet) return post(model);
  if (model instanceof models.PreActResNet || model instanceof models.MeanFieldResNet) return pre(model);
  return null;
}

const boolean = (flag: boolean) => (flag ? 'True' : 'False');
const strideOf = ({ options }: Conv): number => (options as { stride?: number }).stride ?? 1;
const groupsOf = ({ options }: Conv): number => (options as { groups?: number }).groups ?? 1;

/** The blocks of each layer, in order. */
function blocksOf(model: nn.AnyModule): Blocks {
  const blocks = new Map<string, nn.AnyModule[]>();
  for (const [name, child] of model.children()) {
    const layer = /^(layer\d)\.\d+$/.exec(name)?.[1];
    if (layer) blocks.set(layer, [...(blocks.get(layer) ?? []), child]);
  }
  return blocks;
}

function shortcutOf(module: nn.AnyModule, where: string, parts: Set<Part>): string {
  if (module instanceof ZeroPadShortcut) {
    parts.add('zeroPad');
    return `ZeroPadShortcut(${module.inChannels}, ${module.outChannels}, ${module.stride})`;
  }
  if (!(module instanceof ConvShortcut)) throw unknown(`${where}.shortcut`, module);
  parts.add('convShortcut');
  const { conv, bn } = module;
  return `ConvShortcut(${conv.inChannels}, ${conv.outChannels}, ${strideOf(conv)}, ${boolean(bn !== null)})`;
}

/** A pre-activation block in Python. */
function branchOf(module: nn.AnyModule, where: string, parts: Set<Part>): string {
  if (!(module instanceof PreActBranch)) throw unknown(where, module);
  const { conv1, conv2, conv3 } = module;
  parts.add(conv3 ? 'bottleneck' : 'branch');
  const [strided, last] = conv3 ? [conv2, conv3] : [conv1, conv2];
  const sizes = `${conv1.inChannels}, ${conv1.outChannels}, ${last.outChannels}`;
  const more = groupsOf(conv2) > 1 ? `, groups=${groupsOf(conv2)}` : '';
  if (module instanceof PreActTransition) {
    parts.add('transition');
    return `Transition(${shortcutOf(module.shortcut, where, parts)}, ${sizes}, ${strideOf(strided)}${more})`;
  }
  return `Branch(${sizes}${more})`;
}

/** Pre-activation networks, and those whose blocks are particles. */
function pre(model: models.PreActResNet | models.MeanFieldResNet): Written {
  const parts = new Set<Part>(['conv']);
  const meanField = model instanceof models.MeanFieldResNet;
  const stages = meanField ? model.stages : [];
  const fields: string[] = [];
  const steps: string[] = [];
  const sorts: string[] = [];
  for (const [layer, list] of blocksOf(model)) {
    const s = Number(layer.slice(-1));
    fields.push(`self.${layer} = ${moduleList(list.map((block, i) => branchOf(block, `${layer}.${i}`, parts)))}`);
    const transitions = at(list, 0) instanceof PreActTransition ? 1 : 0;
    const branches = transitions ? `list(self.${layer})[1:]` : `self.${layer}`;
    if (transitions) steps.push(`x = self.${layer}[0](x)`);
    const stage = stages[s - 1];
    if (stage) {
      fields.push(`self.stage${s} = ${particlesOf(stage, `stage${s}`)}`);
      steps.push(`x = self.stage${s}(x, ${branches})`);
      sorts.push(`self.stage${s}.sort(${branches}, optimizer)`);
      parts.add('particles');
    } else if (!meanField && list.length > transitions)
      steps.push(`for branch in ${branches}:`, '    x = x + branch(x)');
  }
  const { conv1, bn, linear } = model;
  const sort = sorts.length
    ? `
    def sort_particles(self, optimizer=None):
        """After every optimizer.step()."""
${sorts.map((line) => `        ${line}`).join('\n')}
`
    : '';
  return {
    about: `${meanField ? 'a mean-field ResNet (Lu et al. 2020), whose blocks are particles with learned times' : 'a pre-activation ResNet'} for small images.`,
    parts,
    network: network(
      [
        `self.conv1 = conv(${conv1.inChannels}, ${conv1.outChannels}, 3)`,
        ...fields,
        `self.bn = nn.BatchNorm2d(${bn.channels})`,
        linearOf(linear),
      ],
      ['x = self.conv1(x)', ...steps, 'return self.linear(F.relu(self.bn(x)).mean((2, 3)))'],
      sort,
    ),
  };
}

function particlesOf(stage: MeanField, where: string): string {
  const {
    solver,
    skip,
    interval,
    scaling,
    clampTimes = false,
    sort = true,
    statistics,
    trainTimes = true,
  } = stage.options;
  const other = Object.entries({
    solver: solver && 'a solver of its own',
    skip: skip === 'inside' && "skip: 'inside'",
    interval: interval === 'start' && "interval: 'start'",
    scaling: scaling === 'mean-field' && "scaling: 'mean-field'",
  }).find(([, found]) => found);
  if (other) throw new InputError(`${where} is a MeanField with ${other[1]}, which has no form in PyTorch here`);
  const flags = [trainTimes, clampTimes, sort, statistics !== 'position'].map(boolean);
  const [trained, clamp, sorts, move] = flags;
  return `Particles(${stage.particles.length}, trained=${trained}, clamp=${clamp}, sort=${sorts}, statistics_move=${move})`;
}

function post(model: models.PostActResNet): Written {
  const parts = new Set<Part>(['conv', 'postBlock']);
  const fields: string[] = [];
  for (const layer of ['layer1', 'layer2', 'layer3'] as const) {
    const items = model[layer].map(({ conv1, shortcut }, i) => {
      const sizes = `${conv1.inChannels}, ${conv1.outChannels}`;
      return shortcut
        ? `Block(${sizes}, ${strideOf(conv1)}, ${shortcutOf(shortcut, `${layer}.${i}`, parts)})`
        : `Block(${sizes})`;
    });
    fields.push(`self.${layer} = ${moduleList(items)}`);
  }
  const { conv1, bn1, linear } = model;
  return {
    about: `a post-activation ResNet (He et al. 2015) for small images.`,
    parts,
    network: network(
      [
        `self.conv1 = conv(${conv1.inChannels}, ${conv1.outChannels}, 3)`,
        `self.bn1 = nn.BatchNorm2d(${bn1.channels})`,
        ...fields,
        linearOf(linear),
      ],
      [
        'x = F.relu(self.bn1(self.conv1(x)))',
        'for block in [*self.layer1, *self.layer2, *self.layer3]:',
        '    x = block(x)',
        'return self.linear(x.mean((2, 3)))',
      ],
    ),
  };
}

const linearOf = ({ weight }: { weight: { shape: readonly number[] } }): string =>
  `self.linear = nn.Linear(${at(weight.shape, 1)}, ${at(weight.shape, 0)})`;

const FUNCTIONS: Record<string, string> = { tanh: 'torch.tanh', sigmoid: 'torch.sigmoid', erf: 'torch.erf' };

function flow(model: models.FeatureFlowResNet): Written {
  const functions = Object.entries(model.activations).map(([which, h]) => {
    const found = typeof h === 'string' ? FUNCTIONS[h] : undefined;
    if (!found)
      throw new InputError(`${which} of the network is a function of your own, which has no form in PyTorch here`);
    return found;
  });
  const meanField = model.parametrisation === 'mean-field';
  const convs = model.convs.map(
    ({ sources, outChannels, stride }) =>
      `UnitConv(${[sources / 9, outChannels, stride, boolean(meanField)].join(', ')})`,
  );
  const [channels, classes] = [at(model.readout.shape, 0), at(model.readout.shape, 1)];
  return {
    about: `a feature-flow ResNet (Fang et al. 2020) for small images.`,
    parts: new Set(['unitConv']),
    network: network(
      [`self.convs = ${moduleList(convs)}`, `self.readout = nn.Parameter(torch.zeros(${channels}, ${classes}))`],
      [
        'x = self.convs[0](x)',
        'for conv in list(self.convs)[1:]:',
        `    alpha = conv(${functions[0]}(x))`,
        `    x = x + ${functions[1]}(alpha) if conv.stride == 1 else alpha`,
        `return ${functions[0]}(x).mean((2, 3)) @ self.readout${meanField ? ` * (1 / ${channels})` : ''}`,
      ],
    ),
  };
}

function network(fields: readonly string[], forward: readonly string[], more = ''): string {
  const indented = (lines: readonly string[]) => lines.map((line) => `        ${line}`).join('\n');
  return `
class Network(nn.Module):
    def __init__(self):
        super().__init__()
${indented(fields)}

    def forward(self, x):
        """Images [N, channels, H, W] to logits [N, classes]."""
${indented(forward)}
${more}`;
}
