// The blocks of a network by stage, whatever its kind: what the page shows as tiles, and what a lesion switches off.

import {
  models as kinds,
  type MeanField,
  meanFieldsIn,
  type models,
  type nn,
  type Tensor,
  zerosLike,
} from '../../../src/index';
import type { Block, StageInfo, StageState } from '../protocol';

type Unit = nn.Module<Tensor, Tensor>;

export interface BlockStage {
  readonly name: string;
  readonly names: readonly string[];
  /** By position: what runs there. A particle's weights move, the modules stay. */
  readonly modules: readonly Unit[];
  /** Null where nothing ever moves. */
  readonly field: MeanField | null;
}

/** The stages of a network that have blocks which keep their shape. */
export function stagesOf(model: nn.Module): BlockStage[] {
  if (model instanceof kinds.FeatureFlowResNet) return flowStages(model);
  const fields = new Map([...meanFieldsIn(model)]);
  const stages: BlockStage[] = [];
  for (const s of [1, 2, 3]) {
    const blocks = [...model.children()].filter(
      ([name, block]) => name.startsWith(`layer${s}.`) && !(block instanceof kinds.PreActTransition),
    );
    const field = fields.get(`stage${s}`) ?? null;
    if (blocks.length)
      stages.push({
        name: `stage ${s}`,
        names: blocks.map(([name]) => name),
        modules: field?.particles ?? blocks.map(([, block]) => block as Unit),
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
    return { name: `stage ${s + 1}`, names, modules: mine.map(([, conv]) => conv as Unit), field: null };
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

/** Has these blocks add nothing until the function that is returned is called. */
export async function switchOff(stages: readonly BlockStage[], blocks: readonly Block[]): Promise<() => void> {
  const now = await readStages(stages);
  const undo = blocks.flatMap(({ stage, particle }) => {
    const position = now[stage]?.order.indexOf(particle) ?? -1;
    const module = stages[stage]?.modules[position];
    return module ? [module.onForward((_, __, output) => zerosLike(output))] : [];
  });
  return () => {
    for (const restore of undo) restore();
  };
}
