// What a kernel is made for: capabilities of an adapter, not its model. src/gpu/target.ts reads them off one.

/** The matrices that a subgroup multiplies at once: C [m, n] += A [m, k] · B [k, n], halves in and float32 out. */
export interface MatrixUnit {
  /** Rows of A and C. */
  readonly m: number;
  /** Columns of B and C. */
  readonly n: number;
  /** Columns of A, rows of B. */
  readonly k: number;
}

/** What kernels are made for: the kind of an adapter, not its model. */
export interface KernelTarget {
  /** The driver runs shaders on a CPU: loads and barriers cost far more than FMAs, and a workgroup is the work of one core. */
  readonly isCpu: boolean;
  /** 0 where there are no subgroups, or where the driver may choose their size. */
  readonly subgroupSize: number;
  /** Lanes of a CPU driver's subgroups, which share by broadcasts what they load; 0 where broadcasts are of no use. */
  readonly lanes: number;
  /** Matrix units, where the device was opened for them. `first`: products of halves run there unless a variant says otherwise. */
  readonly matrix?: MatrixUnit & { readonly first: boolean };
}

export const kernelTarget = ({ isCpu, subgroupSize, matrix }: Omit<KernelTarget, 'lanes'>): KernelTarget => ({
  isCpu,
  subgroupSize,
  lanes: isCpu && subgroupSize >= 4 ? subgroupSize : 0,
  ...(matrix && { matrix }),
});

/** As many lanes as vectors of 512 bits have: the drivers that have them compile fast, and larger bodies gain 8 to 20 %. */
export const WIDE = 16;

/** The kind of target in checkpoints and tuning tables. */
export const targetName = ({ isCpu }: KernelTarget): 'software' | 'simt' => (isCpu ? 'software' : 'simt');
