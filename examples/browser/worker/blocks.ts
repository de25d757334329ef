// The blocks of a network by stage, whatever its kind: what the page shows as tiles, and what a lesion switches off.

import { type MeanField, meanFieldsIn, models, type nn, noGrad, zerosLike } from '../../../src/index';
import { copyInto } from '../../../src/tensor/elementwise';
import type { Block, StageInfo, StageState } from '../protocol';

export interface BlockStage {
  readonly name: string;
  readonly names: readonly string[];
  /** By position: what runs there. A particle's weights move, the modules stay. */
  readonly modules: readonly nn.Module[];
  /** Null where nothing ever moves. */
  readonly field: MeanField | null;
}

/** The stages of a network that have blocks which keep their shape. */
export function stagesOf(model: nn.Module): BlockStage[] {
  if (model instanceof models.FeatureFlowResNet) return flowStages(model);
  const fields = new Map([...meanFieldsIn(model)]);
  const stages: BlockStage[] = [];
  for (const s of [1, 2, 3]) {
    const blocks = [...model.children()].filter(
      ([name, block]) => name.startsWith(`layer${s}.`) && !(block instanceof models.PreActTransition),
    );
    const field = fields.get(`stage${s}`) ?? null;
    if (blocks.length)
      stages.push({
        name: `stage ${s}`,
        names: blocks.map(([name]) => name),
        modules: field?.particles ?? blocks.map(([, block]) => block),
        field,
      });
  }
  return stages;
}

function flowStages({ convs }: models.FeatureFlowResNet): BlockStage[] {
  const [, ...layers] = convs;
  const length = layers.length / 3;
  return [0, 1, 2].map((s) => {
    const mine = [...layers.entries()].slice(s * length, (s + 1) * length).filter(([, conv]) => conv.stride === 1);
    const names = mine.map(([i]) => `convs.${i + 1}`);
    return { name: `stage ${s + 1}`, names, modules: mine.map(([, conv]) => conv), field: null };
  });
}

export const describeStages = (stages: readonly BlockStage[]): StageInfo[] =>
  stages.map(({ name, names }) => ({ name, blocks: names }));

/** Times and orders now. A network without particles has the times 1 … n. */
export const readStages = (stages: readonly BlockStage[]): Promise<StageState[]> =>
  Promise.all(
    stages.map(async ({ field, names }) => {
      if (!field) return { order: names.map((_, i) => i), tau: names.map((_, i) => i + 1) };
      const [tau, order] = await Promise.all([field.tau.data(), field.ids.data()]);
      return { order: [...order], tau: [...tau] };
    }),
  );

/**
 * Has these blocks add nothing until the function that is returned is called: their last convolutions, which have no bias, get the weights 0.
 * No hooks: a compiled step would be traced again, and training must not notice.
 */
export async function switchOff(stages: readonly BlockStage[], blocks: readonly Block[]): Promise<() => void> {
  const now = await readStages(stages);
  const undo = blocks.flatMap(({ stage, particle }) => {
    const position = now[stage]?.order.indexOf(particle) ?? -1;
    const weight = stages[stage]?.modules[position]?.parameters().findLast(({ ndim }) => ndim === 4);
    if (!weight) return [];
    const kept = noGrad(() => weight.clone()).keep();
    copyInto(weight, zerosLike(weight));
    return () => {
      copyInto(weight, kept);
      kept.dispose();
    };
  });
  return () => {
    for (const restore of undo) restore();
  };
}
