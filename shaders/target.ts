// What a kernel is made for: capabilities of an adapter, not its model. src/gpu/target.ts reads them off one.

export interface KernelTarget {
  /** The driver runs shaders on a CPU: loads and barriers cost far more than FMAs, and a workgroup is the work of one core. */
  readonly isCpu: boolean;
  /** 0 where there are no subgroups, or where the driver may choose their size. */
  readonly subgroupSize: number;
  /** Lanes of a CPU driver's subgroups, which share by broadcasts what they load; 0 where broadcasts are of no use. */
  readonly lanes: number;
}

export const kernelTarget = ({ isCpu, subgroupSize }: Pick<KernelTarget, 'isCpu' | 'subgroupSize'>): KernelTarget => ({
  isCpu,
  subgroupSize,
  lanes: isCpu && subgroupSize >= 4 ? subgroupSize : 0,
});

/** As many lanes as vectors of 512 bits have: the drivers that have them compile fast, and larger bodies gain 8 to 20 %. */
export const WIDE = 16;

/** The kind of target in checkpoints and tuning tables. */
export const targetName = ({ isCpu }: KernelTarget): 'software' | 'simt' => (isCpu ? 'software' : 'simt');
